"""A gateway under test, as a process of its own, seen from outside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Collection, Container
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from tests.faults import http1
from tests.faults.held import Census, supervising
from tests.faults.http1 import BROKEN, Json

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
"""How long it may take to serve; machines that run this are slow and shared."""

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]
"""The line on which a gateway is asked for a census."""

_TROUBLE = ("Traceback", "never retrieved", "call.fault", "http.fault", "component.", "_failed")


CONTROL = "control.sock"


class Gone(Exception):
    """The gateway has ended, or does not answer."""


class Switchboard:
    """Where gateway processes call, each as it starts.

    Attributes:
        lines: To those that have called and not been found gone, by process id.
        port: Where they listen.
    """

    def __init__(self) -> None:
        self.lines: dict[int, Line] = {}
        self.port = 0
        self.called = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a call."""
        self._writers.add(writer)
        with contextlib.suppress(*BROKEN):
            says = http1.decoded(await reader.readline())
            self.port = says["port"]
            self.lines[says["pid"]] = (reader, writer)
            self.called.set()

    def close(self) -> None:
        """Hang up."""
        for writer in self._writers:
            writer.close()


class GatewayProcess:
    """A running gateway.

    Attributes:
        process: What was started, and is told to end.
        port: Where it listens.
    """

    def __init__(self, process: asyncio.subprocess.Process, folder: Path, calls: Switchboard) -> None:
        self.process = process
        self.port = calls.port
        self._log = folder / "log"
        self._control = folder / CONTROL
        self._lines = calls.lines
        self._asking = asyncio.Lock()

    @property
    def pid(self) -> int:
        """The process that serves: the one started, or a worker of its."""
        return next(iter(self._lines))

    def lines(self) -> list[str]:
        """What it logged."""
        return self._log.read_text("utf-8", "replace").splitlines()

    def trouble(self) -> list[str]:
        """Lines of the log that no fault of others excuses."""
        return [line[:300] for line in self.lines() if any(word in line for word in _TROUBLE)]

    async def census(self) -> Census:
        """What it holds now, all its processes together.

        Raises:
            Gone: It does not say.
        """
        found = []
        async with self._asking:
            for pid, line in tuple(self._lines.items()):
                line[1].write(b"?\n")
                try:
                    found.append(Census(**await _said(line)))
                except Gone:
                    if self.process.returncode is not None or pid == self.process.pid:
                        raise
                    del self._lines[pid]  # a worker that has been replaced
        if not found:
            raise Gone("no process of the gateway says anything")
        if self.process.pid not in self._lines:
            found.append(supervising(self.process.pid, len(self._lines)))
        return sum(found[1:], found[0])

    async def ask(self, do: str) -> Json:
        """Ask on the control socket: `status` or `reload`; its answer."""
        reader, writer = await asyncio.open_unix_connection(self._control)
        try:
            writer.write(msgspec.json.encode({"do": do}) + b"\n")
            async with asyncio.timeout(START_SECONDS):
                return http1.decoded(await reader.readline())
        finally:
            writer.close()

    async def staffed(self, but: Container[int] = (), seconds: float = START_SECONDS) -> list[int]:
        """Wait until exactly the workers that are wanted serve; their process ids.

        Args:
            but: Those that are to have gone.
            seconds: How long to wait.

        Raises:
            TimeoutError: It did not come to that.
        """
        async with asyncio.timeout(seconds):
            while True:
                status = await self.ask("status")
                pids = [each["pid"] for each in status["workers"]]
                ready = all(each["state"] == "ready" for each in status["workers"])
                if ready and len(pids) == status["wanted"] and not any(pid in but for pid in pids):
                    return pids
                await asyncio.sleep(0.05)

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
async def gateway(
    config: dict[str, Any], cores: Collection[int] | None = None
) -> AsyncIterator[GatewayProcess]:
    """Start `gateway serve` with these tables, and end it.

    Args:
        config: The tables.
        cores: Where it runs; None for anywhere.

    Raises:
        Gone: It did not start.
    """
    calls = Switchboard()
    with tempfile.TemporaryDirectory(prefix="portico-faults-") as name:
        folder = Path(name)
        server = await asyncio.start_unix_server(calls.answer, folder / "census")
        config = {**config, "observers": {"census": {"path": str(folder / "census")}}}
        config["gateway"] = {**config["gateway"], "control": str(folder / CONTROL)}
        # The gateway under test is the one that the harness itself would import.
        path = [str(_plugin(folder)), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        (folder / "gateway.toml").write_text(toml(config))
        with (folder / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "portico", "serve", "--quiet", "--config", folder / "gateway.toml"),
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": ":".join(path)},
                stderr=log,
            )
        if cores:
            os.sched_setaffinity(process.pid, cores)
        try:
            await _called(process, calls, folder / "log")
            yield GatewayProcess(process, folder, calls)
        finally:
            await _end(process)
            server.close()
            calls.close()


async def _called(process: asyncio.subprocess.Process, calls: Switchboard, log: Path) -> None:
    """Wait for the gateway to call the harness."""
    calling, ending = asyncio.ensure_future(calls.called.wait()), asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait({calling, ending}, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not calling.done():
            raise Gone(f"the gateway did not start: {log.read_text('utf-8', 'replace')[-2000:]}")
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
