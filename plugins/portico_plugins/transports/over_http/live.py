"""Routes that lead somewhere only while there is something at their end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Scope

from portico_plugins.transports.over_http.endpoints import D, HttpEndpoints


class LiveRoute(Route):
    """Matches the paths of virtual servers that are up; others may have what they lead to.

    Args:
        path: The pattern of the paths.
        endpoints: Those that are up; holds their paths, and is what serves them.
    """

    def __init__(self, path: str, endpoints: ASGIApp) -> None:
        super().__init__(path, endpoints)
        self._endpoints: Any = endpoints

    def matches(self, scope: Scope) -> tuple[Match, dict[str, Any]]:
        """Whether a request is for one of them."""
        match, child = super().matches(scope)
        up = match is Match.NONE or scope["path"] in self._endpoints
        return (match, dict(child)) if up else (Match.NONE, {})


def live_routes(endpoints: HttpEndpoints[D]) -> Sequence[BaseRoute]:
    """The routes of a transport: those that lead somewhere now, by their whole path, and those to come."""
    whole = [Route(path, endpoints) for path in dict.fromkeys([*endpoints, *endpoints.ends])]
    return [*whole, *(LiveRoute(f"/servers/{{server}}{end}", endpoints) for end in endpoints.ends)]
