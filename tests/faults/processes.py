"""Upstreams that die or misbehave as processes, and a gateway that has too much to do or is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from tests.faults.client import Era, FaultyClient
from tests.faults.gateway import ROOT, GatewayProcess, gateway
from tests.faults.proxy import FaultProxy
from tests.faults.stage import ERAS, Stage, stage, tables, together
from tests.faults.verdicts import ANSWER, LEAK, LOG, NEXT, ONCE, RECOVERS, SAID, Row

_keys = (f"own-{number}" for number in itertools.count(1))
FAILED = frozenset({50200, 50300, 50400})
"""What a call is answered with whose upstream has gone."""


class UpstreamProcess:
    """An upstream in a process of its own, that can be killed and started again at the same port."""

    def __init__(self, era: Era) -> None:
        self.era = era
        self.port = 0
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it; returns when it serves."""
        command = (sys.executable, "-m", "tests.faults.upstream", "--era", self.era, "--port", str(self.port))
        self._process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        self.port = msgspec.json.decode(await self._process.stdout.readline())["port"]

    async def until(self, what: str, times: int) -> None:
        """Wait until something has happened so often."""
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(30):
            while times and (line := await self._process.stdout.readline()):
                times -= msgspec.json.decode(line).get("what") == what

    async def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


async def killed(seed: int, frames: int = 20) -> list[Row]:
    """`kill -9` of an HTTP upstream in the middle of a stream; it is started again and must be found."""
    rows = []
    upstreams = {era: UpstreamProcess(era) for era in ERAS}
    try:
        for each in upstreams.values():
            await each.start()
        config = tables({era: each.port for era, each in upstreams.items()})
        async with gateway(config) as running:
            await running.ready()
            for era in ERAS:
                async with FaultyClient(era, running.port) as client:
                    for other in ERAS:
                        await client.call(f"{other}__echo", {"payload": "first"})
                    await client.end(running.port)
            before = await running.census()
            for era, other in itertools.product(ERAS, ERAS):
                row = await _kill_one(running, upstreams[other], era, seed, frames)
                row.check(LEAK, *(await running.settled(before)).over(before))
                row.check(LOG, *running.trouble()[:5])
                rows.append(row)
    finally:
        for each in upstreams.values():
            await each.kill()
    return rows


async def _kill_one(
    running: GatewayProcess, upstream: UpstreamProcess, era: Era, seed: int, frames: int
) -> Row:
    row = Row("upstream-kill-9", "upstream", f"{era}>{upstream.era}", seed, requests=1)
    async with FaultyClient(era, running.port) as client:
        arguments = {"key": next(_keys), "n": 1_000_000, "pad": 100}
        params = {"name": f"{upstream.era}__progress", "arguments": arguments}
        asked = await client.begin("tools/call", params, "progress", arguments)
        reading = asyncio.ensure_future(client.finish(asked))
        await upstream.until("frame", frames)
        await upstream.kill()
        await reading
        one = asked.end == "whole" and len(asked.answers) == 1 and asked.answers[0]["id"] == asked.id
        row.hold(ANSWER, one, f"{asked}")
        row.hold(SAID, asked.code in FAILED, f"{asked}")
        row.errors = int(asked.code is not None)
        await upstream.start()
        waiting = await running.ready()
        row.hold(RECOVERS, not waiting, waiting)
        asked = await client.call(f"{upstream.era}__echo", {"payload": "back"})
        row.hold(NEXT, asked.text == "back", f"{asked}")
        await client.end(running.port)
    return row


MISDEEDS = ("exit", "kill", "garbage", "close", "flood", "partial", "mute")
"""`mute` comes last: a process that lives and says nothing is not replaced; calls end at their deadline."""


@asynccontextmanager
async def piped(ledger: Path) -> AsyncIterator[GatewayProcess]:
    """A gateway in front of a stdio upstream, `pipe`, that writes what it does to a file; ready."""
    config = tables({})
    command = [sys.executable, "-m", "tests.faults.stdio_upstream", str(ledger)]
    pipe = {"use": "mcp", "command": command, "cwd": str(ROOT), "shared": True}
    # A short window, for pauses between restarts grow with the number of crashes in it.
    config["upstreams"] = {"pipe": {**pipe, "restarts": 100, "restart_window": 1}}
    async with gateway(config) as running:
        await running.ready()
        yield running


async def stdio(seed: int, misdeeds: tuple[str, ...] = MISDEEDS) -> list[Row]:
    """A stdio upstream dies, talks nonsense or falls silent in the middle of two calls."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "ledger"
        ledger.touch()
        async with piped(ledger) as running:
            clients = [FaultyClient(era, running.port) for era in ERAS]
            await together(*(client.__aenter__() for client in clients))
            for client in clients:
                await client.call("pipe__echo", {"payload": "first"})
            before = await running.census()
            for how in misdeeds:
                row = Row(f"stdio-{how}", "upstream", "both>both", seed)
                await _misbehave(running, clients, how, row, ledger)
                now = await running.settled(before)
                row.check(LEAK, *now.over(before))
                row.check(LOG, *running.trouble()[:5])
                rows.append(row)
            await together(*(client.end(running.port) for client in clients))
    return rows


async def _misbehave(
    running: GatewayProcess, clients: list[FaultyClient], how: str, row: Row, ledger: Path
) -> None:
    tokens = [next(_keys) for _ in clients]
    counted = await together(
        *(c.call("pipe__count", {"token": token}) for c, token in zip(clients, tokens, strict=True))
    )
    harmed = await together(*(c.call("pipe__misbehave", {"how": how, "key": next(_keys)}) for c in clients))
    for asked in (*counted, *harmed):
        one = asked.end == "whole" and len(asked.answers) == 1 and asked.answers[0]["id"] == asked.id
        row.hold(ANSWER, one, f"{asked}")
    row.hold(SAID, all(asked.code in FAILED for asked in harmed), f"{[str(asked) for asked in harmed]}")
    waiting = await running.ready()
    row.hold(RECOVERS, not waiting, waiting)
    for client in clients if how != "mute" else ():
        asked = await client.call("pipe__echo", {"payload": f"{how} is over"})
        row.hold(NEXT, asked.text == f"{how} is over", f"{asked}")
    effects = ledger.read_text().splitlines()
    for token in tokens:
        times = effects.count(f"effect {token}")
        row.hold(ONCE, times == 1, f"{token} was executed {times} times")
    row.requests = len(clients) * (2 if how == "mute" else 3)
    row.errors = sum(asked.code is not None for asked in (*counted, *harmed))
    row.results = row.requests - row.errors


async def overload(seed: int, most: int = 4) -> list[Row]:
    """More calls than may be in flight: clean refusals, health that stays up, and no harm to the others."""
    rows = []
    async with stage(max_in_flight=most, call_timeout=30) as scene:
        await scene.gateway.ready()
        for era in ERAS:
            row = Row("overload", "gateway", f"{era}>modern", seed, requests=most + 3)
            await _overload(scene, era, row, most)
            await scene.aftermath([row])
            rows.append(row)
    return rows


async def _overload(scene: Stage, era: Era, row: Row, most: int) -> None:
    upstream = scene.upstreams["modern"]
    key = next(_keys)
    clients = [FaultyClient(era, scene.front.port) for _ in range(most + 3)]
    await together(*(client.__aenter__() for client in clients))
    held = [asyncio.ensure_future(client.call("modern__slow", {"key": key})) for client in clients[:most]]
    row.hold(ANSWER, await upstream.journal.until("begun", key, 20, times=most), "the calls did not begin")
    for client in clients[most:]:
        asked = await client.call("modern__echo", {"payload": "too many"})
        row.hold(ANSWER, len(asked.answers) == 1, f"{asked}")
        row.hold(SAID, asked.code == 50302, f"not refused as overloaded: {asked}")
        # Legacy clients take an HTTP error for a lost connection: they are told in JSON-RPC.
        expected = 200 if era == "legacy" else 503
        row.hold(SAID, asked.status == expected, f"HTTP {asked.status}, not {expected}: {asked}")
    for path in ("/healthz", "/readyz"):
        status, _ = await scene.gateway.get(path)
        row.hold(SAID, status == 200, f"{path} said {status}")
    upstream.tools.gate(key).set()
    for asked in await together(*held):
        row.hold(ANSWER, asked.text == key, f"{asked}")
    row.results, row.errors = most, 3
    await together(*(client.end(scene.gateway.port) for client in clients))


async def drained(seed: int) -> list[Row]:
    """SIGTERM in the middle of calls: those that end in time are answered, the others get 50303."""
    rows = []
    for in_time in (True, False):
        async with stage(drain_timeout=20 if in_time else 1, drain_notice=0.2, call_timeout=60) as scene:
            name = "sigterm-finish" if in_time else "sigterm-timeout"
            row = Row(name, "gateway", "both>both", seed, requests=4)
            await scene.gateway.ready()
            await _drain(scene, row, in_time)
            rows.append(row)
    return rows


async def _drain(scene: Stage, row: Row, in_time: bool) -> None:
    pairs = list(itertools.product(ERAS, ERAS))
    clients = [FaultyClient(era, scene.gateway.port) for era, _ in pairs]
    await together(*(client.__aenter__() for client in clients))
    keys = [next(_keys) for _ in pairs]
    calls = []
    for client, (_, other), key in zip(clients, pairs, keys, strict=True):
        calls.append(asyncio.ensure_future(client.call(f"{other}__slow", {"key": key})))
        await scene.upstreams[other].journal.until("begun", key, 20)
    scene.gateway.process.send_signal(signal.SIGTERM)
    await _unready(scene)
    if in_time:
        for (_, other), key in zip(pairs, keys, strict=True):
            scene.upstreams[other].tools.gate(key).set()
    for asked, key in zip(await together(*calls), keys, strict=True):
        row.hold(ANSWER, asked.end == "whole" and len(asked.answers) == 1, f"{asked}")
        said = asked.text == key if in_time else asked.code == 50303
        row.hold(SAID, said, f"{asked}")
        row.results += asked.text is not None
        row.errors += asked.code is not None
    for client in clients:
        client.hang_up()
    status = await scene.gateway.ended()
    row.hold(SAID, status == 0, f"exit status {status}")
    row.check(LOG, *scene.gateway.trouble()[:5])
    for _, other in pairs:
        row.hold(LEAK, await _closed(scene.ways[other]), f"connections to {other} are still open")


async def _unready(scene: Stage) -> None:
    """Wait until the gateway says that it is about to go, or takes no connections any more."""
    with contextlib.suppress(OSError, EOFError, TimeoutError):
        while (await scene.gateway.get("/readyz"))[0] == 200:
            await asyncio.sleep(0.01)


async def _closed(way: FaultProxy) -> bool:
    for _ in range(200):
        if not way.connections:
            return True
        await asyncio.sleep(0.05)
    return False
