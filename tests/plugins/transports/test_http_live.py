"""Paths of virtual servers that are not up are left to other transports."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from portico.testing.running import post
from portico_plugins.transports.over_http.live import LiveRoute


class Served(dict[str, Any]):
    """Stands in for the endpoints: answers with the path it was asked for."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(scope["path"])(scope, receive, send)


async def other(request: Any) -> PlainTextResponse:
    return PlainTextResponse("another transport")


async def test_a_path_is_taken_only_while_its_server_is_up() -> None:
    up = Served()
    pattern = "/servers/{server}/mcp"
    app = Starlette(routes=[LiveRoute(pattern, up), Route(pattern, other, methods=["POST"])])  # type: ignore[arg-type]
    assert await post(app, "/servers/a/mcp", {}, b"") == (200, b"another transport")
    up["/servers/a/mcp"] = object()
    assert await post(app, "/servers/a/mcp", {}, b"") == (200, b"/servers/a/mcp")
    assert await post(app, "/servers/b/mcp", {}, b"") == (200, b"another transport")
