"""MCP requests of a virtual server, made for callers who speak something else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from portico.api import (
    Challenge,
    Credentials,
    Door,
    Endpoint,
    Host,
    Json,
    Managed,
    NoRegistry,
    Principal,
    carry_out,
)
from portico_contextforge.errors import Trouble, missing
from portico_contextforge.naming import REST, federated, ident, plain_id
from portico_contextforge.rest_tools import is_rest, nested, schema_of

if TYPE_CHECKING:
    from portico_contextforge import ContextForgeConfig
    from portico_contextforge.metrics import Metrics

_LISTS: Final = {"tools/list": "tools", "prompts/list": "prompts"}
_CALLS: Final = {"tools/call": "tools", "prompts/get": "prompts"}


@attrs.frozen
class _Names:
    """What the tools and prompts of a view are called: advertised name -> ContextForge's, and back."""

    view: Any
    shown: Mapping[str, Mapping[str, str]]
    known: Mapping[str, Mapping[str, str]]


class Serving:
    """The virtual servers as callers of this API see them.

    Args:
        host: What the plugin was given.
        config: Its config.
        door: Judges who may manage.
        metrics: Counts calls, if anything does.
    """

    def __init__(self, host: Host, config: ContextForgeConfig, door: Door, metrics: Metrics | None) -> None:
        self.door = door
        self.metrics = metrics
        self.started = host.clock.time()
        self._host = host
        self._config = config
        self._names: dict[str, _Names] = {}

    def endpoint(self, server: str = "") -> Endpoint:
        """A virtual server that is up, by id or name; the configured one by default.

        Raises:
            Trouble: 404.
        """
        endpoints = self._host.wiring.endpoints
        if not server:
            server = self._config.server
        if server in endpoints:
            return endpoints[server]
        wanted = plain_id(server)
        for name, endpoint in endpoints.items():
            if ident("servers", name) == wanted:
                return endpoint
        raise missing("Server", server)

    async def recognised(self, credentials: Credentials, server: str = "") -> Principal:
        """Who is calling a virtual server.

        Raises:
            Trouble: 401, 403; 404.
        """
        endpoint = self.endpoint(server)
        verdict = await endpoint.authenticate(attrs.evolve(credentials, server=endpoint.name))
        if isinstance(verdict, Principal):
            return verdict
        challenge: Challenge = verdict
        headers = {name.lower(): value for name, value in challenge.headers}
        if challenge.status == 401:
            headers.setdefault("www-authenticate", "Bearer")
        raise Trouble(challenge.status, f"Credentials: {challenge.reason}", headers)

    async def request(
        self,
        method: str,
        params: Json,
        principal: Principal,
        headers: Mapping[str, str],
        *,
        server: str = "",
    ) -> Json:
        """One MCP request, with ContextForge's names in it and in its result.

        Raises:
            Refused: As a virtual server refuses.
            Trouble: 404; there is no such virtual server.
        """
        endpoint = self.endpoint(server)
        if method in _CALLS and isinstance(params.get("name"), str):
            name = self.advertised(endpoint, _CALLS[method], params["name"])
            params = {**params, "name": name}
            params = self._apart(endpoint, params) if method == "tools/call" else params
        result = await carry_out(endpoint, method, params, principal, headers=headers)
        value = {key: each for key, each in result.value.items() if key != "resultType"}
        if method == "tools/list":
            value["tools"] = [self._described(endpoint, each) for each in value["tools"]]
        if method in _LISTS and self._config.names == "slug":
            kind = _LISTS[method]
            shown = self._of(endpoint).shown[kind]
            value[kind] = [{**each, "name": shown.get(each["name"], each["name"])} for each in value[kind]]
        return value

    def _rest(self, endpoint: Endpoint, name: str) -> Managed | None:
        """The upstream that a tool is, if it is a REST tool."""
        target = endpoint.view.tools.get(name)
        if target is None or not target.upstream.startswith(REST):
            return None
        managed = self._host.management.get("upstreams", target.upstream)
        return managed if managed is not None and is_rest(managed) else None

    def _apart(self, endpoint: Endpoint, params: Json) -> Json:
        """The params of a call as the upstream has them: ContextForge has no argument `body`."""
        rest = self._rest(endpoint, params["name"])
        if rest is None:
            return params
        return {**params, "arguments": nested(rest, params.get("arguments") or {})}

    def _described(self, endpoint: Endpoint, tool: Json) -> Json:
        """A tool with the schema that its calls here are to fit."""
        rest = self._rest(endpoint, tool["name"])
        return tool if rest is None else {**tool, "inputSchema": schema_of(rest)}

    def advertised(self, endpoint: Endpoint, kind: str, name: str) -> str:
        """What a virtual server advertises something as that a caller may know by another name."""
        if name in getattr(endpoint.view, kind):
            return name
        return self._of(endpoint).known[kind].get(name, name)

    def knows(self, endpoint: Endpoint, kind: str, name: str) -> bool:
        """Whether a virtual server has something that goes by this name."""
        return self.advertised(endpoint, kind, name) in getattr(endpoint.view, kind)

    def name_of(self, endpoint: Endpoint, kind: str, upstream: str, own: str) -> str | None:
        """What a virtual server advertises an upstream's tool or prompt as; None when it does not."""
        for name, target in getattr(endpoint.view, kind).items():
            if (target.upstream, target.name) == (upstream, own):
                return str(name)
        return None

    def _of(self, endpoint: Endpoint) -> _Names:
        """The names of a server's view as it is now; made once for each view."""
        view = endpoint.view
        names = self._names.get(endpoint.name)
        if names is None or names.view is not view:
            shown: dict[str, dict[str, str]] = {}
            known: dict[str, dict[str, str]] = {}
            renamed = self._renamed()
            for kind in ("tools", "prompts"):
                targets = getattr(view, kind)
                shown[kind] = {
                    name: federated(
                        each.upstream, renamed.get(f"{each.upstream}/{kind}/{each.name}") or each.name
                    )
                    for name, each in targets.items()
                }
                known[kind] = {theirs: name for name, theirs in shown[kind].items()}
                known[kind] |= {ident(kind, each.upstream, each.name): name for name, each in targets.items()}
            names = self._names[endpoint.name] = _Names(view, shown, known)
        return names

    def _renamed(self) -> Mapping[str, str | None]:
        """The names that overrides give, by the overrides' own names."""
        try:
            overrides = self._host.management.all("overrides")
        except NoRegistry:
            return {}
        return {each.name: each.config.get("name") for each in overrides}
