"""The sessions of one upstream: one per owner and capability set, opened once, kept, and ended when idle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

import attrs

from portico.api import OVERLOADED, SHUTTING_DOWN, Era, Host, Json, Refused, failure
from portico_plugins.failures import failed, unavailable

from . import wire
from .config import McpConfig
from .restarts import Restarts
from .session import Session


def _key(want: Want) -> tuple[str, str, bytes]:
    shown = wire.encode(want.capabilities) if want.era is Era.LEGACY else b""
    return (want.era, want.owner, shown)


@attrs.frozen
class Want:
    """Which session is needed.

    Attributes:
        era: Of which era.
        owner: Whose it is: part of the key, never sent anywhere.
        caller: On whose behalf it speaks.
        capabilities: What a legacy handshake offers.
        client_info: How the client calls itself.
        key: Sessions with the same key are the same.
    """

    era: Era
    owner: str
    caller: wire.Caller
    capabilities: Json
    client_info: Json
    key: tuple[str, str, bytes] = attrs.field(init=False, default=attrs.Factory(_key, takes_self=True))


class _Entry:
    def __init__(self, want: Want, session: Session) -> None:
        self.want = want
        self.session = session
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.open = False  # whether `ready` is done, and well
        self.retired = asyncio.Event()
        self.owner: asyncio.Task[None] | None = None


def _succeed(entry: _Entry) -> None:
    entry.ready.set_result(None)
    entry.open = True


def _fail(entry: _Entry, refusal: Refused) -> None:
    entry.ready.set_exception(refusal)
    entry.ready.exception()  # retrieved, whether or not anybody waits


class Pool:
    """Keeps sessions.

    Args:
        config: The upstream's configuration.
        host: Its host.
        make: Makes a session that is not open yet.
    """

    def __init__(self, config: McpConfig, host: Host, make: Callable[[Want], Session]) -> None:
        self._config = config
        self._host = host
        self._make = make
        self._entries: dict[tuple[str, str, bytes], _Entry] = {}
        self._owners: set[asyncio.Task[None]] = set()
        self._restarts: dict[str, Restarts] = {}
        self._sweeper: asyncio.Task[None] | None = None

    def take(self, want: Want) -> Session | None:
        """An open session at once, if there is one; give it back with `release`."""
        entry = self._entries.get(want.key)
        if entry is None or not entry.open or entry.session.wire.why is not None:
            return None
        entry.session.in_flight += 1
        return entry.session

    async def acquire(self, want: Want) -> Session:
        """An open session; give it back with `release`.

        Raises:
            Refused: It cannot be opened.
        """
        entry = self._entries.get(want.key)
        if entry is None or entry.session.wire.lost.is_set():
            entry = self._begin(want, self._make(want))
            self._own(entry, adopted=False)
        session = entry.session
        session.in_flight += 1
        try:
            if not entry.ready.done():
                await asyncio.shield(entry.ready)
            else:
                entry.ready.result()
        except Refused as refusal:
            self.release(session)
            raise wire.again(refusal) from None
        except BaseException:
            self.release(session)
            raise
        return session

    def release(self, session: Session) -> None:
        """The call is over."""
        session.in_flight -= 1
        session.last_used = time.monotonic()
        if session.in_flight == 0:
            session.idle.set()

    def adopt(self, want: Want, session: Session) -> None:
        """Take in a session that is open already."""
        entry = self._begin(want, session)
        _succeed(entry)
        self._own(entry, adopted=True)

    def sessions(self, owner: str) -> Iterator[Session]:
        """The open sessions of one owner."""
        for entry in tuple(self._entries.values()):
            if entry.want.owner == owner and entry.ready.done() and not entry.session.wire.lost.is_set():
                yield entry.session

    def restarts(self, owner: str) -> Restarts:
        """How often the processes of one owner may still be restarted."""
        found = self._restarts.get(owner)
        if found is None:
            now = self._host.clock.monotonic
            found = self._restarts[owner] = Restarts(self._config.restarts, self._config.restart_window, now)
        return found

    def _begin(self, want: Want, session: Session) -> _Entry:
        if len(self._entries) >= self._config.max_sessions:
            free = [e for e in self._entries.values() if not e.session.in_flight and not e.session.pins]
            if not free:
                raise failed(OVERLOADED, "too_many_sessions", self._host.name)
            self._retire(min(free, key=lambda e: e.session.last_used))
        before = self._entries.get(want.key)
        if before is not None:
            # A call and the gateway itself may both have opened one after the last was lost. Who is not in
            # `_entries` is not swept: the older one ends when its calls are over.
            self._retire(before)
        entry = self._entries[want.key] = _Entry(want, session)
        if self._sweeper is None:
            self._sweeper = asyncio.create_task(self._sweep())
        return entry

    def _own(self, entry: _Entry, adopted: bool) -> None:
        entry.owner = asyncio.create_task(self._live(entry, adopted))
        self._owners.add(entry.owner)
        entry.owner.add_done_callback(self._owners.discard)

    async def _live(self, entry: _Entry, adopted: bool) -> None:
        """The life of a session, all of it in one task."""
        session = entry.session
        try:
            if not adopted and not await self._opened(entry):
                return
            retired = asyncio.create_task(entry.retired.wait())
            lost = asyncio.create_task(session.wire.lost.wait())
            try:
                await asyncio.wait({retired, lost}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                retired.cancel()
                lost.cancel()
            self._forget(entry)
            while session.in_flight:  # calls may go on on streams of their own
                session.idle.clear()
                await session.idle.wait()
        finally:
            self._forget(entry)
            if not entry.ready.done():
                text = "The gateway is shutting down."
                _fail(entry, failure(SHUTTING_DOWN, text, reason="shutting_down", upstream=self._host.name))
            await session.close()

    async def _opened(self, entry: _Entry) -> bool:
        try:
            restarts = self.restarts(entry.want.owner)
            if restarts.exhausted:
                raise unavailable(self._host.name, "restart_budget")
            if (wait := restarts.wait()) > 0:
                await asyncio.sleep(wait)
            async with asyncio.timeout(self._config.connect_timeout):
                await entry.session.open()
        except Refused as refusal:
            why = refusal
        except TimeoutError:
            why = unavailable(self._host.name, "handshake_timeout")
        except Exception as error:
            self._host.log.error("upstream_session_failed", error=repr(error))
            why = unavailable(self._host.name, "internal")
        else:
            _succeed(entry)
            return True
        self._forget(entry)
        _fail(entry, why)
        return False

    def _forget(self, entry: _Entry) -> None:
        if self._entries.get(entry.want.key) is entry:
            del self._entries[entry.want.key]

    def _retire(self, entry: _Entry) -> None:
        self._forget(entry)
        entry.retired.set()

    async def _sweep(self) -> None:
        """End what nobody has used for a while."""
        while True:
            await asyncio.sleep(min(self._config.idle_timeout / 4, 15.0))
            limit = time.monotonic() - self._config.idle_timeout
            for entry in tuple(self._entries.values()):
                session = entry.session
                if session.last_used < limit and not session.in_flight and not session.pins:
                    self._retire(entry)
            for owner, restarts in tuple(self._restarts.items()):
                if not restarts.wait():
                    del self._restarts[owner]

    async def close(self) -> None:
        """End every session."""
        tasks = set(self._owners)
        if self._sweeper is not None:
            tasks.add(self._sweeper)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
