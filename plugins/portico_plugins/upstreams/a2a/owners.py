"""Whose the tasks and contexts of an agent are (A2A 13.1).

An agent sees one caller, the gateway; which of the gateway's callers began a task, only the gateway knows.
All its workers do, and so does its next start: see `ledger`.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from typing import Final, TypeVar

from portico.api import Clock, Log, Principal

from .ledger import Key, Kind, Ledger

T = TypeVar("T")

LONGEST: Final = 512
"""The longest id that is kept, in characters; a longer one is nobody's."""

_CACHED: Final = 4096
_TOUCH: Final = 3600.0
"""Seconds after which the database is to hear that an id is still in use."""


class Owners:
    """Who owns what at one agent.

    Args:
        file: The database; every agent of a gateway may share it.
        upstream: The agent's name.
        clock: Time.
        log: Hears when the database cannot be used; then only this process knows.
        most: How many ids are kept, of all agents together; those not used for the longest go first.
        keep: Seconds for which an id is kept that nobody uses.
    """

    def __init__(
        self,
        file: Path,
        upstream: str,
        clock: Clock,
        log: Log,
        *,
        most: int = 100_000,
        keep: float = 30 * 86_400.0,
    ) -> None:
        self._clock = clock
        self._log = log
        self._ledger = Ledger(file, upstream, most, keep)
        self._known: OrderedDict[Key, tuple[str, float]] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="a2a-owners")  # one: the ledger wants turns

    async def claim(self, principal: Principal, keys: Iterable[Key]) -> bool:
        """Take ids into possession that nobody owns yet.

        Args:
            principal: Whose they are to be.
            keys: `("task", id)` and `("context", id)`.

        Returns:
            Whether they are all this principal's now.
        """
        mine = _mark(principal)
        new: list[Key] = []
        for key in dict.fromkeys(keys):
            if not key[1] or len(key[1]) > LONGEST:
                return False
            owner = self._cached(key)
            if owner is None:
                new.append(key)
            elif owner != mine:
                return False
        if not new:
            return True
        now = self._clock.time()
        found = self._learnt(await self._ask(lambda ledger: ledger.claim(mine, new, now)))
        return all(found.get(key) == mine for key in new)

    async def owns(self, principal: Principal, kind: Kind, ident: str) -> bool | None:
        """Whether something is this principal's; None: nobody owns it."""
        if not ident or len(ident) > LONGEST:
            return None
        owner = (await self._owners([(kind, ident)])).get((kind, ident))
        return None if owner is None else owner == _mark(principal)

    async def mine(self, principal: Principal, tasks: Iterable[str]) -> frozenset[str]:
        """Those of some tasks that are this principal's."""
        keys: list[Key] = [("task", each) for each in tasks if each and len(each) <= LONGEST]
        found, mine = await self._owners(keys), _mark(principal)
        return frozenset(key[1] for key in keys if found.get(key) == mine)

    async def count(self, principal: Principal) -> int:
        """How many tasks this principal has."""
        mine = _mark(principal)
        return await self._ask(lambda ledger: ledger.count(mine))

    async def close(self) -> None:
        """Close the database."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._ledger.close)
        self._thread.shutdown(wait=False)

    async def _owners(self, keys: list[Key]) -> dict[Key, str]:
        found = {key: owner for key in keys if (owner := self._cached(key)) is not None}
        unknown = [key for key in keys if key not in found]
        if unknown:
            now = self._clock.time()
            found |= self._learnt(await self._ask(lambda ledger: ledger.look(unknown, now)))
        return found

    def _cached(self, key: Key) -> str | None:
        known = self._known.get(key)
        if known is None or self._clock.time() - known[1] > _TOUCH:
            return None
        self._known.move_to_end(key)
        return known[0]

    def _learnt(self, found: dict[Key, str]) -> dict[Key, str]:
        now = self._clock.time()
        for key, owner in found.items():
            self._known[key] = (owner, now)
            self._known.move_to_end(key)
        while len(self._known) > _CACHED:
            self._known.popitem(last=False)
        return found

    async def _ask(self, work: Callable[[Ledger], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._asked, work)

    def _asked(self, work: Callable[[Ledger], T]) -> T:
        if not self._ledger.opened:
            try:
                self._ledger.open()
            except (sqlite3.Error, OSError) as error:
                self._log.warning("a2a.owners_in_memory", error=str(error))
                self._ledger = self._ledger.in_memory()
                self._ledger.open()
        return work(self._ledger)


def _mark(principal: Principal) -> str:
    """What stands for a principal: differs whenever the identity does, and says nothing of it."""
    return blake2b(principal.key.encode(), digest_size=16).hexdigest()
