"""A route that leads somewhere only while there is something at its end."""

from __future__ import annotations

from typing import Any

from starlette.routing import Match, Route
from starlette.types import Scope

from portico_plugins.transports.streamable_http.endpoints import Endpoints


class LiveRoute(Route):
    """Matches the paths of virtual servers that are up; others may have what they lead to.

    Args:
        path: The pattern of the paths.
        endpoints: Those that are up.
    """

    def __init__(self, path: str, endpoints: Endpoints) -> None:
        super().__init__(path, endpoints)
        self._endpoints = endpoints

    def matches(self, scope: Scope) -> tuple[Match, dict[str, Any]]:
        """Whether a request is for one of them."""
        match, child = super().matches(scope)
        up = match is Match.NONE or scope["path"] in self._endpoints
        return (match, dict(child)) if up else (Match.NONE, {})
