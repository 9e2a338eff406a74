"""Thousands of sockets that are idle or trickle, and a healthy client beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from bench.load import Endpoint, Shape, load
from bench.measure import Plan, progress
from bench.processes import stub_upstream
from bench.survival.figure import Figure, Sides
from tests.faults.client import Era
from tests.faults.gateway import gateway
from tests.faults.stage import ERAS, tables

IDLE = 2000
SLOW = 200
CONNECTIONS = 16
_TRICKLE = 0.5
"""Seconds between two bytes of a slow socket."""
_HEAD = b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nX-Slow: "
_BODY = _HEAD + b"no\r\nContent-Length: 9999\r\n\r\n{"
_PING = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class _Socket(asyncio.Protocol):
    """One connection: says its first words, and then a byte now and then if it is a slow one."""

    def __init__(self, crowd: Crowd, first: bytes, slow: bool) -> None:
        self._crowd = crowd
        self._first = first
        self.slow = slow
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._crowd.open.add(self)
        if self._first:
            transport.write(self._first)

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.open.discard(self)
        self._crowd.lost(self._first, self.slow)


class Crowd:
    """Keeps so many sockets open: those that the gateway closes are opened again.

    Half of the idle ones never say anything, the others have had an answer; half of the slow ones trickle
    their head, the others a body.

    Attributes:
        open: Those that are.
        closed: How many the gateway closed.
    """

    def __init__(self, port: int, idle: int, slow: int) -> None:
        self.open: set[_Socket] = set()
        self.closed = 0
        self._port = port
        self._wanted = [
            *((b"", _PING)[n % 2] for n in range(idle)),
            *((_HEAD, _BODY)[n % 2] for n in range(slow)),
        ]
        self._idle = idle
        self._leaving = False
        self._opening: set[asyncio.Task[None]] = set()
        self._trickling: asyncio.Future[None] | None = None

    async def come(self) -> None:
        """Open them all."""
        for number, first in enumerate(self._wanted):
            await self._connect(first, number >= self._idle)
        self._trickling = asyncio.ensure_future(self._trickle())

    async def _connect(self, first: bytes, slow: bool) -> None:
        make: Callable[[], _Socket] = lambda: _Socket(self, first, slow)  # noqa: E731
        await asyncio.get_running_loop().create_connection(make, "127.0.0.1", self._port)

    def lost(self, first: bytes, slow: bool) -> None:
        """One was closed."""
        if not self._leaving:
            self.closed += 1
            task = asyncio.ensure_future(self._connect(first, slow))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _trickle(self) -> None:
        while True:
            slow = [each for each in self.open if each.slow]
            for each in slow:
                # Spread evenly: what comes in one burst would be another kind of harm.
                await asyncio.sleep(_TRICKLE / len(slow))
                if each.transport is not None and not each.transport.is_closing():
                    each.transport.write(b"x")
            if not slow:
                await asyncio.sleep(_TRICKLE)

    async def leave(self) -> None:
        """Close them all."""
        self._leaving = True
        if self._trickling is not None:
            self._trickling.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for each in tuple(self.open):
            if each.transport is not None:
                each.transport.abort()
        while self.open:
            await asyncio.sleep(0.01)


async def many_sockets(plan: Plan, idle: int = IDLE, slow: int = SLOW) -> list[Figure]:
    """A healthy client with and without such a crowd beside it, in turn.

    Args:
        plan: Rounds and their length.
        idle: Idle sockets.
        slow: Slow ones.
    """
    sides: dict[Era, Sides] = {era: Sides(era) for era in ERAS}
    problems: list[str] = []
    async with AsyncExitStack() as stack:
        stub = stack.enter_context(stub_upstream(plan.tools, plan.cores.stub))
        config = tables({"stub": stub.port})
        config["listeners"]["http"] |= {"max_connections": 20_000, "max_connections_per_ip": 20_000}
        running = await stack.enter_async_context(gateway(config, plan.cores.gateway))
        await running.ready()

        async def measure(harm: bool, counts: bool = True) -> None:
            for era in ERAS:
                done = await asyncio.to_thread(
                    load, plan.tools, running.port, Shape(era, "tools/call", CONNECTIONS), plan.seconds,
                    plan.warmup, plan.cores.load, endpoint=Endpoint(tool="stub__echo"),
                )  # fmt: skip
                if counts:
                    (sides[era].harm if harm else sides[era].calm).append(done)

        closed = 0
        await measure(harm=False, counts=False)
        for number in range(plan.rounds + 1):
            await measure(harm=False)
            if number == plan.rounds:
                break
            crowd = Crowd(running.port, idle, slow)
            await crowd.come()
            await measure(harm=True)
            if len(crowd.open) < 0.98 * (idle + slow):
                problems.append(f"only {len(crowd.open)} sockets were open")
            await crowd.leave()
            closed += crowd.closed
            said = ", ".join(f"{era} {sides[era].ratio - 1:+.1%}" for era in ERAS)
            progress(f"{idle:,} idle and {slow} slow sockets: round {number + 1}/{plan.rounds}: p99 {said}")
    what = f"{idle:,} idle and {slow} slow sockets"
    figures = [figure for each in sides.values() for figure in each.figure(what, 10, problems)]
    for figure in figures:
        figure.facts["closed_by_the_gateway"] = closed
    return figures
