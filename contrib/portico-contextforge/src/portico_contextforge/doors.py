"""Virtual servers by their ids: `/servers/ID/mcp`, wherever another transport has `/servers/NAME/mcp`."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping
from typing import Any, Final

from starlette.routing import BaseRoute, Match, Router
from starlette.types import Receive, Scope, Send

from portico.api import Direct, Reply, Transport, Wiring
from portico_contextforge.naming import ident, plain_id

_BEFORE: Final = "/servers/"
_MCP: Final = "/mcp"
_SSE: Final = {"/sse": "/sse", "/message": "/messages", "/messages": "/messages"}
"""How paths end here -> how they end with the transport that has them."""


class Doors(Mapping[str, Direct]):
    """Paths with ids in them, and what serves the virtual servers that they stand for.

    Args:
        mcp: The transport that has virtual servers by name.
        sse: The one that has them for clients of HTTP+SSE, if there is one.
        wiring: Knows which are up.
    """

    def __init__(self, mcp: Transport, sse: Transport | None, wiring: Wiring) -> None:
        transports = [mcp, *([sse] if sse else [])]
        self._ends = {_MCP: _MCP, **(_SSE if sse else {})}
        self._directs: Mapping[str, Direct] = ChainMap(
            *(getattr(each, "directs", dict)() for each in transports)
        )
        self._router = Router(routes=[route for each in transports for route in each.routes()])
        self._wiring = wiring

    def lead(self, path: str) -> str | None:
        """The path by name of what a path by id stands for; None when it stands for nothing that is up.

        Besides ids, it takes a slash at the end and `/v1` in front, as ContextForge does.
        """
        bare = path.removesuffix("/").removeprefix("/v1")
        before, slash, last = bare.rpartition("/")
        end = self._ends.get(slash + last)
        if end is None:
            return None
        if not before:  # of the default server: the other transport has it already, or nearly
            return end if path != end and "default" in self._wiring.endpoints else None
        wanted = before.removeprefix(_BEFORE)
        if not before.startswith(_BEFORE) or "/" in wanted:
            return None
        if wanted in self._wiring.endpoints:
            by_name = f"{before}{end}"
            return by_name if path != by_name else None
        known = plain_id(wanted)
        for name in self._wiring.endpoints:
            if ident("servers", name) == known:
                return f"{_BEFORE}{name}{end}"
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request over ASGI."""
        path = self.lead(scope["path"]) or scope["path"]
        await self._router({**scope, "path": path, "raw_path": path.encode()}, receive, send)

    def __getitem__(self, path: str) -> Direct:
        by_name = self.lead(path)
        if by_name is None:
            raise KeyError(path)
        handle = self._directs[by_name]
        if by_name.endswith(_MCP):
            return handle  # it does not look at the path

        def by_id(scope: Scope, body: bytes, reply: Reply) -> None:
            handle({**scope, "path": by_name, "raw_path": by_name.encode()}, body, reply)

        return by_id

    def __iter__(self) -> Iterator[str]:
        return (
            f"{_BEFORE}{ident('servers', name)}{end}" for name in self._wiring.endpoints for end in self._ends
        )

    def __len__(self) -> int:
        return len(self._wiring.endpoints) * len(self._ends)


class DoorRoute(BaseRoute):
    """Takes the paths by id.

    Args:
        doors: Knows them.
    """

    def __init__(self, doors: Doors) -> None:
        self._doors = doors

    def matches(self, scope: Scope) -> tuple[Match, dict[str, Any]]:
        """Whether a request is for one of them."""
        mine = scope["type"] == "http" and self._doors.lead(scope["path"]) is not None
        return (Match.FULL, {}) if mine else (Match.NONE, {})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        await self._doors(scope, receive, send)
