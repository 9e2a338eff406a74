"""The tasks of one virtual server: whose they are, how many there may be, and for how long."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from functools import partial
from typing import Final

import attrs

from portico.api import OVERLOADED, Endpoint, Log, Principal, failure
from portico_plugins.transports.a2a.handles import HANDLE
from portico_plugins.transports.a2a.running import Run
from portico_plugins.transports.a2a.webhooks import Webhooks
from portico_plugins.transports.a2a.work import Event, Work

MOST_WAITING: int = 256
"""Tasks of one principal that may wait for answers at once."""

_TTL: Final = 365 * 86_400.0


@attrs.frozen
class Bounds:
    """How much is remembered.

    Attributes:
        most: Tasks in all.
        most_each: Tasks of one principal.
        most_bytes: What they have said and made, all together.
        most_bytes_each: Likewise, of one principal.
        kept: For how many seconds a task that is over stays.
        waiting: For how many seconds one waits for its client.
    """

    most: int
    most_each: int
    most_bytes: int
    most_bytes_each: int
    kept: float
    waiting: float


@attrs.frozen(eq=False)
class Entry:
    """A task, and what carries it out."""

    work: Work
    run: Run


class Table:
    """Tasks by id.

    Args:
        endpoint: The virtual server.
        bounds: How many, and how long.
        log_level: The least severe log messages that tasks pass on; "" for none.
        hooks: Tells webhooks of tasks; None if there are none.
        log: The plugin's.
    """

    def __init__(
        self, endpoint: Endpoint, bounds: Bounds, log_level: str, hooks: Webhooks | None, log: Log
    ) -> None:
        self._endpoint = endpoint
        self._bounds = bounds
        self._log_level = log_level
        self._hooks = hooks
        self._log = log
        self._entries: dict[str, Entry] = {}  # the oldest first
        self._owned: dict[Principal, dict[str, Entry]] = {}
        self._bytes = 0
        self._bytes_of: dict[Principal, int] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def open(self, owner: Principal, context: str) -> Entry:
        """A new task.

        Args:
            owner: Whose it is.
            context: The conversation it belongs to; "" for a new one.

        Raises:
            Refused: 50302: there are too many that are not over.
        """
        bounds, mine = self._bounds, self._owned.get(owner, {})
        while len(mine) >= bounds.most_each or self._bytes_of.get(owner, 0) > bounds.most_bytes_each:
            self._make_room(mine)
        while len(self._entries) >= bounds.most or self._bytes > bounds.most_bytes:
            self._make_room(mine, self._entries)
        ident = self._endpoint.seal.close(HANDLE, owner, secrets.token_hex(16), _TTL)
        told = self._hooks.told if self._hooks is not None else _nobody
        now = self._endpoint.clock.time
        grew = partial(self._grew, owner)
        work = Work(ident, context or secrets.token_hex(16), owner, now, told, grew)

        def may_wait() -> bool:
            return sum(each.waits for each in self.of(owner)) < MOST_WAITING

        run = Run(self._endpoint, work, self._log_level, self._log, may_wait)
        entry = Entry(work, run)
        self._entries[ident] = self._owned.setdefault(owner, {})[ident] = entry
        return entry

    def _grew(self, owner: Principal, size: int) -> None:
        self._bytes += size
        self._bytes_of[owner] = self._bytes_of.get(owner, 0) + size

    def _make_room(self, *among: dict[str, Entry]) -> None:
        """Forget the oldest of some tasks that is over; of those named first, if there is one."""
        for entries in among:
            for ident, entry in entries.items():
                if entry.work.over:
                    self.forget(ident)
                    return
        raise failure(OVERLOADED, "Too many tasks are under way", reason="task_limit")

    def forget(self, ident: str) -> None:
        """It does not exist any more."""
        work = self._entries.pop(ident).work
        self._grew(work.owner, -work.size)
        mine = self._owned[work.owner]
        del mine[ident]
        if not mine:
            del self._owned[work.owner], self._bytes_of[work.owner]
        if self._hooks is not None:
            self._hooks.forget(ident)

    def find(self, ident: str, owner: Principal) -> Entry | None:
        """A task of this principal; anybody else's does not exist."""
        entry = self._entries.get(ident)
        return entry if entry is not None and entry.work.owner == owner else None

    def of(self, owner: Principal) -> Iterator[Work]:
        """The tasks of a principal."""
        return (entry.work for entry in self._owned.get(owner, {}).values())

    def sweep(self) -> None:
        """Forget what has been over for long, and give up what nobody answers."""
        now = self._endpoint.clock.time()
        for ident, entry in list(self._entries.items()):
            age = now - entry.work.changed
            if entry.work.over and age > self._bounds.kept:
                self.forget(ident)
            elif entry.work.waits and age > self._bounds.waiting:
                entry.run.give_up()

    def drain(self) -> None:
        """The gateway ends: what only waits ends now, what is under way may finish."""
        for entry in self._entries.values():
            if not entry.run.calling:
                entry.run.give_up("The gateway is shutting down.")

    def close(self) -> None:
        """End every task."""
        for entry in self._entries.values():
            entry.run.give_up("The agent is not there any more.")


def _nobody(work: Work, event: Event) -> None:
    """Nobody is told."""
