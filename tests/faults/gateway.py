"""A gateway under test, as a process of its own, seen from outside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import msgspec

from tests.faults import http1
from tests.faults.http1 import BROKEN, Json

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
"""How long it may take to serve; machines that run this are slow and shared."""

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]
"""The line on which a gateway is asked for a census."""

_TROUBLE = ("Traceback", "never retrieved", "call.fault", "http.fault", "component.", "_failed")


class Gone(Exception):
    """The gateway has ended, or does not answer."""


@attrs.frozen
class Census:
    """What the gateway holds.

    Attributes:
        tasks: Asyncio tasks by coroutine.
        fds: File descriptors by kind.
        children: Child processes, their children included.
        zombies: Children that ended and were not waited for.
        rss: Resident memory, bytes, after a collection.
        calls: Exchanges in flight.
        parked: Calls waiting for their client's answer.
        sessions: Legacy sessions.
    """

    tasks: dict[str, int]
    fds: dict[str, int]
    children: int
    zombies: int
    rss: int
    calls: int
    parked: int
    sessions: int

    def over(self, before: Census) -> list[str]:
        """What there is more of than before, memory aside; empty when nothing has leaked."""
        out = []
        for name in ("tasks", "fds"):
            now, then = sum(getattr(self, name).values()), sum(getattr(before, name).values())
            if now > then:
                kinds = getattr(self, name), getattr(before, name)
                more = {k: n - kinds[1].get(k, 0) for k, n in kinds[0].items() if n > kinds[1].get(k, 0)}
                out.append(f"{name} {then}->{now} {more}")
        for name in ("children", "zombies", "calls", "parked", "sessions"):
            if getattr(self, name) > getattr(before, name):
                out.append(f"{name} {getattr(before, name)}->{getattr(self, name)}")
        return out


class GatewayProcess:
    """A running gateway.

    Attributes:
        process: What was started, and is told to end.
        port: Where it listens.
        pid: The process that serves; the one started, or a worker of its.
    """

    def __init__(self, process: asyncio.subprocess.Process, log: Path, says: Json, line: Line) -> None:
        self.process = process
        self.port: int = says["port"]
        self.pid: int = says["pid"]
        self._log = log
        self._line = line
        self._asking = asyncio.Lock()

    def lines(self) -> list[str]:
        """What it logged."""
        return self._log.read_text("utf-8", "replace").splitlines()

    def trouble(self) -> list[str]:
        """Lines of the log that no fault of others excuses."""
        return [line[:300] for line in self.lines() if any(word in line for word in _TROUBLE)]

    async def census(self) -> Census:
        """What it holds now.

        Raises:
            Gone: It does not say.
        """
        async with self._asking:
            self._line[1].write(b"?\n")
            return Census(**await _said(self._line))

    async def settled(self, before: Census, seconds: float = 20.0) -> Census:
        """Its census, as soon as nothing is more than before, or when the time is over."""
        until = time.monotonic() + seconds
        while True:
            now = await self.census()
            if not now.over(before) or time.monotonic() > until:
                return now
            await asyncio.sleep(0.1)

    async def get(self, path: str) -> tuple[int, Json]:
        """A GET on a connection of its own: the status and the JSON."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            async with asyncio.timeout(10):
                host = {"host": f"127.0.0.1:{self.port}", "connection": "close"}
                writer.write(http1.head(f"GET {path} HTTP/1.1", host))
                head = await http1.read_head(reader)
                return int(head.start[1]), http1.decoded(await http1.read_body(reader, head.headers))
        finally:
            writer.close()

    async def ready(self, seconds: float = 45.0) -> str:
        """Wait until every upstream is; gives what is not, "" when all are."""
        until = time.monotonic() + seconds
        while True:
            try:
                _, said = await self.get("/readyz")
                waiting = {n: e for n, e in said.get("upstreams", {}).items() if e["state"] != "ready"}
            except (*BROKEN, TimeoutError) as error:
                waiting = {"gateway": type(error).__name__}
            if not waiting or time.monotonic() > until:
                return str(waiting) if waiting else ""
            await asyncio.sleep(0.05)

    async def degraded(self, count: int, seconds: float = 15.0) -> bool:
        """Wait until so many upstreams are shown as not ready; whether they were."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            _, said = await self.get("/readyz")
            if sum(each["state"] != "ready" for each in said["upstreams"].values()) >= count:
                return True
            await asyncio.sleep(0.05)
        return False

    async def ended(self, seconds: float = 30.0) -> int | None:
        """Its exit status; None when it has none by then."""
        try:
            async with asyncio.timeout(seconds):
                return await self.process.wait()
        except TimeoutError:
            return None


async def _said(line: Line) -> Json:
    try:
        async with asyncio.timeout(20):
            said = await line[0].readline()
    except (TimeoutError, OSError) as error:
        raise Gone(f"the gateway says nothing: {error!r}") from None
    if not said:
        raise Gone("the gateway has ended")
    return http1.decoded(said)


@asynccontextmanager
async def gateway(config: dict[str, Any]) -> AsyncIterator[GatewayProcess]:
    """Start `gateway serve` with these tables, and end it.

    Raises:
        Gone: It did not start.
    """
    lines: asyncio.Queue[Line] = asyncio.Queue()

    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.put_nowait((reader, writer))

    with tempfile.TemporaryDirectory(prefix="portico-faults-") as name:
        folder = Path(name)
        server = await asyncio.start_unix_server(answered, folder / "census")
        config = {**config, "observers": {"census": {"path": str(folder / "census")}}}
        (folder / "gateway.toml").write_text(toml(config))
        with (folder / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "portico", "serve", "--quiet", "--config", folder / "gateway.toml"),
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": f"{_plugin(folder)}:{ROOT}"},
                stderr=log,
            )
        line: Line | None = None
        try:
            line = await _called(process, lines, folder / "log")
            yield GatewayProcess(process, folder / "log", await _said(line), line)
        finally:
            await _end(process)
            server.close()
            if line is not None:
                line[1].close()


async def _called(process: asyncio.subprocess.Process, lines: asyncio.Queue[Line], log: Path) -> Line:
    """Wait for the gateway to call the harness."""
    calling, ending = asyncio.ensure_future(lines.get()), asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait({calling, ending}, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not calling.done():
            raise Gone(f"the gateway did not start: {log.read_text('utf-8', 'replace')[-2000:]}")
        return calling.result()
    finally:
        calling.cancel()
        ending.cancel()


async def _end(process: asyncio.subprocess.Process) -> None:
    """SIGTERM, once more for now, and SIGKILL if that does not help."""
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        if process.returncode is None:
            process.send_signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await process.wait()
    await process.wait()


def _plugin(folder: Path) -> Path:
    """A folder in which the census is installed as a distribution."""
    site = folder / "site"
    info = site / "portico_faults_census-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: portico-faults-census\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[portico.plugins]\ncensus = tests.faults.census\n")
    return site


def toml(tables: dict[str, Any]) -> str:
    """Tables of strings, numbers and lists as TOML; all are written inline."""
    return "\n".join(f"{name} = {_toml(value)}" for name, value in tables.items())


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return msgspec.json.encode(value).decode()
