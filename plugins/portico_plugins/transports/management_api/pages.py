"""What is served besides the API: its description, and the page that shows it."""

from __future__ import annotations

from functools import cache
from html import escape
from importlib import resources
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
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


@cache
def _listed() -> bytes:
    """The page, with the operations in it for those who have no JavaScript."""
    from portico_plugins.transports.management_api.others import operations
    from portico_plugins.transports.management_api.table import PREFIX

    found: dict[str, list[str]] = {}
    for each in operations(1, ""):
        box = f'<details id="{escape(each.id)}"><summary><span class="method">{escape(each.method)}</span>'
        box += f"<code>{escape(PREFIX + each.path)}</code><span>{escape(each.summary)}</span>"
        box += "</summary></details>"
        found.setdefault(each.kind or "gateway", []).append(box)
    sections = "".join(
        f"<section><h2>{escape(kind)}</h2>{''.join(boxes)}</section>" for kind, boxes in found.items()
    )
    empty = b'<main id="operations"></main>'
    return _asset("page.html").replace(empty, f'<main id="operations">{sections}</main>'.encode())


def _asset(name: str) -> bytes:
    return resources.files(__package__ or "").joinpath("assets", name).read_bytes()


async def _openapi(request: Request) -> Response:
    return Response(_description(), headers=_HEADERS, media_type="application/json")


async def _page(request: Request) -> Response:
    name, media = _FILES[request.scope["path"]]
    text = _listed() if name == "page.html" else _asset(name)
    return Response(text, headers=_HEADERS, media_type=media)


def pages() -> list[BaseRoute]:
    """`/api/openapi.json` and `/docs`."""
    description = Route("/api/openapi.json", _openapi, methods=["GET"])
    return [description, *(Route(path, _page, methods=["GET"]) for path in _FILES)]
