"""What a worker tells the supervisor of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portico._config.settings import Settings
from portico._core.contracts.json import Json
from portico._core.plane import Plane

if TYPE_CHECKING:
    from portico._host.gateway import Gateway


def facts(gateway: Gateway) -> Json:
    """What there is to tell of a serving gateway: how much it carries now."""
    plane = gateway.plane
    return {
        "calls": len(plane.load.calls),
        "parked": len(gateway.parking),
        "sessions": sum(len(endpoint.sessions) for endpoint in plane.endpoints.values()),
        "forwarded": gateway.forwarder.count if gateway.forwarder else 0,
        "owners_gone": gateway.forwarder.gone if gateway.forwarder else 0,
        "refusing": plane.load.strain or None,
        "refused": plane.load.refused,
        "loop_lag": round(plane.load.lag, 3),
        "upstreams": {name: _condition(plane, name) for name in plane.upstreams},
    }


def _condition(plane: Plane, name: str) -> Json:
    condition = plane.tending.condition(name)
    return {"state": str(condition.state), "reason": condition.reason, "since": condition.since}


def composed(settings: Settings) -> Json:
    """What the supervisor needs of the settings."""
    gateway = settings.gateway
    return {
        "listen": list(gateway.listen),
        "workers": gateway.workers,
        "source": settings.source,
        "patience": patience(settings),
        "hang_timeout": gateway.hang_timeout,
    }


def patience(settings: Settings) -> float:
    """Seconds that an orderly end takes at the very most."""
    gateway = settings.gateway
    return gateway.drain_notice + 2 * gateway.drain_timeout + 60
