"""What a path leads to: the part of a transport that serves the virtual server named in it, if that is up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from portico.api import Direct, Endpoint, Reply, Scope

if TYPE_CHECKING:
    from starlette.types import Receive, Send

_BEFORE: Final = "/servers/"


class Served(Protocol):
    """One virtual server as one transport serves it."""

    @property
    def endpoint(self) -> Endpoint:
        """The virtual server."""
        ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        ...

    def sweep(self) -> None:
        """End what has no right to go on."""
        ...

    def close(self) -> None:
        """End everything."""
        ...


class Whole(Served, Protocol):
    """One that can be handed whole requests, too."""

    def handle(self, scope: Scope, body: bytes, reply: Reply) -> None:
        """Serve one HTTP request whose body has come whole."""
        ...


S = TypeVar("S", bound=Served)
D = TypeVar("D", bound=Whole)


class Endpoints(Generic[S]):
    """What serves each virtual server, made when it is first asked for.

    Args:
        servers: The virtual servers that are up, by name; they come and go.
        make: Makes what serves one.
        ends: How paths end that lead to it: `/mcp` stands for `/servers/{name}/mcp`, and for `/mcp`, which
            leads to `default`.
    """

    def __init__(
        self, servers: Mapping[str, Endpoint], make: Callable[[Endpoint], S], ends: Sequence[str]
    ) -> None:
        self._servers = servers
        self._make = make
        self._apps: dict[str, S] = {}
        self.ends = tuple(ends)

    @property
    def apps(self) -> Mapping[str, S]:
        """What serves them, by the name of the virtual server."""
        return {name: app for name in self._servers if (app := self.find(name)) is not None}

    def find(self, name: str) -> S | None:
        """What serves a virtual server, if that is up."""
        server = self._servers.get(name)
        app = self._apps.get(name)
        if app is not None and app.endpoint is not server:
            app.close()
            del self._apps[name]
            app = None
        if app is None and server is not None:
            app = self._apps[name] = self._make(server)
        return app

    def at(self, path: str) -> S | None:
        """What a path leads to now."""
        return self.find(self.name_of(path))

    def sweep(self) -> None:
        """End what has no right to go on, and what is left of servers that are gone."""
        for name in list(self._apps):
            app = self.find(name)
            if app is not None:
                app.sweep()

    def close(self) -> None:
        """End everything."""
        for app in self._apps.values():
            app.close()

    def name_of(self, path: str) -> str:
        """Which virtual server is found there; "" for none."""
        for end in self.ends:
            if path.endswith(end):
                if path == end:
                    return "default"
                return path[len(_BEFORE) : -len(end)] if path.startswith(_BEFORE) else ""
        return ""

    def paths(self) -> Iterator[str]:
        """Every path that leads somewhere now."""
        for end in self.ends:
            for name in self._servers:
                yield path_of(name, end)
            if "default" in self._servers:
                yield end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope.

        Raises:
            HTTPException: 404, there is no such server.
        """
        app = self.at(scope["path"])
        if app is None:
            from starlette.exceptions import HTTPException

            raise HTTPException(404)
        await app(scope, receive, send)


class HttpEndpoints(Endpoints[D], Mapping[str, Direct]):
    """The same for servers that hand requests in whole: path -> what answers there."""

    def __getitem__(self, path: str) -> Direct:
        app = self.at(path)
        if app is None:
            raise KeyError(path)
        return app.handle

    def __iter__(self) -> Iterator[str]:
        return self.paths()

    def __len__(self) -> int:
        return (len(self._servers) + ("default" in self._servers)) * len(self.ends)


def path_of(name: str, end: str) -> str:
    """Where a virtual server is found."""
    return f"{_BEFORE}{name}{end}"


@asynccontextmanager
async def swept(endpoints: Endpoints[Any], seconds: float) -> AsyncIterator[None]:
    """Sweep endpoints every so many seconds while entered, and close them then."""

    async def sweep() -> None:
        while True:
            await asyncio.sleep(seconds)
            endpoints.sweep()

    sweeper = asyncio.create_task(sweep())
    try:
        yield
    finally:
        sweeper.cancel()
        endpoints.close()
