"""Clients that call one tool after another for as long as they are wanted, and judge every answer.

They follow HTTP's rules for connections that are kept: one that the gateway announced to be closed, or
whose end has been seen between two requests, is replaced by another. A request that has been sent is never
sent again. The one exception is MCP's own rule for sessions: a legacy client that is told 404 opens another
session, and asks again in that.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Container

from tests.faults.client import Asked, Era, FaultyClient
from tests.faults.http1 import BROKEN, Json
from tests.faults.matrix import expected, plan
from tests.faults.stage import ERAS, together


class Caller:
    """A client in a loop.

    Attributes:
        client: Its connection; another one after a new session was opened.
        done: Calls that were answered with their own result.
        failed: What the others got, each with the time it ended on the monotonic clock.
        excused: Errors that were to be expected, by code.
        again: How often its session was gone, and it opened another.
        effects: Tokens of the side effects it was told of.

    Args:
        era: Its own.
        upstream: Whose tools it calls.
        port: The gateway's.
        seed: Decides what it calls.
        pause: Seconds between calls.
        excuses: Codes of errors that are to be expected.
    """

    def __init__(
        self,
        era: Era,
        upstream: Era,
        port: int,
        seed: str,
        pause: float = 0.0,
        excuses: Container[int | None] = (),
    ) -> None:
        self.era = era
        self.upstream = upstream
        self.client = FaultyClient(era, port)
        self.done = 0
        self.failed: list[tuple[float, Asked]] = []
        self.excused: Counter[int | None] = Counter()
        self.again = 0
        self.effects: list[str] = []
        self._excuses = excuses
        self._port = port
        self._pause = pause
        self._dice = random.Random(seed)

    async def open(self) -> None:
        """Shake hands, as often as it takes: a handshake that breaks is a failed call."""
        while True:
            self.client = FaultyClient(self.era, self._port)
            try:
                await self.client.__aenter__()
                return
            except BROKEN as error:
                lost = Asked("", "initialize", {}, end="broken", why=repr(error))
                self.failed.append((time.monotonic(), lost))
                await asyncio.sleep(0.01)

    async def run(self, wanted: Callable[[], bool]) -> None:
        """Call until no more is wanted; opens and ends the session."""
        await self.open()
        while wanted():
            tool, arguments = plan(self.upstream, self._dice)
            await self._one(tool, arguments)
            if self._pause:
                await asyncio.sleep(self._pause)
        await self.client.end(self._port)

    async def _one(self, tool: str, arguments: Json) -> None:
        asked = await self.client.call(tool, arguments)
        if self.era == "legacy" and asked.status == 404 and asked.end == "whole":
            self.again += 1
            self.client.hang_up()
            await self.open()
            asked = await self.client.call(tool, arguments)
        one = asked.end == "whole" and [each.get("id") for each in asked.answers] == [asked.id]
        if not one or self.client.unread:
            self.failed.append((time.monotonic(), asked))
        elif asked.text == expected(asked):
            self.done += 1
            if tool.endswith("__count"):
                self.effects.append(arguments["token"])
        elif asked.code in self._excuses:
            self.excused[asked.code] += 1
        else:
            self.failed.append((time.monotonic(), asked))
        self.client.asked.clear()


class Load:
    """Callers of every pair of eras.

    Args:
        port: The gateway's.
        seed: Decides what they call.
        each: How many of each pair.
        pause: Seconds each of them pauses between calls.
        excuses: Codes of errors that are to be expected.
    """

    def __init__(
        self, port: int, seed: str, each: int, pause: float = 0.0, excuses: Container[int | None] = ()
    ) -> None:
        self.callers = [
            Caller(era, upstream, port, f"{seed}:{era}:{upstream}:{number}", pause, excuses)
            for era, upstream, number in itertools.product(ERAS, ERAS, range(each))
        ]
        self._wanted = True
        self._running = asyncio.ensure_future(together(*(each.run(self._more) for each in self.callers)))

    def _more(self) -> bool:
        return self._wanted

    @property
    def done(self) -> int:
        """Calls answered as they should be."""
        return sum(each.done for each in self.callers)

    @property
    def failed(self) -> list[Asked]:
        """What the others got."""
        return [asked for each in self.callers for _, asked in each.failed]

    @property
    def again(self) -> int:
        """How often a session was gone and another was opened."""
        return sum(each.again for each in self.callers)

    async def until(self, calls: int, seconds: float = 120.0) -> None:
        """Wait until so many calls have been answered.

        Raises:
            TimeoutError: They were not.
        """
        async with asyncio.timeout(seconds):
            while self.done < calls:
                if self._running.done():
                    self._running.result()
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Let the last calls end, and the sessions."""
        self._wanted = False
        await self._running
