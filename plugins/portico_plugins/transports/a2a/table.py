"""The tasks of one virtual server: whose they are, how many there may be, and for how long."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Final

import attrs

from portico.api import OVERLOADED, Endpoint, Principal, failure
from portico_plugins.transports.a2a.handles import HANDLE
from portico_plugins.transports.a2a.running import Run
from portico_plugins.transports.a2a.webhooks import Webhooks
from portico_plugins.transports.a2a.work import Event, Work

_TTL: Final = 365 * 86_400.0


@attrs.frozen
class Bounds:
    """How much is remembered.

    Attributes:
        most: Tasks in all.
        most_each: Tasks of one principal.
        kept: For how many seconds a task that is over stays.
        waiting: For how many seconds one waits for its client.
    """

    most: int
    most_each: int
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
    """

    def __init__(self, endpoint: Endpoint, bounds: Bounds, log_level: str, hooks: Webhooks | None) -> None:
        self._endpoint = endpoint
        self._bounds = bounds
        self._log_level = log_level
        self._hooks = hooks
        self._entries: dict[str, Entry] = {}

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
        mine = [entry.work for entry in self._entries.values() if entry.work.owner == owner]
        if len(mine) >= self._bounds.most_each:
            self._make_room(mine)
        if len(self._entries) >= self._bounds.most:
            self._make_room([entry.work for entry in self._entries.values()])
        ident = self._endpoint.seal.close(HANDLE, owner, secrets.token_hex(16), _TTL)
        told = self._hooks.told if self._hooks is not None else _nobody
        work = Work(ident, context or secrets.token_hex(16), owner, self._endpoint.clock.time, told)
        entry = self._entries[ident] = Entry(work, Run(self._endpoint, work, self._log_level))
        return entry

    def _make_room(self, among: list[Work]) -> None:
        """Forget the oldest of some tasks that is over."""
        over = [work for work in among if work.over]
        if not over:
            raise failure(OVERLOADED, "Too many tasks are under way", reason="task_limit")
        self.forget(min(over, key=lambda work: work.order).task.id)

    def forget(self, ident: str) -> None:
        """It does not exist any more."""
        del self._entries[ident]
        if self._hooks is not None:
            self._hooks.forget(ident)

    def find(self, ident: str, owner: Principal) -> Entry | None:
        """A task of this principal; anybody else's does not exist."""
        entry = self._entries.get(ident)
        return entry if entry is not None and entry.work.owner == owner else None

    def of(self, owner: Principal) -> Iterator[Work]:
        """The tasks of a principal."""
        return (entry.work for entry in self._entries.values() if entry.work.owner == owner)

    def sweep(self) -> None:
        """Forget what has been over for long, and give up what nobody answers."""
        now = self._endpoint.clock.time()
        for ident, entry in list(self._entries.items()):
            age = now - entry.work.changed
            if entry.work.over and age > self._bounds.kept:
                self.forget(ident)
            elif entry.work.waits and age > self._bounds.waiting:
                entry.run.give_up()

    def close(self) -> None:
        """End every task."""
        for entry in self._entries.values():
            entry.run.give_up("The agent is not there any more.")


def _nobody(work: Work, event: Event) -> None:
    """Nobody is told."""
