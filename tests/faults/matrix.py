"""Network faults: many clients of both eras at once, on either side of the gateway, and what must hold."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from typing import Literal

import attrs

from tests.faults.client import Asked, Era, FaultyClient
from tests.faults.http1 import Json
from tests.faults.schedule import FAULTS, LIES
from tests.faults.stage import ERAS, Stage, together
from tests.faults.verdicts import ANSWER, ONCE, OWN, SAID, Row

Side = Literal["upstream", "client"]
SIDES: tuple[Side, Side] = ("upstream", "client")
GENTLE = frozenset({"calm", "latency", "jitter", "rate", "slicing"})
"""Faults that lose nothing: every request must be answered, whichever side they strike."""
UPSTREAM_CODES = frozenset({50200, 50300, 50301, 50400})
"""What a call may be answered with when its upstream, or the way there, fails."""
_CLIENT_PATIENCE = 3.0
_tokens = itertools.count(1)


@attrs.frozen
class _Group:
    """Clients of one era that call the upstream of one era."""

    era: Era
    upstream: Era
    clients: list[FaultyClient]


async def cell(
    stage: Stage, fault: str, side: Side, seed: int, clients: int = 3, calls: int = 4
) -> list[Row]:
    """Run one fault on one side, with every pair of eras at once.

    Args:
        stage: Where.
        fault: Its name.
        side: Which side it strikes.
        seed: Decides what happens to which connection, and what is called.
        clients: How many of each pair of eras.
        calls: How many calls each makes, one after the other.
    """
    for upstream in stage.upstreams.values():
        upstream.journal.clear()
    patience = _CLIENT_PATIENCE if side == "client" and fault not in GENTLE else 20.0
    groups = [
        _Group(era, other, [FaultyClient(era, stage.front.port, patience) for _ in range(clients)])
        for era in ERAS
        for other in ERAS
    ]
    everybody = [client for group in groups for client in group.clients]
    await together(*(client.__aenter__() for client in everybody))
    proxies = stage.ways.values() if side == "upstream" else (stage.front,)
    for number, proxy in enumerate(proxies):
        proxy.set(FAULTS[fault], f"{seed}:{fault}:{side}:{number}")
    dice = random.Random(f"{seed}:{fault}:{side}:calls")
    plans = [
        (client, [plan(group.upstream, dice) for _ in range(calls)])
        for group in groups
        for client in group.clients
    ]
    calling = asyncio.ensure_future(together(*(_calls(client, plan) for client, plan in plans)))
    if fault == "refuse":
        await _some(everybody)
        for proxy in proxies:
            proxy.shut()
    loose = await calling
    noticed = fault != "refuse" or side != "upstream" or await stage.gateway.degraded(len(ERAS))
    await stage.heal()
    rows = [_judge(stage, group, fault, side, seed) for group in groups]
    rows[0].check(OWN, *[each for each in loose if each and fault not in LIES])
    if fault == "refuse":
        rows[0].hold(SAID, noticed, "an upstream that is away was never shown as degraded")
    _judge_effects(stage, groups, rows, fault)
    await together(*(client.end(stage.gateway.port) for client in everybody))
    await stage.aftermath(rows, misled=side == "upstream" and fault in LIES)
    return rows


def plan(upstream: Era, dice: random.Random) -> tuple[str, Json]:
    """A call to make: a tool of that upstream, and arguments no other call has."""
    token = f"t{next(_tokens)}-{dice.getrandbits(64):016x}"
    tool = dice.choice(("echo", "count", "progress", "big"))
    arguments: dict[str, Json] = {
        "echo": {"payload": token * dice.randint(1, 20)},
        "count": {"token": token},
        "progress": {"key": token, "n": dice.randint(1, 12), "pad": dice.choice((0, 10, 500))},
        "big": {"payload": token, "bytes": dice.choice((1_000, 9_000, 70_000))},
    }
    return f"{upstream}__{tool}", arguments[tool]


async def _some(clients: list[FaultyClient]) -> None:
    """Wait until every client has sent something, so that the fault strikes in the middle."""
    while not all(client.asked for client in clients):
        await asyncio.sleep(0)


async def _calls(client: FaultyClient, plan: list[tuple[str, Json]]) -> str | None:
    for tool, arguments in plan:
        asked = await client.call(tool, arguments)
        if client.unread:
            return f"bytes nobody asked for after {asked}"
    return None


def expected(asked: Asked) -> str:
    """The text of the result that is this request's own."""
    arguments = asked.arguments
    own = str(arguments.get("payload") or arguments.get("token") or arguments.get("key"))
    return (own + ".").ljust(arguments["bytes"], "x") if "bytes" in arguments else own


def _mark(asked: Asked) -> str:
    """What is in this request's answer and frames, and in no other's."""
    return expected(asked).partition(".")[0][:20]


def _judge(stage: Stage, group: _Group, fault: str, side: Side, seed: int) -> Row:
    row = Row(fault, side, f"{group.era}>{group.upstream}", seed)
    asked = [each for client in group.clients for each in client.asked]
    row.requests = len(asked)
    row.results = sum(each.text is not None for each in asked)
    row.errors = sum(each.code is not None for each in asked)
    row.ended = row.requests - row.results - row.errors
    lossy = side == "client" and fault not in GENTLE
    garbled = side == "client" and fault in LIES
    row.check(ANSWER, *(_answer(each, lossy, garbled, fault in LIES) for each in asked))
    others = {_mark(each) for each in asked}
    row.check(OWN, *(_own(each, others - {_mark(each)}, fault in LIES) for each in asked))
    return row


def _answer(asked: Asked, lossy: bool, garbled: bool, lies: bool) -> str | None:
    if asked.end != "whole":
        return None if lossy else f"no whole answer: {asked}"
    if garbled and len(asked.answers) <= 1:
        return None  # whatever arrived was answered, once
    if len(asked.answers) != 1:
        # What arrived in pieces may be refused as HTTP, before there is a request to answer.
        refused = lossy and not asked.answers and asked.status >= 400
        return None if refused else f"{len(asked.answers)} answers: {asked}"
    if asked.answers[0].get("id") != asked.id:
        return f"the answer to another request: {asked}"
    if asked.code is not None and not lies and asked.code not in UPSTREAM_CODES:
        return f"an error that the fault does not explain: {asked}"
    return None


def _own(asked: Asked, others: set[str], lies: bool) -> str | None:
    texts = [asked.text] if asked.text is not None else []
    texts += [str((each.get("params") or {}).get("message")) for each in asked.frames]
    for text in texts:
        if any(other in text for other in others):
            return f"another's payload ({text[:60]!r}): {asked}"
    if lies:
        return None
    if asked.text is not None and asked.text != expected(asked):
        return f"not its own payload: {asked}"
    for frame in asked.frames:
        if frame.get("params", {}).get("progressToken") != asked.id:
            return f"another's progress: {frame}"
    return None


def _judge_effects(stage: Stage, groups: list[_Group], rows: list[Row], fault: str) -> None:
    """No side effect twice, and none that was answered with its result missing."""
    for era, upstream in stage.upstreams.items():
        counts: Counter[str] = upstream.journal.counts
        tokens: set[str] = set()
        for group, row in zip(groups, rows, strict=True):
            if group.upstream != era:
                continue
            row.check(ONCE)
            for asked in (each for client in group.clients for each in client.asked):
                if not asked.tool.endswith("__count"):
                    continue
                token = asked.arguments["token"]
                tokens.add(token)
                row.hold(ONCE, counts[token] <= 1, f"{counts[token]} times: {asked}")
                if asked.text == token:
                    row.hold(ONCE, counts[token] == 1 or fault in LIES, f"never, but answered: {asked}")
            if fault not in LIES:
                strange = set(counts) - {each for each in counts if each.startswith("t")}
                row.check(ONCE, *(f"nobody asked for {each}" for each in strange))
        total = sum(counts.values())
        rows[0].hold(ONCE, total <= len(tokens), f"{total} effects of {len(tokens)} requests at {era}")
