"""The sessions an upstream keeps, each under its key."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from portico.api import Era
from portico_plugins.upstreams.mcp import wire
from portico_plugins.upstreams.mcp.config import McpConfig
from portico_plugins.upstreams.mcp.pool import Pool, Want
from portico_plugins.upstreams.mcp.session import Session


class Wire:
    def __init__(self) -> None:
        self.lost = asyncio.Event()


class Held:
    """As much of a session as the pool looks at."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.in_flight = 0
        self.pins = 0
        self.last_used = 0.0
        self.idle = asyncio.Event()
        self.closed = asyncio.Event()

    async def open(self) -> None:
        return

    async def close(self) -> None:
        self.closed.set()


class Host:
    """As much of a host as the pool looks at."""

    name = "it"

    class clock:
        @staticmethod
        def monotonic() -> float:
            return 0.0


def want() -> Want:
    return Want(Era.LEGACY, "", cast("wire.Caller", None), {}, {})


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "with a call"])
async def test_a_session_that_another_takes_the_place_of_ends_when_its_calls_are_over(busy: bool) -> None:
    made: list[Held] = []

    def make(_: Want) -> Session:
        made.append(Held())
        return cast("Session", made[-1])

    pool = Pool(McpConfig(command=["x"]), cast("Any", Host()), make)
    async with asyncio.timeout(30):
        session = await pool.acquire(want())
        if not busy:
            pool.release(session)
        other = cast("Session", Held())
        pool.adopt(want(), other)
        if busy:
            await asyncio.sleep(0.05)
            assert not made[0].closed.is_set()
            pool.release(session)
        await made[0].closed.wait()
        assert list(pool.sessions("")) == [other]
        assert await pool.acquire(want()) is other
        await pool.close()
