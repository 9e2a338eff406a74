"""Which tasks each principal has been given: how many may live at a time, and results kept."""

from __future__ import annotations

import asyncio
from typing import Final

import attrs

from portico._core.contracts.auth import Principal
from portico._core.contracts.json import Json
from portico._core.contracts.result import Result

MOST_EACH: Final = 128
"""Tasks of one principal that may live at one time, and as many that have ended are remembered."""

MOST_KEPT_EACH: Final = 4 << 20
"""Bytes of results kept for one principal; the newest one is kept whatever its size."""

_MOST: Final = 20_000
"""Tasks remembered of all principals."""

_MOST_KEPT: Final = 64 << 20
"""Bytes of results kept for all principals."""

_UNSAID: Final = 3600.0
"""Seconds a task counts that does not say how long it lives."""

_LONGEST: Final = 86_400.0
OVER: Final = frozenset({"completed", "failed", "cancelled"})


@attrs.define(eq=False)
class Known:
    """A task that its client has been given.

    Attributes:
        handle: What the client knows it as.
        owner: The key of its principal.
        state: What was last told of it, in the words of the extension; without its result.
        kept: Its result, where nobody else has that.
        timer: Has it forgotten.
    """

    handle: str
    owner: str
    state: Json
    kept: Result | None = None
    timer: asyncio.TimerHandle | None = None

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state.get("status") in OVER


class KnownTasks:
    """The tasks given out by one virtual server of this process, oldest first."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, Known]] = {}
        self._all: dict[str, Known] = {}
        self._kept = 0

    def full(self, principal: Principal) -> bool:
        """Whether a principal has as many living tasks as it may have."""
        if len(self._of.get(principal.key, ())) < MOST_EACH:
            return False
        return sum(not each.over for each in self.of(principal)) >= MOST_EACH

    def add(self, principal: Principal, handle: str, state: Json, kept: Result | None = None) -> Known:
        """Remember a task, and forget others for it where there are too many."""
        ttl = state.get("ttlMs")
        said = isinstance(ttl, int | float) and not isinstance(ttl, bool)
        seconds = min(max(ttl, 0), _LONGEST * 1000) / 1000 if said and ttl is not None else _UNSAID
        known = Known(handle, principal.key, _of_note(state), kept)
        known.timer = asyncio.get_running_loop().call_later(seconds, self._forget, known)
        self._all[handle] = self._of.setdefault(principal.key, {})[handle] = known
        self._kept += _size(known)
        mine = self.of(principal)
        over = [each for each in mine if each.over]
        for each in over[:-MOST_EACH]:
            self._forget(each)
        room = MOST_KEPT_EACH
        for each in reversed(mine):
            room -= _size(each)
            if room < 0 and each.kept is not None and each is not known:
                self._forget(each)
        while len(self._all) > _MOST or (self._kept > _MOST_KEPT and len(self._all) > 1):
            self._forget(next(iter(self._all.values())))
        return known

    def seen(self, principal: Principal, handle: str, state: Json) -> None:
        """Take note of what a client is told of a task."""
        known = self._of.get(principal.key, {}).get(handle)
        if known is not None and not known.over:
            known.state = _of_note(state)

    def cancelled(self, principal: Principal, handle: str) -> None:
        """Take note that a client wants nothing more of a task."""
        known = self._of.get(principal.key, {}).get(handle)
        if known is not None and not known.over:
            known.state = {**known.state, "status": "cancelled"}

    def of(self, principal: Principal) -> list[Known]:
        """A principal's tasks."""
        return list(self._of.get(principal.key, {}).values())

    def kept(self, principal: Principal, handle: str) -> Known | None:
        """A task whose result is kept here."""
        known = self._of.get(principal.key, {}).get(handle)
        return known if known is not None and known.kept is not None else None

    def _forget(self, known: Known) -> None:
        if self._all.pop(known.handle, None) is None:
            return
        timer, known.timer = known.timer, None
        if timer is not None:
            timer.cancel()
        self._kept -= _size(known)
        mine = self._of[known.owner]
        del mine[known.handle]
        if not mine:
            del self._of[known.owner]


def _size(known: Known) -> int:
    return len(known.kept.raw) if known.kept is not None else 0


def _of_note(state: Json) -> Json:
    """What is remembered of a task's state."""
    kept = ("status", "createdAt", "lastUpdatedAt", "ttlMs", "pollIntervalMs")
    note = {key: state[key] for key in kept if key in state}
    return note | ({"statusMessage": str(state["statusMessage"])[:500]} if "statusMessage" in state else {})
