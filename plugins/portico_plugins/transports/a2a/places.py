"""Where agents are: everything below `/a2a/{name}`, and short paths for the server `default`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import attrs
from a2a.server.request_handlers.request_handler import RequestHandler
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from portico.api import Endpoint
from portico_plugins.transports.a2a.app import BEFORE, AgentApp
from portico_plugins.transports.a2a.bindings import CARD
from portico_plugins.transports.a2a.relay import AGENTS
from portico_plugins.transports.a2a.signing import KEYS, Signer
from portico_plugins.transports.over_http.endpoints import HttpEndpoints
from portico_plugins.transports.over_http.live import LiveRoute

SHORT: Final = ("/a2a", "/a2a" + CARD, CARD)
"""Paths that lead to `default`."""


@attrs.frozen(eq=False)
class Face:
    """An agent, wherever it is.

    Attributes:
        endpoint: The virtual server whose rules are its.
        handler: Carries out its operations.
        path: Where it is, if its tasks are kept by the worker that has them; "" if every worker knows all.
    """

    endpoint: Endpoint
    handler: RequestHandler
    path: str = ""


class AgentEndpoints(HttpEndpoints[AgentApp]):
    """Path -> the agent that answers there, whatever comes after its name.

    Args:
        servers: The virtual servers that are up.
        make: Makes what serves one.
        signer: Signs their cards; None if nobody does.
    """

    def __init__(
        self, servers: Mapping[str, Endpoint], make: Callable[[Endpoint], AgentApp], signer: Signer | None
    ) -> None:
        super().__init__(servers, make, SHORT)
        self._signer = signer

    def name_of(self, path: str) -> str:
        """Which virtual server is found there; "" for none."""
        if path in SHORT:
            return "default"
        return path[len(BEFORE) :].partition("/")[0] if path.startswith(BEFORE) else ""

    def agent(self, name: str) -> Face | None:
        """An agent by what tells it apart where there are no paths.

        Args:
            name: A virtual server, or one behind it as `SERVER/agents/UPSTREAM`.
        """
        server, behind, upstream = name.partition(AGENTS)
        app = self.find(server)
        if app is None:
            return None
        if not behind:
            return Face(app.endpoint, app.handler, BEFORE + server)
        relayed = app.relays.find(upstream)
        return Face(app.endpoint, relayed.handler) if relayed is not None else None

    def paths(self) -> Iterator[str]:
        """Where agents begin, and the short paths."""
        for name in self._servers:
            yield BEFORE + name
        if "default" in self._servers:
            yield from SHORT

    def __len__(self) -> int:
        return len(self._servers) + len(SHORT) * ("default" in self._servers)

    def routes(self) -> Sequence[BaseRoute]:
        """Routes that lead somewhere while there is an agent."""
        keys = [Route(KEYS, self._keys, methods=["GET"])] if self._signer is not None else []
        return [*(Route(path, self) for path in SHORT), *keys, LiveRoute(BEFORE + "{where:path}", self)]

    async def _keys(self, request: Request) -> Response:
        assert self._signer is not None
        headers = {"cache-control": "public, max-age=3600"}
        return Response(self._signer.keys, headers=headers, media_type="application/jwk-set+json")
