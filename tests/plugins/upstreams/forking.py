"""Starts process after process while gRPC calls are under way; prints how many of them did not run."""

from __future__ import annotations

import asyncio
import sys

from portico.testing import RecordingLog
from portico_plugins.upstreams.mcp.process import Child
from tests.plugins.upstreams.grpc_kit import shop_upstream
from tests.plugins.upstreams.kit import call

ARGV = (sys.executable, "-S", "-E", "-c", "print('here', flush=True); input()")
PROCESSES = 60


async def runs() -> bool:
    """Whether a process that is started says something."""
    said: asyncio.Queue[bytes] = asyncio.Queue()
    child = await Child.start(ARGV, {}, None, RecordingLog(), said.put_nowait, lambda _: said.put_nowait(b""))
    try:
        return await said.get() == b"here\n"
    finally:
        await child.stop()


async def main() -> None:
    """Do so."""
    over = asyncio.Event()
    async with shop_upstream() as running:

        async def busy() -> None:
            while not over.is_set():
                await running.send(call("Orders_Get", {"id": "7"}))

        callers = [asyncio.create_task(busy()) for _ in range(8)]
        print([await runs() for _ in range(PROCESSES)].count(False))
        over.set()
        await asyncio.gather(*callers)


if __name__ == "__main__":
    asyncio.run(main())
