"""What is served besides the API: its description, and the page that shows it."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_FILES: Final = {
    "/docs": ("page.html", "text/html"),
    "/docs/page.js": ("page.js", "text/javascript"),
    "/docs/page.css": ("page.css", "text/css"),
}


class Below(BaseRoute):
    """Hands everything below a path to one application, whatever stands in it; names may hold anything.

    Args:
        prefix: The path, without a slash at its end.
        app: The application. It sees the whole path.
    """

    def __init__(self, prefix: str, app: ASGIApp) -> None:
        self._prefix = f"{prefix}/"
        self._app = app

    def matches(self, scope: Scope) -> tuple[Match, dict[str, Any]]:
        """Whether a request is for it."""
        mine = scope["type"] == "http" and scope["path"].startswith(self._prefix)
        return (Match.FULL, {}) if mine else (Match.NONE, {})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        await self._app(scope, receive, send)


@cache
def _description() -> bytes:
    from portico_plugins.transports.management_api.openapi import describe
    from portico_plugins.transports.management_api.others import operations

    return msgspec.json.encode(describe(operations(1, "")))


async def _openapi(request: Request) -> Response:
    return Response(_description(), headers=_HEADERS, media_type="application/json")


async def _page(request: Request) -> Response:
    name, media = _FILES[request.scope["path"]]
    text = resources.files(__package__ or "").joinpath("assets", name).read_bytes()
    return Response(text, headers=_HEADERS, media_type=media)


def pages() -> list[BaseRoute]:
    """`/api/openapi.json` and `/docs`."""
    description = Route("/api/openapi.json", _openapi, methods=["GET"])
    return [description, *(Route(path, _page, methods=["GET"]) for path in _FILES)]
