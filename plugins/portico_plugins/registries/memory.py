"""Keeps records in memory, for tests and for trying out: they are gone when the process ends."""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import attrs

from portico.api import (
    Author,
    Change,
    Clock,
    Entry,
    Factory,
    Host,
    Record,
    Registry,
    RegistryFactory,
    hookimpl,
)
from portico_plugins.fields import number
from portico_plugins.registries.writing import Key, check, decide, ordered, put_in, wanted

gateway_api = (1, 0)


@attrs.frozen
class MemoryConfig:
    """Config of the `memory` registry."""

    history: int = number(10_000, "The most lines of the audit trail to keep; older ones are forgotten.")


class MemoryRegistry:
    """Records of one process.

    Args:
        clock: Tells when changes are made.
        history: The most lines of the audit trail to keep.
    """

    def __init__(self, clock: Clock, history: int = 10_000) -> None:
        self._clock = clock
        self._history = history
        self._revision = 0
        self._records: dict[Key, Record] = {}
        self._entries: list[Entry] = []
        self._changed = asyncio.Condition()

    async def load(self) -> tuple[int, Sequence[Record]]:
        """See `Registry.load`."""
        return self._revision, copy.deepcopy(ordered(self._records))

    async def write(self, changes: Sequence[Change], author: Author, *, expected: int | None = None) -> int:
        """See `Registry.write`."""
        check(changes)
        changes = copy.deepcopy(changes)
        async with self._changed:
            entries = decide(self._records, self._revision, changes, author, expected, self._clock.time())
            if entries:
                self._revision += 1
                put_in(self._records, entries)
                self._entries += entries
                del self._entries[: -self._history]
                self._changed.notify_all()
            return self._revision

    async def history(
        self, kind: str | None = None, name: str | None = None, *, before: int | None = None, limit: int = 50
    ) -> Sequence[Entry]:
        """See `Registry.history`."""
        found = (entry for entry in reversed(self._entries) if wanted(entry, kind, name, before))
        return copy.deepcopy(list(itertools.islice(found, limit)))

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[Callable[[], Awaitable[int]]]:
        """See `Registry.watch`."""
        known = self._revision

        async def following() -> int:
            nonlocal known
            async with self._changed:
                await self._changed.wait_for(lambda: self._revision != known)
                known = self._revision
                return known

        yield following


@asynccontextmanager
async def memory_registry(config: MemoryConfig, host: Host) -> AsyncIterator[Registry]:
    """Make an empty registry."""
    yield MemoryRegistry(host.clock, config.history)


MEMORY = Factory(
    name="memory",
    summary="Keeps records in memory, for tests and trying out; each worker has its own.",
    config=MemoryConfig,
    create=memory_registry,
    posture="hardened",
)


@hookimpl
def gateway_registries() -> Sequence[RegistryFactory]:
    """This plugin's registry."""
    return (MEMORY,)
