"""`python -m tests.faults soak`: everything at once for a long time, and nothing may have grown in the end.

Three gateways have the same clients and the same troubles: one process and two workers that are never
replaced, so that what leaks adds up, and two workers that are rolled all the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs

from tests.faults.client import Era, FaultyClient
from tests.faults.gateway import ROOT, GatewayProcess, gateway
from tests.faults.held import Census
from tests.faults.http1 import BROKEN
from tests.faults.load import Load
from tests.faults.matrix import UPSTREAM_CODES
from tests.faults.parked import CAN, waiting
from tests.faults.proxy import FaultProxy
from tests.faults.schedule import FAULTS, LIES
from tests.faults.stage import ERAS, tables, together
from tests.faults.upstream import Upstream
from tests.faults.verdicts import ANSWER, LEAK, LOG, MEMORY, ONCE, SAID, Row

HARMS = sorted(set(FAULTS) - LIES - {"calm"})
"""What is done to the ways to the upstreams; lies are left out, so that every answer can be judged."""
MISDEEDS = ("exit", "kill", "garbage", "close", "partial")
WORKERS = {"steady": 1, "pair": 2, "rolled": 2}
"""How many each has."""
ROLLED = "rolled"
LINES = 64
"""Descriptors of connections that two workers may keep between them, both ends of 16 each way."""
GROWTH = 16 << 20
"""Bytes of memory a worker may have more at the end than after the warm-up."""
IDLE = 3.0
"""Seconds after which sessions with upstreams end that nobody uses."""
_REST = 9.0
"""Seconds after which pools and sessions have let go of what nobody uses."""
_MINUTE = 60.0

Tell = Callable[[str], None]


@attrs.define
class Post:
    """A gateway, its surroundings, and what its clients have seen.

    Attributes:
        name: What to call it.
        gateway: It.
        upstreams: Behind it, by era.
        ways: The proxies before them.
        row: What was seen.
        quiet: Held by who must not be disturbed: a roll starts processes that have to find their upstreams.
        did: How often each thing was done.
    """

    name: str
    gateway: GatewayProcess
    upstreams: dict[Era, Upstream]
    ways: dict[Era, FaultProxy]
    row: Row
    quiet: asyncio.Lock = attrs.field(factory=asyncio.Lock)
    did: dict[str, int] = attrs.field(factory=dict)

    @property
    def port(self) -> int:
        """The gateway's."""
        return self.gateway.port

    def count(self, what: str, number: int = 1) -> None:
        """Something was done."""
        self.did[what] = self.did.get(what, 0) + number

    def forget(self) -> None:
        """Judge what upstreams and proxies have noted, and let go of it: the harness is not to grow."""
        for upstream in self.upstreams.values():
            twice = [key for key, times in upstream.journal.counts.items() if times > 1]
            self.row.check(ONCE, *(f"{key} was executed more than once" for key in twice))
            upstream.journal.clear()
            upstream.tools.gates.clear()
        for way in self.ways.values():
            way.log.clear()


@asynccontextmanager
async def _post(name: str, workers: int, seed: int, ledger: Path) -> AsyncIterator[Post]:
    async with AsyncExitStack() as stack:
        upstreams = {era: await stack.enter_async_context(Upstream(era)) for era in ERAS}
        ways = {
            era: await stack.enter_async_context(FaultProxy("127.0.0.1", each.port))
            for era, each in upstreams.items()
        }
        ports: dict[str, int] = {era: way.port for era, way in ways.items()}
        config = tables(ports, workers=workers, park_timeout=1.5, drain_timeout=3)
        config["transports"] = {"streamable_http": {"session_idle": 5}}
        command = [sys.executable, "-m", "tests.faults.stdio_upstream", str(ledger)]
        pipe = {"use": "mcp", "command": command, "cwd": str(ROOT), "shared": True}
        config["upstreams"]["pipe"] = {**pipe, "restarts": 100, "restart_window": 1}
        for table in config["upstreams"].values():
            table["idle_timeout"] = IDLE
        running = await stack.enter_async_context(gateway(config))
        if not_ready := await running.ready():
            raise TimeoutError(f"the gateway did not become ready: {not_ready}")
        yield Post(name, running, upstreams, ways, Row("soak", name, "both>both", seed))


# --- what goes on -------------------------------------------------------------------------------------


async def _sessions(post: Post, dice: random.Random) -> None:
    """A client comes, lists, and goes; now and then without a word."""
    era, can = dice.choice(ERAS), dice.choice(({}, CAN))
    async with FaultyClient(era, post.port, capabilities=can) as client:
        listed = await client.request("tools/list", {})
        result = listed.answers[0].get("result", {}) if listed.answers else {}
        names = {tool["name"] for tool in result.get("tools", ())}
        if listed.status == 404 and era == "legacy" and post.name == ROLLED:
            post.count("sessions rolled away")
        else:
            wanted = {f"{each}__echo" for each in (*ERAS, "pipe")}
            post.row.hold(ANSWER, wanted <= names, f"tools are missing: {listed}")
        if dice.random() < 0.8:
            await client.end(post.port)


async def _streams(post: Post, dice: random.Random) -> None:
    """A call with some hundreds of frames, or one that its client leaves."""
    async with FaultyClient(dice.choice(ERAS), post.port) as client:
        upstream, key = dice.choice(ERAS), f"s{dice.getrandbits(64):x}"
        if dice.random() < 0.5:
            arguments: dict[str, Any] = {"key": key, "n": dice.randint(50, 400), "pad": 100}
            asked = await client.call(f"{upstream}__progress", arguments)
            known = asked.text == key or asked.code in UPSTREAM_CODES
            one = asked.end == "whole" and len(asked.answers) == 1
            post.row.hold(ANSWER, one and known, f"{asked}")
        else:
            arguments = {"key": key, "n": dice.randint(0, 3)}
            params = {"name": f"{upstream}__slow", "arguments": arguments}
            await client.begin("tools/call", params)
            await asyncio.sleep(dice.uniform(0, 0.2))
            client.hang_up(reset=dice.random() < 0.5)
            post.count("aborted")
        await client.end(post.port)


async def _parked(post: Post, dice: random.Random) -> None:
    """A call asks its client something, who answers, or does not."""
    try:
        each = await waiting(dice.choice(ERAS), post.port)
    except TimeoutError:
        return  # a fault was quicker: there was an error instead of a question
    post.count("parked")
    if dice.random() < 0.6:
        await each.resumed()
    else:
        await each.left()


async def _listens(post: Post, dice: random.Random) -> None:
    """A stream for what is not about a call."""
    async with FaultyClient(dice.choice(ERAS), post.port) as client:
        post.row.hold(ANSWER, await client.listen(dice.uniform(0.1, 2)), "no event stream")
        await client.end(post.port)


async def _stdio(post: Post, dice: random.Random) -> None:
    """Calls of the stdio upstream; now and then it comes to harm."""
    era, key, harm = dice.choice(ERAS), f"p{dice.getrandbits(64):x}", dice.random() < 0.2
    undisturbed = post.quiet if harm else contextlib.nullcontext()
    async with undisturbed, FaultyClient(era, post.port) as client:
        if harm:
            asked = await client.call("pipe__misbehave", {"how": dice.choice(MISDEEDS), "key": key})
            post.row.hold(SAID, asked.code in UPSTREAM_CODES, f"{asked}")
            post.count("stdio killed")
        else:
            asked = await client.call("pipe__echo", {"payload": key})
            post.row.hold(ANSWER, asked.text == key or asked.code in UPSTREAM_CODES, f"{asked}")
        await client.end(post.port)
    await asyncio.sleep(0.2)


async def _faults(post: Post, dice: random.Random) -> None:
    """Something happens on a way to an upstream, for a second or two."""
    async with post.quiet:
        name, way = dice.choice(HARMS), post.ways[dice.choice(ERAS)]
        if name == "refuse":
            way.shut()
        else:
            way.set(FAULTS[name], f"{dice.getrandbits(32)}")
        await asyncio.sleep(dice.uniform(0.3, 1.5))
        await way.open()
        way.heal()
        post.count("faults")
    await asyncio.sleep(dice.uniform(0.5, 1.5))


async def _roll(post: Post, dice: random.Random) -> None:
    """A reload."""
    async with post.quiet:
        post.row.hold(SAID, not (waits := await post.gateway.ready()), f"not ready when all is well: {waits}")
        old = await post.gateway.staffed()
        said = await post.gateway.ask("reload")
        post.row.hold(SAID, said.get("ok") is True, f"the reload said {said}")
        await post.gateway.staffed(but=old)
        post.count("reloads")
    await asyncio.sleep(dice.uniform(2, 6))


DOINGS: tuple[Callable[[Post, random.Random], Awaitable[None]], ...] = (
    _sessions, _streams, _streams, _parked, _listens, _listens, _stdio, _faults,
)  # fmt: skip


async def _work(post: Post, seconds: float, seed: str) -> None:
    """Everything at once, for so long."""
    until = time.monotonic() + seconds
    load = Load(post.port, seed, 1, pause=0.05, excuses=UPSTREAM_CODES)

    async def repeat(do: Callable[[Post, random.Random], Awaitable[None]], dice: random.Random) -> None:
        while time.monotonic() < until:
            try:
                await do(post, dice)
            except BROKEN as error:
                post.row.check(ANSWER, f"{do.__name__}: {error!r}")
                await asyncio.sleep(0.1)

    doings = [*DOINGS, *([_roll] if post.name == ROLLED else [])]
    await together(*(repeat(do, random.Random(f"{seed}:{n}")) for n, do in enumerate(doings)))
    await load.stop()
    post.row.check(ANSWER, *(f"failed: {asked}" for asked in load.failed))
    post.row.requests += load.done + len(load.failed)
    post.row.results += load.done
    excused = sum(sum(each.excused.values()) for each in load.callers)
    post.row.requests += excused
    post.row.errors += excused


async def _rested(post: Post, before: Census | None = None) -> Census:
    """What it holds when nobody wants anything.

    What is rolled is so once more: what new workers hold, and what is left of all those before them.
    """
    post.forget()
    if post.name == ROLLED:
        await post.gateway.ask("reload")
    await post.gateway.ready()
    await post.gateway.staffed()
    await asyncio.sleep(_REST)
    return await (post.gateway.settled(before) if before is not None else post.gateway.census())


def _line(post: Post, now: Census) -> str:
    did = ", ".join(f"{number} {what}" for what, number in sorted(post.did.items()))
    held = f"{now.rss / 2**20:.1f} MiB, {sum(now.fds.values())} fds, {sum(now.tasks.values())} tasks"
    more = f"{now.children} children, {now.sessions} sessions, {now.parked} parked"
    return f"{post.name}: {held}, {more}; {did}"


async def _told(posts: list[Post], tell: Tell, began: float) -> None:
    for minute in itertools.count(1):
        await asyncio.sleep(max(0.0, began + minute * _MINUTE - time.monotonic()))
        for post in posts:
            tell(f"{minute} min, {_line(post, await post.gateway.census())}")
            post.forget()


async def soak(seed: int, seconds: float = 1800.0, tell: Tell = lambda text: None) -> list[Row]:
    """Warm up, rest, go on for a long time, rest, and compare.

    Args:
        seed: Decides what is called, and what goes wrong when.
        seconds: How long, rests not included.
        tell: Given a line about each gateway every minute, and when they rest.
    """
    warm = max(seconds / 10, 5.0)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        posts = [
            await stack.enter_async_context(_post(name, workers, seed, folder / name))
            for name, workers in WORKERS.items()
        ]
        telling = asyncio.ensure_future(_told(posts, tell, time.monotonic()))
        try:
            await together(*(_work(each, warm, f"{seed}:warm:{each.name}") for each in posts))
            before = await together(*(_rested(each) for each in posts))
            for post, census in zip(posts, before, strict=True):
                tell(f"at rest after {warm:.0f} s, {_line(post, census)}")
            await together(*(_work(each, seconds - warm, f"{seed}:{each.name}") for each in posts))
            after = await together(*(_rested(each, then) for each, then in zip(posts, before, strict=True)))
        finally:
            telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await telling
        for post, then, now in zip(posts, before, after, strict=True):
            tell(f"at rest after {seconds:.0f} s, {_line(post, now)}")
            _judge(post, then, now)
    return [post.row for post in posts]


def _judge(post: Post, before: Census, after: Census) -> None:
    grown = after.rss - before.rss
    lines = {"lines": LINES} if post.name == "pair" else {}
    post.row.check(LEAK, *after.over(attrs.evolve(before, fds=before.fds | lines)))
    post.row.hold(
        MEMORY, grown < GROWTH * WORKERS[post.name], f"{grown / 2**20:.1f} MiB more than after the warm-up"
    )
    post.row.check(LOG, *post.gateway.trouble()[:5])
    post.row.facts = {
        **post.did,
        "rss_mib": [round(each.rss / 2**20, 1) for each in (before, after)],
        "fds": [sum(each.fds.values()) for each in (before, after)],
        "tasks": [sum(each.tasks.values()) for each in (before, after)],
        "children": [each.children for each in (before, after)],
    }
