"""What transports over HTTP are from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from portico.api import Direct

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from portico_plugins.transports.over_http.endpoints import HttpEndpoints


class OverHttp:
    """A transport with the same endpoints for each virtual server.

    Attributes:
        endpoints: What serves them.
    """

    endpoints: HttpEndpoints[Any]

    def routes(self) -> Sequence[BaseRoute]:
        """The paths, those of servers that come later included."""
        from portico_plugins.transports.over_http.live import live_routes

        return live_routes(self.endpoints)

    def directs(self) -> Mapping[str, Direct]:
        """The same, for servers that hand requests in whole, and for the other workers."""
        return self.endpoints
