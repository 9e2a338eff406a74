"""Serves the gateway's public virtual servers as an MCP Registry (v0.1), to be read and not written."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import attrs
import msgspec

from portico.api import (
    PROXIED,
    About,
    AuthScheme,
    ConfigError,
    Credentials,
    Denied,
    Door,
    Factory,
    Host,
    Json,
    Managed,
    NoRegistry,
    Ref,
    Transport,
    doc,
    hookimpl,
)
from portico_plugins.fields import public_url

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

gateway_api = (1, 0)

SCHEMA: Final = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
OFFICIAL: Final = "io.modelcontextprotocol.registry/official"
"""The key of `_meta` under which registries say how an entry is."""

_NAMESPACE: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9.-]{0,127}")
_NAME: Final = re.compile(r"[a-zA-Z0-9._-]{1,64}")
_DESCRIPTION: Final = 100
"""Characters a `server.json` has for it."""
_PAGE: Final = 30
_MOST: Final = 100
_HEADERS: Final = {
    "cache-control": "no-cache",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
}


def _namespace(instance: Any, attribute: attrs.Attribute[Any], value: str) -> None:
    if not _NAMESPACE.fullmatch(value):
        raise ValueError(f"expected a domain name in reverse, such as com.example, got {value!r}")


@attrs.frozen
class RegistryV01Config:
    """Config of the `registry_v01` transport."""

    namespace: str = attrs.field(
        default="local.portico",
        validator=_namespace,
        metadata=doc(
            "What stands before the names of servers: a domain name of yours in reverse.",
            example="com.example",
        ),
    )
    url: str = public_url(
        "Where clients reach the gateway; by default where the registry was asked.",
        example="https://gateway.example.com",
    )
    auth: tuple[Ref[AuthScheme], ...] = attrs.field(
        default=(),
        metadata=doc(
            "Auth schemes, tried in order. With none, only callers on this machine are served, unless it is "
            "`public`."
        ),
    )
    scope: str = attrs.field(default="", metadata=doc("The scope callers need, if any."))
    public: bool = attrs.field(default=False, metadata=doc("Whether anybody may read it."))

    def __attrs_post_init__(self) -> None:
        """Refuse combinations that mean nothing."""
        if self.public and (self.auth or self.scope):
            raise ValueError("`auth` and `scope` mean nothing for what is `public`")


class RegistryV01:
    """`/v0.1/servers`, and what is below it."""

    def __init__(self, config: RegistryV01Config, host: Host) -> None:
        self._config, self._host = config, host
        self._began = host.clock.time()
        self._door = Door([(ref.name, host.component(ref)) for ref in config.auth], config.scope, host.log)

    def routes(self) -> Sequence[BaseRoute]:
        """Those of the registry; there are none to publish with."""
        from starlette.routing import Route

        return [
            Route("/v0.1/servers", self._answering(self._list), methods=["GET"]),
            Route("/v0.1/servers/{name:path}/versions", self._answering(self._versions), methods=["GET"]),
            Route(
                "/v0.1/servers/{name:path}/versions/{version}",
                self._answering(self._version),
                methods=["GET"],
            ),
        ]

    def _answering(self, made: Any) -> Any:
        async def answer(request: Request) -> Response:
            from starlette.responses import Response

            headers = dict(_HEADERS)
            try:
                await self._enter(request)
                status, value = 200, made(request)
            except Denied as denied:
                status, value = denied.status, {"error": denied.detail}
                headers |= denied.headers
            except _Wrong as wrong:
                status, value = wrong.status, {"error": str(wrong)}
            return Response(msgspec.json.encode(value), status, headers, "application/json")

        return answer

    async def _enter(self, request: Request) -> None:
        if self._config.public:
            return
        peer = request.client.host if request.client else ""
        secure, proxied = request.url.scheme == "https", bool(request.scope.get(PROXIED))
        await self._door.enter(Credentials(dict(request.headers), peer, "", secure, proxied))

    def _list(self, request: Request) -> Json:
        query = request.query_params
        found = self._entries(request)
        if search := query.get("search", "").lower():
            found = [each for each in found if search in each["server"]["name"].lower()]
        if query.get("version", "latest") != "latest":
            found = [each for each in found if each["server"]["version"] == query["version"]]
        if "updated_since" in query:
            since = _moment(query["updated_since"])
            found = [
                each
                for each in found
                if datetime.fromisoformat(each["_meta"][OFFICIAL]["updatedAt"]) >= since
            ]
        if query.get("cursor"):
            after = _after(query["cursor"])
            found = [each for each in found if each["server"]["name"] > after]
        limit = _limit(query.get("limit", ""))
        page = found[:limit]
        metadata: Json = {"count": len(page)}
        if len(found) > limit:
            last = page[-1]["server"]["name"]
            metadata["nextCursor"] = base64.urlsafe_b64encode(last.encode()).decode()
        return {"servers": page, "metadata": metadata}

    def _versions(self, request: Request) -> Json:
        return {"servers": [self._one(request)], "metadata": {"count": 1}}

    def _version(self, request: Request) -> Json:
        found = self._one(request)
        if request.path_params["version"] not in ("latest", found["server"]["version"]):
            raise _Wrong(404, "Server version not found")
        return found

    def _one(self, request: Request) -> Json:
        for each in self._entries(request):
            if each["server"]["name"] == request.path_params["name"]:
                return each
        raise _Wrong(404, "Server not found")

    def _entries(self, request: Request) -> list[Json]:
        """What is served, by name."""
        base = self._config.url.rstrip("/") or f"{request.url.scheme}://{request.url.netloc}"
        endpoints = self._host.wiring.endpoints
        try:
            servers = self._host.management.all("servers")
        except NoRegistry:
            servers = [Managed("servers", name, {}, About(), "file") for name in endpoints]
        shown = [
            self._entry(each, base, closed=endpoints[each.name].lists.private)
            for each in servers
            if each.about.visibility == "public"
            and each.about.enabled
            and each.name in endpoints
            and _NAME.fullmatch(each.name)
        ]
        return sorted(shown, key=lambda each: str(each["server"]["name"]))

    def _entry(self, managed: Managed, base: str, *, closed: bool) -> Json:
        record = managed.record
        text = " ".join(managed.about.description.split()) or f"The virtual server {managed.name}"
        remote: Json = {"type": "streamable-http", "url": f"{base}/servers/{quote(managed.name)}/mcp"}
        if closed:
            token = {"description": "Bearer and a token", "isRequired": True, "isSecret": True}
            remote["headers"] = [{"name": "Authorization", **token}]
        server = {
            "$schema": SCHEMA,
            "name": f"{self._config.namespace}/{managed.name}",
            "title": managed.name,
            "description": text if len(text) <= _DESCRIPTION else f"{text[: _DESCRIPTION - 3]}...",
            "version": f"1.0.{record.version if record else 0}",
            "remotes": [remote],
        }
        official = {
            "status": "active",
            "publishedAt": _stamp(record.created if record else self._began),
            "updatedAt": _stamp(record.updated if record else self._began),
            "isLatest": True,
        }
        return {"server": server, "_meta": {OFFICIAL: official}}


class _Wrong(Exception):
    """An answer that is no server; its text is for the caller."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise _Wrong(400, "updated_since is a moment such as 2026-01-31T12:00:00Z")
    return moment


def _limit(text: str) -> int:
    if not text:
        return _PAGE
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise _Wrong(400, "limit is a whole number from 1")
    return min(int(text), _MOST)


def _after(cursor: str) -> str:
    try:
        return base64.b64decode(cursor, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise _Wrong(400, "cursor is the nextCursor of an earlier answer") from None


@asynccontextmanager
async def registry_v01(config: RegistryV01Config, host: Host) -> AsyncIterator[Transport]:
    """Create the transport.

    Raises:
        ConfigError: It would let anybody in by an auth scheme that does, which is `public` by another name.
    """
    if any(getattr(host.component(ref), "public", False) for ref in config.auth):
        wrong = (f"transports.{host.name}.auth", "lets anybody in; say `public = true` if that is meant")
        raise ConfigError([wrong])
    yield RegistryV01(config, host)


REGISTRY_V01 = Factory(
    name="registry_v01",
    summary="The gateway's public virtual servers as a read-only MCP Registry (v0.1).",
    config=RegistryV01Config,
    create=registry_v01,
    posture="hardened",
)


@hookimpl
def gateway_transports() -> Sequence[Factory[RegistryV01Config, Transport]]:
    """Offer the transport."""
    return (REGISTRY_V01,)
