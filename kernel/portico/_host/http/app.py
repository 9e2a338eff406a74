"""The Starlette application: transports' routes, health, and the guard in front of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from portico import __version__
from portico._core.contracts.direct import Admission, Admit, Direct
from portico._core.contracts.json import Json
from portico._core.contracts.log import Log
from portico._core.contracts.management import Management
from portico._core.plane import Plane
from portico._core.protocol.eras import LEGACY_VERSIONS, MODERN_VERSIONS
from portico._core.protocol.http_heads import upgrade_required
from portico._host.http.guard import Guard
from portico._host.http.limits import Limits

_NO_STORE = {"cache-control": "no-store"}


def _json(value: Json, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, _NO_STORE, "application/json")


class _ExactFirst:
    """Serves routes without parameters by one dictionary look-up; Starlette has all the others.

    A 40th Starlette route costs 24 us a request, and MCP endpoints are plain paths.
    """

    def __init__(self, exact: dict[str, ASGIApp], rest: ASGIApp) -> None:
        self._exact = exact
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._exact.get(scope["path"]) if scope["type"] == "http" else None
        if app is not None:
            try:
                await app(scope, receive, send)
                return
            except HTTPException:
                pass  # it is there no more: Starlette has the words for that
        await self._rest(scope, receive, send)


def build_app(
    routes: Sequence[BaseRoute],
    directs: Mapping[str, Direct],
    plane: Plane,
    limits: Limits,
    log: Log,
    management: Management | None = None,
) -> tuple[ASGIApp, Admit]:
    """The finished ASGI application, and the way past it for servers that can hand requests in whole.

    Args:
        routes: The transports'; those without path parameters and method lists are looked up first.
        directs: Path -> what answers it without ASGI.
        plane: For health.
        limits: What the guard lets pass.
        log: For faults.
        management: For health, where something is managed at run time.
    """

    async def healthz(request: Request) -> Response:
        return _json({"status": "ok"})

    async def readyz(request: Request) -> Response:
        if plane.draining:
            return _json({"status": "draining"}, 503)
        states = plane.status()
        degraded = [name for name, each in states.items() if each["state"] not in ("ready", "quarantined")]
        # A degraded upstream is shown, not failed on: the others serve, and it recovers alone.
        shown = {
            name: {"state": each["state"], **({"reason": each["reason"]} if "reason" in each else {})}
            for name, each in states.items()
        }
        body: Json = {"status": "degraded" if degraded else "ready", "upstreams": shown}
        if management is not None:
            down = management.down
            body["registry"] = {
                "state": "down" if down else "ready",
                "revision": management.revision,
                **({"reason": down} if down else {}),
            }
            if down:  # what was known goes on; it can only not be changed
                body["status"] = "degraded"
        return _json(body)

    async def version(request: Request) -> Response:
        return _json({"name": "portico", "version": __version__, "mcp": [*MODERN_VERSIONS, *LEGACY_VERSIONS]})

    mcp = any(getattr(route, "path", "").endswith("/mcp") for route in routes)
    sockets = [route for route in routes if isinstance(route, WebSocketRoute)]

    async def not_found(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        if status == 404 and sockets:
            handshake = {**request.scope, "type": "websocket"}
            if any(route.matches(handshake)[0] is Match.FULL for route in sockets):
                answer, fields, words = upgrade_required(request.scope)
                said = {name.decode(): value.decode() for name, value in fields}
                return Response(words, answer, {**_NO_STORE, **said})
        # Which servers there are is not for strangers to read, unless they are welcome there.
        welcome = sorted(name for name, each in plane.endpoints.items() if mcp and not each.lists.private)
        paths = [f"/servers/{name}/mcp" for name in welcome] + (["/mcp"] if "default" in welcome else [])
        body: Json = {"error": "not found" if status == 404 else "not allowed", "expected": paths}
        return _json(body, status)

    async def fault(request: Request, error: Exception) -> Response:
        log.error("http.fault", path=request.scope["path"], exc_info=error)
        return _json({"error": "internal error"}, 500)

    health = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/version", version)]
    starlette = Starlette(
        routes=[*routes, *health], exception_handlers={404: not_found, 405: not_found, Exception: fault}
    )
    exact = {
        route.path: route.app
        for route in routes
        if isinstance(route, Route) and not route.param_convertors and route.methods is None
    }
    guard = Guard(_ExactFirst(exact, starlette), limits)

    def admit(scope: Scope) -> Admission | None:
        handle = directs.get(scope["path"])
        return None if handle is None else guard.admit(scope, handle)

    return guard, admit
