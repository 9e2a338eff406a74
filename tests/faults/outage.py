"""`python -m tests.faults outage`: the registry's database is away for a while, under a load of calls.

No call fails meanwhile, writes are refused as they should be, a gateway that starts goes on with what was
known last, and all is well again within seconds.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import attrs

from tests.databases import SERVERS, Server, shared
from tests.faults.client import FaultyClient
from tests.faults.gateway import GatewayProcess, gateway
from tests.faults.http1 import BROKEN
from tests.faults.load import Load
from tests.faults.managed import Api, grid, tables_of
from tests.faults.stage import ERAS
from tests.faults.upstream import Upstream
from tests.plugins.registries.kept import TABLES

SERVED = tuple(sorted(SERVERS))
"""The registries with a server that can be away."""
WAYS = ("stop", "kill", "freeze")
"""How it goes away: in order, all at once, or so that it neither answers nor refuses."""
RECOVERY = 5.0
"""Seconds after which all must be well again."""
REFUSAL = 10.0
"""Seconds within which a write must be refused."""
_PAUSE = 0.02

Tell = Callable[[str], None]


@attrs.define
class Verdict:
    """How it went with one registry.

    Attributes:
        kept_in: Which.
        how: It went away.
        outage: Seconds it was away.
        calls: Answered as they should be, before, during and after.
        meanwhile: Of them, while it was away.
        failed: Calls that were not.
        refused: Writes that were answered 503 meanwhile.
        slowest: Seconds the slowest of those took.
        degraded: Seconds until `/readyz` said so.
        boot: Seconds a new gateway took to serve a call meanwhile.
        recovery: Seconds from when the database was back until a write was made at each gateway.
        breaches: What did not hold.
    """

    kept_in: str
    how: str
    outage: float = 0.0
    calls: int = 0
    meanwhile: int = 0
    failed: int = 0
    refused: int = 0
    slowest: float = 0.0
    degraded: float = 0.0
    boot: float = 0.0
    recovery: list[float] = attrs.field(factory=list)
    breaches: list[str] = attrs.field(factory=list)

    def hold(self, held: bool, otherwise: str) -> None:
        """Note a breach when something does not hold."""
        if not held:
            self.breaches.append(otherwise)


async def outage(kept_in: str, seconds: float, how: str, seed: int, tell: Tell) -> Verdict:
    """Have a database away under load.

    Args:
        kept_in: Which.
        seconds: How long.
        how: One of `WAYS`.
        seed: Decides the calls.
        tell: Told how it goes.
    """
    verdict = Verdict(kept_in, how)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portico-outage-")))
        server = shared(kept_in, durable=True)  # or it may have forgotten when it is back
        tables = tables_of(TABLES[kept_in](folder), folder)
        upstreams = {era: await stack.enter_async_context(Upstream(era)) for era in ERAS}
        running = await stack.enter_async_context(gateway(tables))
        async with Api(running.port) as api:
            for era, upstream in upstreams.items():
                config = {"use": "mcp", "url": f"http://127.0.0.1:{upstream.port}/mcp"}
                status, said = await api.ask("POST", "upstreams", {"name": era, "config": config})
                verdict.hold(status == 201, f"an upstream was not made: {status} {said}")
        verdict.hold(not (not_ready := await running.ready()), not_ready)
        load = Load(running.port, f"{seed}", 1, _PAUSE)
        try:
            await load.until(50)
            tell(f"{kept_in}: {how}")
            await _away(server, how)
            begun, before = time.monotonic(), load.done
            second = await _meanwhile(stack, tables, running, verdict, begun + seconds)
            verdict.outage = round(time.monotonic() - begun, 1)
            verdict.meanwhile = load.done - before
            tell(f"{kept_in}: {verdict.meanwhile} calls and {verdict.refused} refused writes meanwhile")
            await _back(server, how)
            await _recover((running, second), verdict)
            try:
                await load.until(load.done + 50)
            except TimeoutError:
                verdict.breaches.append("calls are not answered any more")
        finally:
            if how == "freeze":
                server.thaw()
            await load.stop()
        verdict.calls, verdict.failed = load.done, len(load.failed)
        verdict.breaches += [f"a call failed: {asked}" for asked in load.failed[:5]]
        for each in (running, second):
            verdict.breaches += [f"in the log: {line}" for line in each.trouble()[:3]]
    return verdict


async def _away(server: Server, how: str) -> None:
    if how == "freeze":
        server.freeze()
    else:
        await server.stop(signal.SIGKILL if how == "kill" else None)


async def _back(server: Server, how: str) -> None:
    if how == "freeze":
        server.thaw()
    else:
        await server.start()


async def _meanwhile(
    stack: AsyncExitStack, tables: dict[str, object], running: GatewayProcess, verdict: Verdict, until: float
) -> GatewayProcess:
    """See what is said while it is away, and start another gateway; that."""
    begun = time.monotonic()
    async with Api(running.port) as api:
        await _refused(api, verdict)
        verdict.hold(
            await _until(lambda: _says(running, "degraded"), REFUSAL), "/readyz does not say degraded"
        )
        verdict.degraded = round(time.monotonic() - begun, 2)
        starting = time.monotonic()
        second = await stack.enter_async_context(gateway(tables))
        verdict.hold(not (not_ready := await second.ready()), f"the second gateway: {not_ready}")
        for era in ERAS:
            async with FaultyClient(era, second.port) as client:
                asked = await client.call(f"{era}__echo", {"payload": "as before"})
                verdict.hold(asked.text == "as before", f"the second gateway: {asked}")
                await client.end(second.port)
        verdict.boot = round(time.monotonic() - starting, 2)
        verdict.hold(await _says(second, "degraded"), "/readyz of the second does not say degraded")
        while time.monotonic() < until:
            await _refused(api, verdict)
            verdict.hold(await _says(running, "degraded"), "/readyz does not say degraded any more")
            await asyncio.sleep(min(0.5, max(until - time.monotonic(), 0)))
    return second


async def _refused(api: Api, verdict: Verdict) -> None:
    begun = time.monotonic()
    status, said = await api.ask("PUT", "overrides/legacy%2ftools%2fnever", {"config": {"title": "never"}})
    took = time.monotonic() - begun
    verdict.hold(status == 503, f"a write was answered {status}: {said}")
    verdict.hold(took < REFUSAL, f"a write was refused after {took:.1f} s")
    verdict.refused += status == 503
    verdict.slowest = max(verdict.slowest, round(took, 2))


async def _recover(gateways: Sequence[GatewayProcess], verdict: Verdict) -> None:
    """See each of them take writes again, and everything that was written."""
    begun = time.monotonic()

    async def one(number: int, running: GatewayProcess) -> None:
        async with Api(running.port) as api:

            async def written() -> bool:
                path = f"overrides/legacy%2ftools%2fback{number}"
                status, _ = await api.ask("PUT", path, {"config": {"title": "back"}})
                return status in (200, 201)

            async def whole() -> bool:
                names = set(await api.all("overrides"))
                return names == {f"legacy/tools/back{each}" for each in range(len(gateways))}

            done = await _until(written, 30) and await _until(lambda: _says(running, "ready"), 30)
            took = time.monotonic() - begun
            verdict.recovery.append(round(took, 2))
            verdict.hold(done and took <= RECOVERY, f"gateway {number} was not well after {took:.1f} s")
            verdict.hold(await _until(whole, 30), f"gateway {number} has other records than were written")

    await asyncio.gather(*(one(number, each) for number, each in enumerate(gateways)))


async def _says(running: GatewayProcess, status: str) -> bool:
    code, said = await running.get("/readyz")
    return (code, said["status"]) == (200, status)


async def _until(holds: Callable[[], Awaitable[bool]], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while True:
        try:
            if await holds():
                return True
        except BROKEN:
            pass  # it is asked again
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.05)


def table(verdicts: Sequence[Verdict]) -> str:
    """For people."""
    titles = ("kept in", "how", "outage s", "calls", "meanwhile", "failed", "writes refused", "slowest s")
    titles += ("degraded after s", "boot s", "recovery s", "verdict")
    return grid(
        titles,
        [
            (
                each.kept_in,
                each.how,
                each.outage,
                each.calls,
                each.meanwhile,
                each.failed,
                each.refused,
                each.slowest,
                each.degraded,
                each.boot,
                ", ".join(map(str, each.recovery)),
                "BREACH" if each.breaches else "ok",
            )
            for each in verdicts
        ],
    )
