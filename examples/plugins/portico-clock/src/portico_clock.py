"""The time as an upstream: one tool, one resource, and no MCP server behind them."""

from __future__ import annotations

import datetime
import zoneinfo
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs

from portico.api import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    Era,
    Exchange,
    Factory,
    Host,
    Json,
    Offer,
    Refused,
    Result,
    State,
    Target,
    Upstream,
    doc,
    hookimpl,
)

gateway_api = (1, 0)

NOW: Json = {
    "name": "now",
    "description": "The date and time, with its offset from UTC.",
    "inputSchema": {
        "type": "object",
        "properties": {"zone": {"type": "string", "description": "An IANA name: Europe/Berlin"}},
    },
    "annotations": {"readOnlyHint": True, "openWorldHint": False},
}
ZONES: Json = {"uri": "clock://zones", "name": "zones", "mimeType": "text/plain"}


def _known(_: Any, __: Any, value: str) -> None:
    if value not in zoneinfo.available_timezones():
        raise ValueError(f"expected an IANA time zone, got {value!r}")


@attrs.frozen
class ClockConfig:
    """Config of the `clock` upstream kind."""

    zone: str = attrs.field(
        default="UTC", validator=_known, metadata=doc("The time zone when a call names none.")
    )


class Clock:
    """Answers from the gateway's own clock."""

    offer = Offer(
        tools=(NOW,),
        resources=(ZONES,),
        capabilities={"tools": {}, "resources": {}},
        eras=frozenset({Era.MODERN}),
        public=True,
    )
    state = State.READY
    reason = ""

    def __init__(self, config: ClockConfig, host: Host) -> None:
        self._zone = config.zone
        self._clock = host.clock

    async def send(self, exchange: Exchange, target: Target) -> Result:
        """Carry out an exchange.

        Raises:
            Refused: It is neither the tool nor the resource.
        """
        if exchange.method == "tools/call" and target.name == "now":
            return self._now(exchange.params.get("arguments") or {})
        if exchange.method == "resources/read" and target.name == ZONES["uri"]:
            text = "\n".join(sorted(zoneinfo.available_timezones()))
            return Result(value={"contents": [{**ZONES, "text": text}], "ttlMs": 0, "cacheScope": "public"})
        raise Refused(METHOD_NOT_FOUND, "Method not found")

    def _now(self, arguments: Json) -> Result:
        zone = arguments.get("zone", self._zone)
        if zone not in zoneinfo.available_timezones():
            raise Refused(INVALID_PARAMS, "Invalid params: zone must be an IANA time zone")
        now = datetime.datetime.fromtimestamp(self._clock.time(), zoneinfo.ZoneInfo(zone))
        return Result(value={"content": [{"type": "text", "text": now.isoformat(timespec="seconds")}]})


@asynccontextmanager
async def clock(config: ClockConfig, host: Host) -> AsyncIterator[Upstream]:
    """Create the upstream; a kind that connects to something would do so here."""
    yield Clock(config, host)


CLOCK = Factory(
    name="clock",
    summary="The date and time in any time zone.",
    config=ClockConfig,
    create=clock,
)


@hookimpl
def gateway_upstreams() -> Sequence[Factory[ClockConfig, Upstream]]:
    """Offer the kind."""
    return (CLOCK,)
