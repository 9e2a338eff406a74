"""The gateway's own view of a server: connected, listed, kept current, and recovered when it was lost."""

from __future__ import annotations

import asyncio
from typing import Final

import attrs

from portico.api import (
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    UNSUPPORTED_VERSION,
    UPSTREAM_UNAVAILABLE,
    Era,
    Host,
    Offer,
    Refused,
    State,
)
from portico_plugins.failures import bad_response, reason_of, timed_out
from portico_plugins.upstreams.backoff import Backoff

from . import listing
from .config import McpConfig
from .connect import Link, connect
from .grace import Grace
from .legs import Legs
from .listening import Listening, announced
from .reasons import ANSWERED, REACHABLE, UNREACHABLE
from .session import SessionExpired

_POLL: Final = 300.0
_LEAST_POLL: Final = 5.0
_GAP: Final = 0.25
"""Seconds between two fetches, however often a server announces changes."""
_CHECK_GAP: Final = 1.0
_ALONE: Final = 4.0
"""Seconds between attempts up to which every worker tries: its connection may have reasons of its own."""


class Catalog:
    """Owns the gateway's own connection to a server, in one task.

    Attributes:
        offer: What the server last said it has.
        state: How it is.
        reason: Why it is not ready.
        down: What calls fail with at once while nobody can reach the server; None when they are worth trying.
        settled: Set when the first attempt to connect has succeeded or failed.
    """

    def __init__(self, config: McpConfig, host: Host, legs: Legs) -> None:
        self.offer = Offer()
        self.state = State.STARTING
        self.reason = "connecting"
        self.down: Refused | None = None
        self.settled = asyncio.Event()
        self._config = config
        self._host = host
        self._legs = legs
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._arrival = asyncio.Event()
        self._grace: Grace | None = None
        self._pending: set[str] = set()
        self._missed = False
        self._suspected = False
        self._checked = 0.0
        self._fetched = 0.0
        self._link: Link | None = None
        self._listening = Listening(host, config.connect_timeout, self._unheard, lambda: self.changed(""))

    def start(self, grace: float = 0.0) -> None:
        """Begin to connect; for `grace` seconds of service, calls wait for a server that is not there yet."""
        if grace:
            self._grace = Grace(self._host.wiring, grace, self._graceless)
        self._task = asyncio.create_task(self._run())

    def _graceless(self) -> None:
        self._grace = None
        if self.state is not State.STARTING:
            self.settled.set()

    def arrived(self) -> None:
        """What leads to the server is there now: connect at once."""
        self._arrival.set()

    async def stop(self) -> None:
        """Disconnect."""
        self.state, self.reason = State.STOPPED, "stopped"
        if self._grace is not None:
            self._grace.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def changed(self, kind: str) -> None:
        """The server announced that a list has changed; "" for that it may have, unheard."""
        if kind:
            self._pending.add(kind)
        else:
            self._missed = True
        self._wake.set()

    def _unheard(self, away: bool) -> None:
        self._suspected = self._suspected or away
        self._wake.set()

    def suspect(self) -> None:
        """A call failed as if the server were away: look, soon."""
        self._suspected = True
        self._wake.set()

    def speaks(self, era: Era) -> None:
        """It was seen to speak this era, too."""
        self.offer = attrs.evolve(self.offer, eras=self.offer.eras | {era})
        self._host.wiring.offer_changed(self._host.name)

    async def _run(self) -> None:
        backoff = Backoff()
        connected = 0.0
        while True:
            link: Link | None = None
            self._arrival.clear()
            try:
                link = self._link = await connect(self._legs, self._host)
                connected = asyncio.get_running_loop().time()
                self._pending.clear()
                offer = await listing.fetch(
                    listing.asker(link, self._host.name), link.offer, listing.KINDS, self._host
                )
                self._ready(offer)
                backoff.reset()
                await self._attend(link)
            except SessionExpired:
                self._host.log.info("upstream_session_expired")
                if asyncio.get_running_loop().time() > connected + _CHECK_GAP:
                    continue
            except Refused as refusal:
                self._degrade(refusal)
            except Exception as error:
                self._host.log.error("upstream_connection_failed", error=repr(error))
                self._set(State.DEGRADED, "internal error")
            finally:
                self._link = None
                if link is not None and link.session is not None:
                    link.session.pins -= 1
            await self._pause(max(self._patient(backoff.next()), self._held_back()))

    def _patient(self, seconds: float) -> float:
        """Another worker may see to it that this server is found when it is back, and have us told."""
        away = seconds > _ALONE and not self._host.wiring.tends(self._host.name)
        return _POLL if away else seconds

    def _held_back(self) -> float:
        if self._legs.transport != "stdio":
            return 0.0
        restarts = self._legs.pool.restarts(self._legs.owner_of_gateway)
        return restarts.wait() if restarts.exhausted else 0.0

    async def _pause(self, seconds: float) -> None:
        """Wait before the next attempt; a call that needs the server shortens it, but not below a second."""
        self._suspected = False
        self._wake.clear()
        least = min(seconds, _CHECK_GAP)
        try:
            async with asyncio.timeout(least):
                await self._arrival.wait()
            return
        except TimeoutError:
            pass
        try:
            async with asyncio.timeout(seconds - least):
                await self._wake.wait()
        except TimeoutError:
            return
        if self._legs.transport == "stdio":
            await asyncio.sleep(self._held_back())

    def _ready(self, offer: Offer) -> None:
        known = self.offer.eras if self.state is State.READY else frozenset()
        self.offer = attrs.evolve(offer, eras=offer.eras | known)
        self.down = None
        self._suspected = False
        self._fetched = self._checked = asyncio.get_running_loop().time()
        self._host.log.info(
            "upstream_ready",
            era=",".join(sorted(offer.eras)),
            tools=len(offer.tools),
            resources=len(offer.resources) + len(offer.templates),
            prompts=len(offer.prompts),
        )
        self._set(State.READY, "")

    def _degrade(self, refusal: Refused) -> None:
        reason = reason_of(refusal) or f"error {refusal.code}: {refusal.message[:200]}"
        if self._held_back():
            reason = f"restart_budget ({reason})"
        if self._config.command and self._legs.pipe is None:
            reason = f"{reason}: {self._config.command[0]}"
        self.down = refusal if reason.partition(" ")[0].rstrip(":") in UNREACHABLE else None
        there = refusal.code != UPSTREAM_UNAVAILABLE or reason_of(refusal) in REACHABLE
        state = State.DEGRADED if there else State.UNAVAILABLE
        if (self.state, self.reason) != (state, reason):
            self._host.log.warning("upstream_degraded", state=str(state), reason=reason)
        self._set(state, reason)

    def _set(self, state: State, reason: str) -> None:
        self.state, self.reason = state, reason
        if state is State.READY or self._grace is None:
            self.settled.set()
        self._host.wiring.offer_changed(self._host.name)

    # --- while connected ---------------------------------------------------------------------

    async def _attend(self, link: Link) -> None:
        """Keep the offer current until the connection is lost.

        Raises:
            Refused: It is lost.
            SessionExpired: The server ended the session; it may well be healthy.
        """
        tasks: list[asyncio.Task[None]] = []
        if link.session is not None:
            tasks.append(asyncio.create_task(self._until_lost(link.session.wire.lost)))
        self._listening.hears = link.era is Era.LEGACY
        if link.era is Era.MODERN and (wanted := announced(self.offer.capabilities)):
            tasks.append(asyncio.create_task(self._listening.keep(link, wanted)))
        try:
            while True:
                await self._wait()
                if link.session is not None and link.session.wire.lost.is_set():
                    why = link.session.wire.why
                    if why is None or reason_of(why) == "session_expired":
                        raise SessionExpired
                    raise why
                now = asyncio.get_running_loop().time()
                if self._suspected and now >= self._checked + _CHECK_GAP:
                    await self._check(link)
                if self._pending and now >= self._fetched + _GAP:
                    await self._refetch(link)
                elif self._missed or self._due():
                    await self._poll(link)
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    async def _wait(self) -> None:
        """Until something happens, or something is due."""
        interval = self._interval()
        due = [self._fetched + interval] if interval is not None else []
        if self._pending:
            due.append(self._fetched + _GAP)
        if self._suspected:
            due.append(self._checked + _CHECK_GAP)
        try:
            async with asyncio.timeout_at(min(due, default=None)):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    async def _until_lost(self, lost: asyncio.Event) -> None:
        await lost.wait()
        self._wake.set()

    def _due(self) -> bool:
        interval = self._interval()
        return interval is not None and asyncio.get_running_loop().time() >= self._fetched + interval

    def _interval(self) -> float | None:
        """Seconds from one fetch to the next; None when the server says when, or another worker."""
        if not self._host.wiring.tends(self._host.name):
            return None
        if self._config.refresh_seconds is not None:
            return self._config.refresh_seconds
        kinds = [kind for kind in listing.KINDS if kind in self.offer.capabilities]
        if self._listening.hears and len(announced(self.offer.capabilities)) == len(kinds):
            return None
        return max(self.offer.ttl_ms / 1000, _LEAST_POLL) if self.offer.ttl_ms else _POLL

    async def _check(self, link: Link) -> None:
        """See whether the server still answers in the way it did."""
        self._suspected = False
        self._checked = asyncio.get_running_loop().time()
        try:
            await self._harmless(link)
        except TimeoutError:
            self._host.log.info("upstream_slow")  # busy is not away
        except Refused as refusal:
            if refusal.code != METHOD_NOT_FOUND:
                raise

    async def _harmless(self, link: Link) -> None:
        """Its era's handshake again, where that begins nothing; otherwise the ping of an open session."""
        async with asyncio.timeout(self._config.connect_timeout):
            await link.ask("ping" if link.era is Era.LEGACY else "server/discover", None, None)

    async def probe(self) -> None:
        """See whether it answers, on the gateway's own connection; while there is none, `state` tells.

        Raises:
            Refused: 50300: it cannot be reached. Any other: it answers, but not well.
        """
        link = self._link
        if link is None:
            return
        try:
            await self._harmless(link)
        except TimeoutError:
            if link.session is None or not link.session.in_flight:  # busy is not away
                raise timed_out(self._host.name, reason="probe_timeout") from None
        except SessionExpired:
            self.changed("")  # it is there; what it has forgotten is renewed
        except Refused as refusal:
            other = link.era is Era.MODERN and refusal.code in (INVALID_REQUEST, UNSUPPORTED_VERSION)
            if other and not link.blind:
                self.suspect()  # it may have been replaced by a server of the other era
            elif reason_of(refusal) in REACHABLE:
                raise bad_response(self._host.name, reason_of(refusal)) from None
            elif refusal.code in ANSWERED:
                raise

    async def _refetch(self, link: Link) -> None:
        kinds = frozenset(self._pending)
        self._pending.clear()
        self.offer = await listing.fetch(listing.asker(link, self._host.name), self.offer, kinds, self._host)
        self._fetched = asyncio.get_running_loop().time()
        self._host.wiring.offer_changed(self._host.name, kinds)

    async def _poll(self, link: Link) -> None:
        old, self._missed = self.offer, False
        self.offer = await listing.fetch(listing.asker(link, self._host.name), old, listing.KINDS, self._host)
        self._fetched = asyncio.get_running_loop().time()
        new = self.offer
        changed = {kind for kind in ("tools", "prompts") if getattr(old, kind) != getattr(new, kind)}
        if (old.resources, old.templates) != (new.resources, new.templates):
            changed.add("resources")
        if changed:
            self._host.wiring.offer_changed(self._host.name, changed)
