"""Which MCP endpoint a path leads to: that of a virtual server that is up now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from portico.api import Direct, Endpoint
from portico_plugins.transports.streamable_http.app import McpApp

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_BEFORE: Final = "/servers/"
_AFTER: Final = "/mcp"


class Endpoints(Mapping[str, Direct]):
    """The MCP endpoints by path, made when they are first asked for.

    Args:
        servers: The virtual servers that are up, by name; they come and go.
        make: Makes the endpoint of one.
    """

    def __init__(self, servers: Mapping[str, Endpoint], make: Callable[[Endpoint], McpApp]) -> None:
        self._servers = servers
        self._make = make
        self._apps: dict[str, McpApp] = {}

    @property
    def apps(self) -> Mapping[str, McpApp]:
        """Every endpoint, by the name of its virtual server."""
        return {name: app for name in self._servers if (app := self.find(name)) is not None}

    def find(self, name: str) -> McpApp | None:
        """The endpoint of a virtual server, if it is up."""
        server = self._servers.get(name)
        app = self._apps.get(name)
        if app is not None and app.endpoint is not server:
            app.sessions.close()
            del self._apps[name]
            app = None
        if app is None and server is not None:
            app = self._apps[name] = self._make(server)
        return app

    def sweep(self) -> None:
        """End idle sessions, and what is left of servers that are gone."""
        for name in list(self._apps):
            app = self.find(name)
            if app is not None:
                app.sessions.sweep()

    def close(self) -> None:
        """End every session."""
        for app in self._apps.values():
            app.sessions.close()

    # --- by path ----------------------------------------------------------------------------------

    def __getitem__(self, path: str) -> Direct:
        app = self.find(name_of(path))
        if app is None:
            raise KeyError(path)
        return app.handle

    def __iter__(self) -> Iterator[str]:
        for name in self._servers:
            yield path_of(name)
        if "default" in self._servers:
            yield _AFTER

    def __len__(self) -> int:
        return len(self._servers) + ("default" in self._servers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request over ASGI.

        Raises:
            HTTPException: 404, there is no such server.
        """
        app = self.find(name_of(scope["path"]))
        if app is None:
            from starlette.exceptions import HTTPException

            raise HTTPException(404)
        await app(scope, receive, send)


def path_of(name: str) -> str:
    """Where a virtual server is found."""
    return f"{_BEFORE}{name}{_AFTER}"


def name_of(path: str) -> str:
    """Which virtual server is found there; "" for none."""
    if path == _AFTER:
        return "default"
    return path[len(_BEFORE) : -len(_AFTER)] if path.startswith(_BEFORE) and path.endswith(_AFTER) else ""
