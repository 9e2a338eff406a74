"""Updates of single resources, for each principal exactly those it wants."""

from __future__ import annotations

import asyncio

from portico.api import Era, Host, Json, Principal, Refused
from portico_plugins.upstreams.backoff import Backoff

from .call import Call
from .catalog import Catalog
from .legs import Legs
from .session import SessionExpired
from .wire import Caller

_PATIENCE = 10.0
"""Seconds `watch` waits for the server before it returns anyway."""


class _Watch:
    def __init__(self, principal: Principal) -> None:
        self.principal = principal
        self.uris: frozenset[str] = frozenset()
        self.changed = asyncio.Event()
        self.applied = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class Watches:
    """What every principal watches.

    Args:
        host: The upstream's host.
        legs: How to reach it.
        catalog: Its state.
    """

    def __init__(self, host: Host, legs: Legs, catalog: Catalog) -> None:
        self._host = host
        self._legs = legs
        self._catalog = catalog
        self._watches: dict[str, _Watch] = {}

    async def watch(self, principal: Principal, uris: frozenset[str]) -> None:
        """Replace what a principal watches; returns when the server has taken it, or after a while."""
        watch = self._watches.get(principal.key)
        if watch is None:
            if not uris:
                return
            watch = self._watches[principal.key] = _Watch(principal)
            watch.task = asyncio.create_task(self._run(watch))
        if watch.uris == uris and watch.applied.is_set():
            return
        watch.uris = uris
        watch.applied.clear()
        watch.changed.set()
        try:
            async with asyncio.timeout(_PATIENCE):
                await watch.applied.wait()
        except TimeoutError:
            self._host.log.info("upstream_watch_pending", resources=len(uris))

    def updated(self, principal: Principal | None, params: Json) -> None:
        """A session (of this principal; of everybody's when None) said that a resource changed."""
        uri = params.get("uri")
        if not isinstance(uri, str):
            return
        for watch in tuple(self._watches.values()):
            mine = principal is None or watch.principal.key == principal.key
            # Servers may name a part of what was subscribed to.
            if mine and any(uri.startswith(wanted) for wanted in watch.uris):
                self._host.wiring.resource_updated(self._host.name, watch.principal, params)

    async def close(self) -> None:
        """End every watch."""
        tasks = [watch.task for watch in self._watches.values() if watch.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, watch: _Watch) -> None:
        """Keep one principal's subscriptions, over lost sessions and ended streams."""
        backoff = Backoff()
        try:
            while watch.uris:
                await self._catalog.settled.wait()
                try:
                    if self._legs.modern:
                        await self._modern(watch, backoff)
                    else:
                        await self._legacy(watch, backoff)
                except SessionExpired:
                    continue
                except Refused as refusal:
                    self._host.log.debug("upstream_watch_lost", reason=refusal.message)
                    await asyncio.sleep(backoff.next())
        finally:
            if self._watches.get(watch.principal.key) is watch:
                del self._watches[watch.principal.key]
            watch.applied.set()

    async def _legacy(self, watch: _Watch, backoff: Backoff) -> None:
        pool = self._legs.pool
        caller = Caller(watch.principal)
        open_ones = [s for s in pool.sessions(self._legs.owner(caller)) if s.era is Era.LEGACY]
        want = self._legs.plain(Era.LEGACY, watch.principal)
        # Each set of capabilities has a session, and over stdio a process, of its own: what its client did
        # last, and wants to hear of, it did in the one used last.
        open_ones.sort(key=lambda s: (s.in_flight > 0, s.last_used))
        session = open_ones[-1] if open_ones else await pool.acquire(want)
        session.pins += 1
        if not open_ones:
            pool.release(session)
        lost = asyncio.create_task(session.wire.lost.wait())
        try:
            while not lost.done():
                watch.changed.clear()
                await session.watch(self._union(watch))
                watch.applied.set()
                backoff.reset()
                if not watch.uris:
                    return
                await _first(lost, watch.changed)
        finally:
            session.pins -= 1
            lost.cancel()

    def _union(self, watch: _Watch) -> frozenset[str]:
        """What the session is to watch: a shared one watches for everybody."""
        if not self._legs.config.shared:
            return watch.uris
        return frozenset().union(*(other.uris for other in self._watches.values()))

    async def _modern(self, watch: _Watch, backoff: Backoff) -> None:
        """One listen stream; a new filter opens a new one before the old is closed."""
        current: asyncio.Task[bytes] | None = None
        try:
            while watch.uris:
                watch.changed.clear()
                call = Call("subscriptions/listen")
                call.acknowledged = asyncio.Event()
                params = {"notifications": {"resourceSubscriptions": sorted(watch.uris)}}
                opened = asyncio.create_task(self._listen(watch.principal, params, call))
                current, old = opened, current
                await _first(opened, call.acknowledged)
                if old is not None:
                    old.cancel()
                watch.applied.set()
                if not opened.done():
                    backoff.reset()
                    await _first(opened, watch.changed)
                if opened.done():
                    opened.result()
                    await asyncio.sleep(backoff.next())
        finally:
            if current is not None:
                current.cancel()
                await asyncio.wait([current])

    async def _listen(self, principal: Principal, params: Json, call: Call) -> bytes:
        legs = self._legs
        if legs.stateless is not None:
            return await legs.stateless.request("subscriptions/listen", params, Caller(principal), call)
        session = await legs.pool.acquire(legs.plain(Era.MODERN, principal))
        try:
            return await session.request("subscriptions/listen", params, call)
        finally:
            legs.pool.release(session)


async def _first(task: asyncio.Task[bytes] | asyncio.Task[bool], event: asyncio.Event) -> None:
    """Wait for whichever comes first."""
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
