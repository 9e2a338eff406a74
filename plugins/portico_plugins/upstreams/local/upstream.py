"""Prompts and resources of the gateway's own, as an upstream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from portico.api import (
    GATEWAY,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    Era,
    Exchange,
    Host,
    Json,
    Offer,
    Principal,
    Refused,
    Result,
    State,
    Target,
    Upstream,
)
from portico_plugins.upstreams.local.config import LocalConfig
from portico_plugins.upstreams.local.prompts import Prompts, argument, listed
from portico_plugins.upstreams.local.resources import Resources, definition

MAX_COMPLETIONS: Final = 100
"""The most values an answer may have (2026-07-28, completion)."""


class LocalUpstream:
    """What a `local` table holds, as an upstream.

    Args:
        config: The table.
        host: The kernel.
    """

    def __init__(self, config: LocalConfig, host: Host) -> None:
        self._config = config
        self._host = host
        self._watched: dict[Principal, frozenset[str]] = {}
        self.resources = Resources(config)
        self._prompts = Prompts(config, self.resources)
        self.state = State.READY
        self.reason = ""
        one = {name: each for name, each in config.resources.items() if not each.names}
        many = {name: each for name, each in config.resources.items() if each.names}
        self.offer = Offer(
            prompts=tuple(listed(name, each) for name, each in config.prompts.items()),
            resources=tuple(definition(name, each) for name, each in one.items()),
            templates=tuple(definition(name, each) for name, each in many.items()),
            capabilities={
                **({"prompts": {"listChanged": True}} if config.prompts else {}),
                **({"resources": {"listChanged": True, "subscribe": True}} if config.resources else {}),
                "completions": {},
            },
            eras=frozenset(Era),
        )

    async def send(self, exchange: Exchange, target: Target) -> Result:
        """Fill in a prompt, read a resource, or propose values.

        Raises:
            Refused: -32602 for a name, argument or URI that is wrong; -32601 for what it cannot do.
        """
        params = exchange.params
        if exchange.method == "prompts/get":
            return Result(value=await self._prompts.get(target.name, params.get("arguments")))
        if exchange.method == "resources/read":
            return Result(value={"contents": [await self.resources.content(target.name)]})
        if exchange.method == "completion/complete":
            values, begun = self._proposals(params, target.name)
            found = [each for each in values if each.lower().startswith(begun.lower())]
            more = len(found) > MAX_COMPLETIONS
            completion = {"values": found[:MAX_COMPLETIONS], "total": len(found), "hasMore": more}
            return Result(value={"completion": completion})
        raise Refused(METHOD_NOT_FOUND, "Method not found")

    def _proposals(self, params: Json, name: str) -> tuple[Sequence[str], str]:
        """The values something may have, and how the one that is looked for begins.

        Raises:
            Refused: -32602: the request is not what the specification says, or there is no such argument.
        """
        asked: Any = params.get("argument")
        asked = asked if isinstance(asked, dict) else {}
        wanted, begun, ref = asked.get("name"), asked.get("value"), params.get("ref")
        if not isinstance(wanted, str) or not isinstance(begun, str) or not isinstance(ref, dict):
            raise Refused(INVALID_PARAMS, "Invalid params: argument must have a name and a value")
        if ref.get("type") == "ref/prompt" and name in self._config.prompts:
            found = argument(self._config.prompts[name], wanted)
            if found is not None:
                return found.values, begun
        resource = self.resources.by_template(name) if ref.get("type") == "ref/resource" else None
        if resource is not None and wanted in resource.names:
            variable = resource.variables.get(wanted)
            return (variable.values if variable is not None else ()), begun
        raise Refused(INVALID_PARAMS, f"Invalid params: there is no argument {wanted[:128]!r}")

    async def watch(self, principal: Principal, uris: frozenset[str]) -> None:
        """Remember which resources are watched; they change when the table does, see `succeed`."""
        if uris:
            self._watched[principal] = uris
        else:
            self._watched.pop(principal, None)

    def succeed(self, before: Upstream) -> None:
        """Stand where another table stood: whoever watches a resource that is another now hears of it."""
        if not isinstance(before, LocalUpstream):
            return
        self._watched = dict(before._watched)  # noqa: SLF001  (of its own class)
        everybody = frozenset().union(*self._watched.values())
        for uri in self.resources.changed(before.resources, sorted(everybody)):
            self._host.wiring.resource_updated(self._host.name, GATEWAY, {"uri": uri})
