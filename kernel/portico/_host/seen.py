"""What one worker knows of one upstream."""

from __future__ import annotations

import asyncio
from typing import Protocol

import attrs

from portico._config.components import Component
from portico._core.contracts.json import Json
from portico._core.contracts.upstreams import Offer
from portico._core.health import Health


class Due(Protocol):
    """Something that will be called in time."""

    def cancel(self) -> object:
        """It is not to be called any more."""
        ...


@attrs.define(eq=False)
class Seen:
    """What is known of one upstream here.

    Attributes:
        component: It, as configured.
        health: How it is.
        interval: Seconds between two probes; 0 for none.
        since: When it was taken up, on the monotonic clock.
        last: What it offered last, while it has been away since this process began.
        fresh: Whether it has never been about to be probed.
        due: The next probe.
        probing: The probe that is under way.
        offer: The offer that `digest` is of.
        digest: See `offer`.
        told: What the other workers know of it from here.
    """

    component: Component
    health: Health
    interval: float
    since: float
    last: Offer | None = None
    fresh: bool = True
    due: Due | None = None
    probing: asyncio.Task[None] | None = None
    offer: Offer | None = None
    digest: str = ""
    told: Json | None = None

    def quit(self) -> None:
        """Probe it no more."""
        if self.due is not None:
            self.due.cancel()
            self.due = None
        if self.probing is not None:
            self.probing.cancel()
            self.probing = None
