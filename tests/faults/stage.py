"""The stage: two upstreams, a gateway, and fault proxies on every way between them and the clients."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import attrs

from tests.faults.client import Era, FaultyClient
from tests.faults.gateway import GatewayProcess, gateway
from tests.faults.held import Census
from tests.faults.http1 import BROKEN, Json
from tests.faults.proxy import FaultProxy
from tests.faults.upstream import Upstream
from tests.faults.verdicts import LEAK, LOG, MEMORY, NEXT, RECOVERS, Row

ERAS: tuple[Era, Era] = ("legacy", "modern")
CALL_SECONDS = 2.0
"""The deadline of a call at the gateway, so that a black hole does not take long."""
GROWTH = 24 << 20
"""Bytes of memory that pools, caches and the allocator may keep over what the first calm round left."""


@attrs.define
class Stage:
    """What runs.

    Attributes:
        gateway: The gateway.
        upstreams: By era.
        ways: Proxies between the gateway and the upstream of each era.
        front: The proxy between clients and the gateway.
        before: What the gateway held after a calm round; set by whoever made one.
    """

    gateway: GatewayProcess
    upstreams: dict[Era, Upstream]
    ways: dict[Era, FaultProxy]
    front: FaultProxy
    before: Census | None = None
    _seen: int = 0

    async def heal(self) -> None:
        """End every fault."""
        for proxy in (self.front, *self.ways.values()):
            await proxy.open()
            proxy.heal()

    async def settle(self, *rounds: Awaitable[object]) -> None:
        """Make what is normal of what pools, caches and sessions with upstreams keep after `rounds`."""
        for each in rounds:
            await each
        for era in ERAS:
            for other in ERAS:
                # Sessions with upstreams are kept per set of capabilities.
                await self.next_call(era, other)
                await self.next_call(era, other, {"elicitation": {"form": {}}})
        self.before = await self.gateway.census()

    async def aftermath(self, rows: list[Row], *, misled: bool = False) -> None:
        """Look at what must hold again once the fault is over, and whoever made calls has left.

        What belongs to the gateway as a whole is noted in the first row.

        Args:
            rows: Where to note it.
            misled: The upstreams' lists may have arrived with wrong names in them, which nobody can tell. The
                connections with upstreams are cut, so that the lists are fetched anew, and waited for.
        """
        if misled:
            for way in self.ways.values():
                way.drop()
        first = rows[0]
        waiting = await self.gateway.ready()
        first.hold(RECOVERS, not waiting, f"not ready: {waiting}")
        for row in rows:
            client, _, upstream = row.eras.partition(">")
            for era in ERAS if client == "both" else (client,):
                for other in ERAS if upstream == "both" else (upstream,):
                    row.check(NEXT, await self._next(era, other, misled))  # type: ignore[arg-type]
        await self.count(first)

    async def _next(self, era: Era, upstream: Era, patient: bool) -> str | None:
        until = time.monotonic() + (20.0 if patient else 0.0)
        while problem := await self.next_call(era, upstream):
            if time.monotonic() >= until:
                return problem
            await asyncio.sleep(0.1)
        return None

    async def count(self, row: Row) -> None:
        """Compare what the gateway holds with what it held."""
        before = self.before
        now = await self.gateway.settled(before) if before is not None else await self.gateway.census()
        if before is not None:
            row.check(LEAK, *now.over(before))
            grown = now.rss - before.rss
            row.hold(MEMORY, grown < GROWTH, f"{grown / 2**20:.1f} MiB more than after the calm round")
            row.facts["rss_mib"] = round(now.rss / 2**20, 1)
        trouble = self.gateway.trouble()
        row.check(LOG, *trouble[self._seen : self._seen + 5])
        self._seen = len(trouble)

    async def quiet(self, seconds: float = 8.0) -> Census:
        """What the gateway holds when pools have let go of the connections that nobody uses."""
        await asyncio.sleep(seconds)
        return await self.gateway.census()

    async def next_call(self, era: Era, upstream: Era, can: Json | None = None) -> str | None:
        """Whether a new client of one era can call a tool of the upstream of another; None when it can."""
        try:
            async with FaultyClient(era, self.front.port, capabilities=can) as client:
                asked = await client.call(f"{upstream}__echo", {"payload": f"next-{client.name}"})
                await client.end(self.gateway.port)
        except BROKEN as error:
            return f"{era}>{upstream}: {error!r}"
        return None if asked.text == f"next-{client.name}" else f"{era}>{upstream}: {asked}"


def tables(ways: dict[str, int], fast_lane: bool = True, **gateway_keys: Any) -> dict[str, Any]:
    """A configuration with one upstream behind each port."""
    return {
        "gateway": {
            "listen": ["127.0.0.1:0"],
            "call_timeout": CALL_SECONDS,
            "log_level": "warning",
            "log_format": "json",
            **gateway_keys,
        },
        "servers": {"default": {"prefix": "always"}},
        "listeners": {"http": {"use": "hypercorn", "write_timeout": 3, "fast_lane": fast_lane}},
        "upstreams": {
            name: {"use": "mcp", "url": f"http://127.0.0.1:{port}/mcp", "connect_timeout": 1.5}
            for name, port in ways.items()
        },
    }


@asynccontextmanager
async def stage(fast_lane: bool = True, **gateway_keys: Any) -> AsyncIterator[Stage]:
    """Put everything up; take it down.

    Args:
        fast_lane: Which way HTTP/1.1 connections of clients are served.
        gateway_keys: More keys of `[gateway]`.
    """
    async with AsyncExitStack() as stack:
        upstreams = {era: await stack.enter_async_context(Upstream(era)) for era in ERAS}
        ways = {
            era: await stack.enter_async_context(FaultProxy("127.0.0.1", each.port))
            for era, each in upstreams.items()
        }
        ports: dict[str, int] = {era: way.port for era, way in ways.items()}
        process = await stack.enter_async_context(gateway(tables(ports, fast_lane, **gateway_keys)))
        front = await stack.enter_async_context(FaultProxy("127.0.0.1", process.port))
        yield Stage(process, upstreams, ways, front)


async def together(*work: Any) -> list[Any]:
    """Await several things at once; the first failure is raised when all have ended."""
    done = await asyncio.gather(*work, return_exceptions=True)
    for each in done:
        if isinstance(each, BaseException):
            raise each
    return done
