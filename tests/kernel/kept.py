"""A registry plugin for tests: a dictionary, shared by all that name the same shelf. It can be taken away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import attrs

from portico.api import Author, Change, Entry, Factory, Host, Record, Registry, RegistryDown, Stale, hookimpl

gateway_api = (1, 0)


class Shelf:
    """The records."""

    def __init__(self) -> None:
        self.revision = 0
        self.records: dict[tuple[str, str], Record] = {}
        self.entries: list[Entry] = []
        self.away = False
        self.news = asyncio.Condition()


SHELVES: dict[str, Shelf] = {}


class KeptRegistry:
    """See `Registry`; as little of it as the kernel's tests need."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf

    def _there(self) -> Shelf:
        if self.shelf.away:
            raise RegistryDown("taken away")
        return self.shelf

    async def load(self) -> tuple[int, Sequence[Record]]:
        shelf = self._there()
        return shelf.revision, [shelf.records[key] for key in sorted(shelf.records)]

    async def write(self, changes: Sequence[Change], author: Author, *, expected: int | None = None) -> int:
        shelf = self._there()
        if expected is not None and expected != shelf.revision:
            raise Stale("", "", shelf.revision)
        for change in changes:
            found = shelf.records.get((change.kind, change.name))
            version = found.version if found is not None else 0
            if change.expected is not None and change.expected != version:
                raise Stale(change.kind, change.name, version)
        shelf.revision += 1
        for change in changes:
            key = (change.kind, change.name)
            before = shelf.records.pop(key, None)
            if before is None and change.config is None:
                continue
            after = None
            if change.config is not None:
                version = before.version + 1 if before is not None else 1
                after = Record(*key, change.config, change.about, version, shelf.revision)
                shelf.records[key] = after
            number = after.version if after is not None else version
            shelf.entries.append(Entry(shelf.revision, 0.0, author, *key, number, before, after))
        async with shelf.news:
            shelf.news.notify_all()
        return shelf.revision

    async def history(
        self, kind: str | None = None, name: str | None = None, *, before: int | None = None, limit: int = 50
    ) -> Sequence[Entry]:
        found = [
            each
            for each in self._there().entries[::-1]
            if kind in (None, each.kind)
            and name in (None, each.name)
            and (before is None or each.revision < before)
        ]
        return found[:limit]

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[Callable[[], Awaitable[int]]]:
        known = self._there().revision

        async def changed() -> int:
            nonlocal known
            async with self.shelf.news:
                await self.shelf.news.wait_for(lambda: self.shelf.away or self.shelf.revision != known)
            known = self._there().revision
            return known

        yield changed


@attrs.frozen
class KeptConfig:
    """Which shelf."""

    shelf: str


@asynccontextmanager
async def kept(config: KeptConfig, host: Host) -> AsyncIterator[Registry]:
    yield KeptRegistry(SHELVES.setdefault(config.shelf, Shelf()))


@hookimpl
def gateway_registries() -> Sequence[Factory[KeptConfig, Registry]]:
    return (Factory(name="kept", summary="For tests.", config=KeptConfig, create=kept),)
