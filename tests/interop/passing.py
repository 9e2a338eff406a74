"""Wrappers and bridges as processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import psutil
from mcp import StdioServerParameters

from tests.interop.processes import ROOT

GATEWAY = str(Path(sys.executable).with_name("gateway"))
SERVER = f"{sys.executable} {ROOT / 'tests/interop/passing_server.py'}"
PATIENCE = 30.0


def wrapper(*arguments: str, **env: str) -> StdioServerParameters:
    """What an SDK client starts."""
    return StdioServerParameters(command=GATEWAY, args=["wrapper", *arguments], env=env)


@attrs.frozen
class Bridge:
    """A running bridge.

    Attributes:
        process: The process.
        port: Where it listens.
        said: What it has printed.
    """

    process: asyncio.subprocess.Process
    port: int
    said: str

    @property
    def url(self) -> str:
        """The endpoint of its first server."""
        return f"http://127.0.0.1:{self.port}/mcp"

    def children(self) -> list[psutil.Process]:
        """The processes it has started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    async def kill(self) -> None:
        """End it as an accident would."""
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """End it as an operator does; its exit status."""
        self.process.terminate()
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()


@contextlib.asynccontextmanager
async def bridge(*arguments: str, port: int = 0, **env: str) -> AsyncIterator[Bridge]:
    """`gateway bridge`, from when it says where it listens."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PORTICO_", "MCP_"))}
    process = await asyncio.create_subprocess_exec(
        *(GATEWAY, "bridge", "--port", str(port), *arguments),
        stdout=asyncio.subprocess.PIPE,
        env=kept | env,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        said = ""
        async with asyncio.timeout(PATIENCE):
            while "From:" not in said:
                line = await process.stdout.readline()
                assert line, f"the bridge ended: {said}"
                said += line.decode()
        found = re.search(r"://[^\s/]+:(\d+)/", said)
        assert found, said
        yield Bridge(process, int(found[1]), said)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def gone(processes: list[psutil.Process]) -> None:
    """Wait until processes are no more (a zombie that waits for init counts as gone)."""
    _, alive = await asyncio.to_thread(psutil.wait_procs, processes, PATIENCE / 2)
    assert [each for each in alive if each.status() != psutil.STATUS_ZOMBIE] == []
