"""Pins at work: what upstreams offer is compared with them, and they are kept in the registry."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final

import attrs

from portico._config.settings import Settings
from portico._core.catalog.pins import Pins, Seen, look, settle
from portico._core.contracts.clock import Clock
from portico._core.contracts.definitions import OnChange
from portico._core.contracts.log import Log
from portico._core.contracts.records import Author, Change, Record, RegistryDown, Stale
from portico._core.contracts.upstreams import Offer
from portico._core.steps import Steps
from portico._host.managed.composed import LOCAL, Key

KIND: Final = "pins"
AUTHOR: Final = Author("gateway", "gateway")
DELAY: Final = 0.5
"""Seconds that changes are collected for before they are written, and up to as many more: workers that see
the same thing shall not all write at once."""

_DOUBLED: Final = 7
"""How often the delay is doubled for an upstream that changes all the time: up to a minute."""

_QUIET: Final = 600.0
_LATER: Final = 5.0
_AT_LAST: Final = 2.0
_MOST: Final = 500
_SAID: Final = 20
_NOTHING: Final[frozenset[tuple[str, str]]] = frozenset()

Write = Callable[[Callable[[], list[Change]], Author], Awaitable[object]]
"""Has changes made that are decided upon when nobody else changes anything, and takes up what comes of it."""


@attrs.define(eq=False)
class Known:
    """What is known of one upstream.

    Attributes:
        pins: In effect here.
        kept: As the registry has them.
        version: Of the record; 0 without one.
        offer: What was looked at last.
        seen: What it has.
        fresh: Keys of what it has not offered here before, unless the registry knows of it by now.
        former: What was pinned before, where another process has approved of something else.
        held: What is held back of it.
        policy: What was done about changes then.
        due: When its pins are to be written, by the event loop's clock; 0 for never.
        writes: How often they were, of late.
        wrote: When they were last.
    """

    pins: Pins
    kept: Pins
    version: int = 0
    offer: Offer | None = None
    seen: dict[str, Seen] = attrs.field(factory=dict)
    fresh: set[str] = attrs.field(factory=set)
    former: dict[str, str] = attrs.field(factory=dict)
    held: frozenset[tuple[str, str]] = _NOTHING
    policy: OnChange = "accept"
    due: float = 0.0
    writes: int = 0
    wrote: float = 0.0


class Pinning:
    """Compares, holds back, and keeps.

    Without a registry, pins last as long as the process.

    Args:
        settings: Say what becomes of changes.
        tell: Told of an upstream whose definitions are to be looked at again.
        told: Returns when all that was told is in effect.
        log: The kernel's.
        clock: Time.
    """

    def __init__(
        self,
        settings: Settings,
        tell: Callable[[str], None],
        told: Callable[[], Awaitable[None]],
        log: Log,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._tell = tell
        self._told = told
        self._log = log
        self._clock = clock
        self._known: dict[str, Known] = {}
        self._records: Mapping[str, Record] = {}
        self._waiting = False
        self._write: Write | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._at = 0.0
        self._writing: asyncio.Task[None] | None = None

    # --- what the data plane asks -----------------------------------------------------------------------

    def vet(self, upstream: str, offer: Offer) -> Steps[frozenset[tuple[str, str]]]:
        """What is to be held back of an offer, as `(kind, own name)`."""
        known = self._known.get(upstream)
        if known is not None and known.offer is offer:
            return known.held
        if self.policy(upstream) is None or self._waiting:
            return _NOTHING
        seen = yield from look(offer, known.seen if known is not None else {})
        policy = self.policy(upstream)  # much may have happened meanwhile
        if policy is None:
            return _NOTHING
        known = self._known.get(upstream)
        if known is None:
            known = self._known[upstream] = self._recalled(upstream)
        if known.offer is offer:
            return known.held
        known.fresh |= {key for key, each in seen.items() if not _same(known.seen.get(key), each)}
        known.seen, known.offer = seen, offer
        self._settle(upstream, known, policy)
        return known.held

    def _settle(self, name: str, known: Known, policy: OnChange) -> None:
        seen = known.seen
        first = not known.pins.digests
        verdict = settle(known.pins, seen, known.fresh, known.former, policy, self._clock.time())
        again = all(key in known.pins.pending for key in verdict.changed)
        known.pins, known.held, known.policy = verdict.pins, verdict.held, policy
        if verdict.new and not first:
            self._log.info("definitions.new", upstream=name, definitions=_some(verdict.new))
        if verdict.changed:
            log = self._log.info if policy == "accept" or again else self._log.warning
            log("definitions.changed", upstream=name, on_change=policy, definitions=_some(verdict.changed))
        odd = [line for key in verdict.new + verdict.changed for line in seen[key].odd]
        if odd:
            self._log.warning("definitions.odd_characters", upstream=name, found=_some(odd))
        if self._write is None:  # there is nobody to keep them
            known.kept = known.pins
        if known.pins.same_as(known.kept):
            known.fresh.clear()
            known.due = 0.0
        else:
            self._soon(known)

    def policy(self, upstream: str) -> OnChange | None:
        """What becomes of its changes; None for one whose definitions are the gateway's own."""
        component = self._settings.components.get(("upstreams", upstream))
        if component is None or component.use == LOCAL:
            return None
        return component.on_change or self._settings.gateway.on_change

    def _recalled(self, upstream: str) -> Known:
        record = self._records.get(upstream)
        pins = self._read(record) if record is not None else Pins()
        return Known(pins, pins, record.version if record is not None else 0)

    def _read(self, record: Record) -> Pins:
        try:
            return Pins.of(record.config)
        except ValueError as error:
            self._log.error("pins.unreadable", upstream=record.name, error=str(error))
            return Pins()

    # --- what the registry has --------------------------------------------------------------------------

    def expect(self, write: Write) -> None:
        """Look at nothing before the registry has been asked: what is new may be known there."""
        self._waiting, self._write = True, write

    async def begin(self) -> None:
        """Look at everything from now on; what is held back is so when this returns."""
        self._waiting = False
        for key in self._settings.components:
            if key[0] == "upstreams":
                self._tell(key[1])
        await self._told()

    def take_up(self, settings: Settings, everything: Mapping[Key, Record]) -> None:
        """Go by other settings, and by what the registry has now.

        Args:
            settings: In effect from now on.
            everything: All records.
        """
        records = {name: record for (kind, name), record in everything.items() if kind == KIND}
        self._settings, self._records = settings, records
        for name, known in list(self._known.items()):
            policy = self.policy(name)
            if policy is None:
                del self._known[name]
                continue
            record = records.get(name)
            version = record.version if record is not None else 0
            if version != known.version:
                kept = self._read(record) if record is not None else Pins()
                # Deleted pins are forgotten here, too; those that were never written are not.
                pins = kept.above(known.pins) if record is not None else Pins()
                for key, before in known.pins.digests.items():
                    if pins.digests.get(key, before) != before:
                        known.former[key] = before
                        if key in known.seen and known.seen[key].digest == before:
                            known.fresh.discard(key)
                known.pins, known.kept, known.version = pins, kept, version
            elif policy == known.policy:
                continue
            else:
                known.fresh.update(known.pins.pending)
            if known.offer is not None:
                held = known.held
                self._settle(name, known, policy)
                if known.held != held:
                    self._tell(name)

    # --- writing ----------------------------------------------------------------------------------------

    def _soon(self, known: Known) -> None:
        """Have its pins written: later each time, if it is one that changes all the time."""
        now = asyncio.get_running_loop().time()
        if now - known.wrote > _QUIET:
            known.writes = 0
        if not known.due:
            known.due = now + DELAY * 2 ** min(known.writes, _DOUBLED)
        if self._timer is None or known.due < self._at:
            self._wake()

    def _wake(self) -> None:
        """Begin when the first of them is due."""
        if self._write is None or self._writing is not None:
            return
        at = min((each.due for each in self._known.values() if each.due), default=0.0)
        if not at:
            return
        at += random.uniform(0, DELAY)  # noqa: S311 - no secret
        if self._timer is not None:
            if self._at <= at:
                return
            self._timer.cancel()
        self._at = at  # a handle of uvloop's does not say when, if that was at once
        self._timer = asyncio.get_running_loop().call_at(at, self._begin_writing, self._write)

    def _begin_writing(self, write: Write, *, every: bool = False) -> None:
        loop, self._timer = asyncio.get_running_loop(), None
        now = loop.time()
        due = [name for name, each in self._known.items() if each.due and (every or each.due <= now)]
        self._writing = loop.create_task(self._flush(write, due[:_MOST]))

    async def _flush(self, write: Write, due: Sequence[str]) -> None:
        loop, again = asyncio.get_running_loop(), DELAY
        try:
            for name in due:
                if (known := self._known.get(name)) is not None:
                    known.pins = known.pins.tight()
                    await asyncio.sleep(0)
            await write(partial(self._changes, due), AUTHOR)
        except Stale:
            pass  # another worker was first: what it wrote is in effect now, and this decides anew
        except RegistryDown:
            again = _LATER
        except Exception as error:  # whatever is wrong with the registry, calls go on
            self._log.error("pins.not_written", exc_info=error)
            again = _LATER
        finally:
            self._writing = None
        for name in due:
            if (known := self._known.get(name)) is not None:
                known.writes, known.wrote = known.writes + 1, loop.time()
                rest = max(again, DELAY * 2 ** min(known.writes, _DOUBLED))
                known.due = known.wrote + rest if known.due else 0.0
        self._wake()

    def _changes(self, names: Sequence[str]) -> list[Change]:
        """What is to be written, if it still is."""
        known = ((name, self._known.get(name)) for name in names)
        return [self.change(name, each.pins) for name, each in known if each is not None and each.due]

    def change(self, upstream: str, pins: Pins) -> Change:
        """What makes these the pins of an upstream, if they are what they were."""
        record = self._records.get(upstream)
        version = record.version if record is not None else 0
        return Change(KIND, upstream, pins.as_config(), expected=version)

    async def close(self) -> None:
        """Write what is still to be written, and nothing more."""
        write, self._write = self._write, None
        if self._timer is not None:
            self._timer.cancel()
        if self._writing is None and write is not None and any(each.due for each in self._known.values()):
            self._begin_writing(write, every=True)
        if self._writing is not None:
            _, late = await asyncio.wait([self._writing], timeout=_AT_LAST)
            for task in late:
                task.cancel()

    # --- what people ask --------------------------------------------------------------------------------

    def held_back(self, upstream: str) -> tuple[int, float]:
        """How many definitions of an upstream are held back, and since when: in seconds since 1970."""
        known = self._known.get(upstream)
        if known is None or not known.held:
            return 0, 0.0
        return len(known.held), min((each.since for each in known.pins.pending.values()), default=0.0)

    def known(self, upstream: str) -> Known | None:
        """What is known of an upstream, by the registry at least."""
        if upstream in self._known:
            return self._known[upstream]
        return self._recalled(upstream) if upstream in self._records else None

    def names(self) -> set[str]:
        """The upstreams something is known of."""
        return {*self._known, *self._records}


def forgetting(changes: Sequence[Change]) -> list[Change]:
    """What is to be changed besides: an upstream that is deleted leaves no pins."""
    said = {change.name for change in changes if change.kind == KIND}
    gone = (each.name for each in changes if each.kind == "upstreams" and each.config is None)
    return [Change(KIND, name, None) for name in gone if name not in said]


def _same(before: Seen | None, now: Seen) -> bool:
    return before is not None and before.digest == now.digest


def _some(lines: Sequence[str]) -> list[str]:
    """The first of many."""
    more = len(lines) - _SAID
    return [*lines[:_SAID], *([f"and {more} more"] if more > 0 else [])]
