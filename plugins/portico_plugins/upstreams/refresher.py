"""The life of an upstream that is looked at again and again: how it is, and when the next look is due."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any

from portico.api import Host, State


class Refreshed:
    """An upstream that is as its refresher says."""

    _refresher: Refresher

    @property
    def state(self) -> State:
        """How it is now."""
        return self._refresher.state

    @property
    def reason(self) -> str:
        """Why it is not ready."""
        return self._refresher.reason

    async def refresh(self) -> None:
        """Have the server looked at again, soon."""
        self._refresher.wake()


class Refresher:
    """Looks at a server when that is due, and keeps how it is.

    Args:
        host: What the kernel offers.
        look: Looks once and says by `set` how it is; gives the seconds to the next look, None for none that
            is not asked for. It raises nothing.
        reason: Why the upstream is not ready before the first look is over.
        gap: The least seconds between two looks, whatever happens.
        lost: Returns when a server that was ready may be gone, for a look at once; None where nothing tells.

    Attributes:
        state: How the upstream is.
        reason: Why it is not ready.
        settled: Set when the first look is over.
    """

    def __init__(
        self,
        host: Host,
        look: Callable[[], Awaitable[float | None]],
        reason: str,
        gap: float = 0.0,
        lost: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self.state = State.STARTING
        self.reason = reason
        self.settled = asyncio.Event()
        self._host = host
        self._look = look
        self._gap = gap
        self._lost = lost
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self, grace: float) -> None:
        """Begin to look; waits up to `grace` seconds, so that a healthy server is there from the start."""
        self._task = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(grace):
                await self.settled.wait()
        except TimeoutError:
            self._host.log.info("upstream_still_starting")

    async def stop(self) -> None:
        """Look no more."""
        self.state, self.reason = State.STOPPED, "stopped"
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def wake(self) -> None:
        """Have the server looked at soon."""
        self._wake.set()

    def set(self, state: State, reason: str = "", changed: Collection[str] = ()) -> None:
        """Say how the server is, and which of its lists are new; the kernel hears of what has changed."""
        news = (self.state, self.reason) != (state, reason)
        self.state, self.reason = state, reason
        self.settled.set()
        if news and state is not State.READY:
            self._host.log.warning("upstream_degraded", state=str(state), reason=reason)
        if news or changed:
            self._host.wiring.offer_changed(self._host.name, changed)

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            await self._wait(await self._look())

    async def _wait(self, seconds: float | None) -> None:
        """Until it is time to look again: it is due, something is odd, or the server was lost."""
        least = self._gap if seconds is None else min(seconds, self._gap)
        await asyncio.sleep(least)
        left = None if seconds is None else seconds - least
        if self._lost is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._wake.wait()
            return
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(self._wake.wait())]
        if self.state is State.READY:
            tasks.append(asyncio.create_task(self._lost()))
        try:
            await asyncio.wait(tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
