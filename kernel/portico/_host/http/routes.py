"""The routes of all transports as one list: no path is two transports', and what is left is taken last."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from starlette.routing import BaseRoute, Route, WebSocketRoute

from portico._core.contracts.transports import Transport
from portico._core.errors import ConfigError

_ALL = ("",)


def routes_of(transports: Mapping[str, Transport]) -> list[BaseRoute]:
    """The routes in the order in which they are to be asked.

    Args:
        transports: By name.

    Raises:
        ConfigError: Two transports have the same path; which of them answers would be chance.
    """
    first: list[BaseRoute] = []
    last: list[BaseRoute] = []
    claims: dict[tuple[bool, str], dict[str, str]] = {}
    for name, transport in transports.items():
        for route in transport.routes():
            (last if getattr(route, "leftover", False) else first).append(route)
            if not isinstance(route, Route | WebSocketRoute):
                continue
            socket = isinstance(route, WebSocketRoute)
            methods = _ALL if isinstance(route, WebSocketRoute) else route.methods or _ALL
            owners = claims.setdefault((socket, route.path), {})
            other = next((owner for method, owner in owners.items() if _meet(method, methods)), name)
            if other != name:
                text = f"it answers at {route.path}, and so does transports.{other}; there can be one only"
                raise ConfigError([(f"transports.{name}", text)])
            owners.update(dict.fromkeys(methods, name))
    return [*first, *last]


def _meet(method: str, methods: Collection[str]) -> bool:
    return not method or method in methods or methods == _ALL
