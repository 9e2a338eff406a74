"""Virtual servers by their ids: `/servers/ID/mcp`, wherever another transport has `/servers/NAME/mcp`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from starlette.routing import BaseRoute, Match, Router
from starlette.types import Receive, Scope, Send

from portico.api import Direct, Transport, Wiring
from portico_contextforge.naming import ident, plain_id

_BEFORE: Final = "/servers/"
_AFTER: Final = "/mcp"


class Doors(Mapping[str, Direct]):
    """Paths with ids in them, and what serves the virtual servers that they stand for.

    Args:
        mcp: The transport that has virtual servers by name.
        wiring: Knows which are up.
    """

    def __init__(self, mcp: Transport, wiring: Wiring) -> None:
        self._directs: Mapping[str, Direct] = getattr(mcp, "directs", dict)()
        self._router = Router(routes=list(mcp.routes()))
        self._wiring = wiring

    def lead(self, path: str) -> str | None:
        """The path by name of what a path by id stands for; None when it stands for nothing that is up.

        Besides ids, it takes a slash at the end and `/v1` in front, as ContextForge does.
        """
        bare = path.removesuffix("/").removeprefix("/v1")
        if bare == _AFTER:
            return bare if path != bare and "default" in self._wiring.endpoints else None
        if not (bare.startswith(_BEFORE) and bare.endswith(_AFTER)):
            return None
        wanted = bare[len(_BEFORE) : -len(_AFTER)]
        if wanted in self._wiring.endpoints:
            return bare if path != bare else None  # by name: the other transport has it already
        known = plain_id(wanted)
        for name in self._wiring.endpoints:
            if ident("servers", name) == known:
                return f"{_BEFORE}{name}{_AFTER}"
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request over ASGI."""
        path = self.lead(scope["path"]) or scope["path"]
        await self._router({**scope, "path": path, "raw_path": path.encode()}, receive, send)

    def __getitem__(self, path: str) -> Direct:
        by_name = self.lead(path)
        if by_name is None:
            raise KeyError(path)
        return self._directs[by_name]

    def __iter__(self) -> Iterator[str]:
        return (f"{_BEFORE}{ident('servers', name)}{_AFTER}" for name in self._wiring.endpoints)

    def __len__(self) -> int:
        return len(self._wiring.endpoints)


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
