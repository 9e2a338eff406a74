"""`python -m tests.faults writes`: the gateway is killed again and again while clients write to its registry.

Whatever was acknowledged is there in the end, nothing is there by half, records and audit trail agree, and
every restart is clean.
"""

from __future__ import annotations

import asyncio
import random
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs

from portico.api import Entry
from tests.faults.gateway import GatewayProcess, gateway
from tests.faults.http1 import BROKEN, Json
from tests.faults.managed import Api, grid, tables_of
from tests.faults.stage import together
from tests.plugins.registries.kept import TABLES, opened

CLIENTS = 6
RECORDS = 12
"""How many records each client has, which are written again and again."""
AT_MOST = 6
"""Changes in one bulk request."""

Tell = Callable[[str], None]
Wish = dict[str, int | None]
"""What a write makes of records: the number of the write, or None: it deletes them."""


@attrs.define
class Verdict:
    """How it went with one registry.

    Attributes:
        kept_in: Which.
        seed: What it was run with.
        writes: Acknowledged ones.
        bulk: How many of those were of several records.
        changes: Records they changed.
        kills: How often the gateway was killed.
        made: Writes that were not acknowledged, and had been made.
        lost: Writes that were not acknowledged, and had not been.
        entries: Of the audit trail, in the end.
        seconds: All of it.
        restarts: Seconds from each start to the first answer of a gateway that is ready.
        breaches: What did not hold.
    """

    kept_in: str
    seed: int
    writes: int = 0
    bulk: int = 0
    changes: int = 0
    kills: int = 0
    made: int = 0
    lost: int = 0
    entries: int = 0
    seconds: float = 0.0
    restarts: list[float] = attrs.field(factory=list)
    breaches: list[str] = attrs.field(factory=list)


class Writer:
    """A client that writes records of its own.

    Attributes:
        records: What they are, as far as it was told: the number of the write they are of; None: deleted.
        doubt: The write that it was not told of.
        sent: Every write that was made, by its number.

    Args:
        number: Tells it from the others.
        seed: Decides what it writes.
        verdict: Where it counts.
    """

    def __init__(self, number: int, seed: int, verdict: Verdict) -> None:
        self.name = f"w{number}"
        self.records: Wish = {f"{self.name}/tools/{each}": None for each in range(RECORDS)}
        self.doubt: Wish | None = None
        self.sent: dict[int, Wish] = {}
        self._count = 0
        self._dice = random.Random(f"{seed}:{number}")
        self._verdict = verdict

    async def run(self, port: int, wanted: Callable[[], bool]) -> None:
        """Write until no more is wanted, or the gateway is gone."""
        async with Api(port) as api:
            while wanted():
                self.doubt = self._wish()
                try:
                    status, said = await self._send(api, self.doubt)
                except BROKEN:
                    return
                if status not in (200, 201):
                    self._verdict.breaches.append(f"a write was answered {status}: {said}")
                    return
                self._verdict.writes += 1
                self._verdict.bulk += len(self.doubt) > 1
                self._verdict.changes += len(self.doubt)
                self._made()

    def _wish(self) -> Wish:
        self._count += 1
        one = self._dice.random() < 0.6
        names = self._dice.sample(sorted(self.records), 1 if one else self._dice.randint(2, AT_MOST))
        deleted = {name for name in names[1:] if self._dice.random() < 0.2 and self.records[name] is not None}
        return {name: None if name in deleted else self._count for name in names}

    async def _send(self, api: Api, wish: Wish) -> tuple[int, Json]:
        pad = "x" * self._dice.choice((0, 10, 1000))
        configs = {
            name: {"description": f"{count} {pad}"} for name, count in wish.items() if count is not None
        }
        if len(wish) == 1:
            [(name, config)] = configs.items()
            return await api.ask("PUT", f"overrides/{quote(name, safe='')}", {"config": config})
        steps = [
            {"action": "put", "kind": "overrides", "name": name, "config": configs[name]}
            if name in configs
            else {"action": "delete", "kind": "overrides", "name": name}
            for name in wish
        ]
        return await api.ask("POST", "bulk", {"changes": steps, "mode": "all"})

    def _made(self) -> None:
        assert self.doubt is not None
        self.records |= self.doubt
        self.sent[self._count] = self.doubt
        self.doubt = None

    def judge(self, found: Mapping[str, int]) -> None:
        """Compare what there is with what it was told; settles what it was not told."""
        mine = {name: found.get(name) for name in self.records}
        if self.doubt is not None:
            if mine == self.records | self.doubt:
                self._verdict.made += 1
                self._made()
            else:
                self._verdict.lost += 1
                self.doubt = None
        for name, number in self.records.items():
            if mine[name] != number:
                self._verdict.breaches.append(f"{name} is of write {mine[name]}, not of {number}")
        self.records = mine


async def writes(
    kept_in: str, total: int, kills: int, seed: int, tell: Tell, clients: int = CLIENTS
) -> Verdict:
    """Have a gateway killed while clients write.

    Args:
        kept_in: What its registry is.
        total: How many writes are to be acknowledged.
        kills: How often it is killed.
        seed: Decides what is written, and when it is killed.
        tell: Told how it goes.
        clients: How many there are.
    """
    verdict = Verdict(kept_in, seed)
    dice = random.Random(seed)
    moments = sorted(dice.sample(range(total // 50, total), kills))
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="portico-writes-") as name:
        folder = Path(name)
        table = TABLES[kept_in](folder)
        writers = [Writer(number, seed, verdict) for number in range(clients)]
        for until in [*moments, total, None]:
            started = time.monotonic()
            async with gateway(tables_of(table, folder)) as running:
                if not_ready := await running.ready():
                    verdict.breaches.append(f"not ready after {verdict.kills} kills: {not_ready}")
                    break
                verdict.restarts.append(round(time.monotonic() - started, 3))
                async with Api(running.port) as api:
                    _judge(await api.all("overrides"), writers)
                if until is not None:
                    await _round(running, writers, verdict, until, dice.random() / 50, kill=until != total)
                verdict.breaches += [f"in the log: {line}" for line in running.trouble()[:3]]
                if running.process.returncode is None:
                    running.process.send_signal(signal.SIGTERM)
                    status = await running.ended()
                    if status != 0:
                        verdict.breaches.append(f"exit status {status} after SIGTERM")
            tell(
                f"{kept_in}: {verdict.writes} writes, {verdict.kills} kills, {len(verdict.breaches)} breaches"
            )
            if verdict.breaches:
                break
        async with opened(table, folder) as registry:
            revision, records = await registry.load()
            entries = await registry.history(limit=10**9)
        verdict.entries = len(entries)
        now = {record.name: record for record in records}
        verdict.breaches += audit(entries, writers, now, revision)
    verdict.seconds = round(time.monotonic() - begun, 1)
    return verdict


async def _round(
    running: GatewayProcess,
    writers: Sequence[Writer],
    verdict: Verdict,
    until: int,
    later: float,
    *,
    kill: bool,
) -> None:
    """Write until so many writes are acknowledged in all; then kill the gateway, if so asked."""
    reached = asyncio.Event()

    def wanted() -> bool:
        if verdict.writes >= until:
            reached.set()
            return kill
        return True

    writing = asyncio.ensure_future(together(*(each.run(running.port, wanted) for each in writers)))
    if kill:
        waiting = asyncio.ensure_future(reached.wait())
        await asyncio.wait({writing, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        await asyncio.sleep(later)
        running.process.kill()
        await running.process.wait()
        verdict.kills += 1
    await writing


def _judge(items: Mapping[str, Json], writers: Sequence[Writer]) -> None:
    found = {name: _number(item["config"]) for name, item in items.items()}
    for writer in writers:
        writer.judge({name: number for name, number in found.items() if name in writer.records})


def _number(config: Json) -> int:
    return int(config["description"].split()[0])


def audit(
    entries: Sequence[Entry], writers: Sequence[Writer], records: Mapping[str, Any], revision: int
) -> list[str]:
    """Whether the trail, newest first, says of every write what it was, once, and comes to the records."""
    wrong = []
    kept: dict[str, Any] = {}
    by_revision: dict[int, dict[str, int | None]] = {}
    for entry in reversed(entries):
        number = _number(entry.after.config) if entry.after is not None else None
        by_revision.setdefault(entry.revision, {})[entry.name] = number
        if entry.before != kept.get(entry.name):
            wrong.append(f"{entry.name} at {entry.revision}: what it was before is not what it was made")
        if (
            entry.after is not None
            and entry.after.version != (entry.before.version if entry.before else 0) + 1
        ):
            wrong.append(f"{entry.name} at {entry.revision}: version {entry.after.version}")
        kept[entry.name] = entry.after
    if {name: each for name, each in kept.items() if each is not None} != records:
        wrong.append("the records are not what the audit trail comes to")
    if list(by_revision) != list(range(1, revision + 1)):
        wrong.append(f"there is not one write for each of {revision} revisions")
    sent = {(writer.name, number): wish for writer in writers for number, wish in writer.sent.items()}
    for number, wish in by_revision.items():
        name = next(iter(wish)).partition("/")[0]
        count = next((each for each in wish.values() if each is not None), None)
        if sent.pop((name, count or 0), None) != wish:
            wrong.append(f"revision {number} is {wish}, which nobody wrote, or not so, or twice")
    wrong += [f"write {number} of {name} is in no revision" for name, number in sent]
    return wrong[:20]


def table(verdicts: Sequence[Verdict]) -> str:
    """For people."""
    titles = ("kept in", "writes", "bulk", "changes", "kills", "unacknowledged: made", "not made", "entries")
    titles += ("restart s (median, max)", "seconds", "verdict")
    return grid(
        titles,
        [
            (
                each.kept_in,
                each.writes,
                each.bulk,
                each.changes,
                each.kills,
                each.made,
                each.lost,
                each.entries,
                f"{statistics.median(each.restarts or [0]):.2f}, {max(each.restarts, default=0):.2f}",
                each.seconds,
                "BREACH" if each.breaches else "ok",
            )
            for each in verdicts
        ],
    )
