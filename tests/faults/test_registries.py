"""A registry under `kill -9`: a bounded round of `python -m tests.faults writes`, and what it would find."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest

from portico.api import Author, Change, Entry, Record
from tests.faults.writes import Verdict, Writer, audit, table, writes
from tests.plugins.registries.kept import KEPT_IN

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the harness asks the gateway for a census")

SEED = 20261121


async def test_whatever_was_acknowledged_outlives_the_gateway() -> None:
    verdict = await writes("file", total=120, kills=2, seed=SEED, tell=lambda text: None)
    assert not verdict.breaches
    assert (verdict.writes >= 120, verdict.kills) == (True, 2)
    assert verdict.entries >= verdict.changes
    assert "ok" in table([verdict])


# --- what is found out -----------------------------------------------------------------------------------


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[tuple[Writer, list[Entry], dict[str, Record], int]]:
    """A writer of three writes, and what a registry made of them: its history, records and revision."""
    writer = Writer(0, 1, Verdict("memory", 1))
    one, two = sorted(writer.records)[:2]
    author = Author("anybody")

    def put(name: str, number: int) -> Change:
        return Change("overrides", name, {"description": f"{number} x"})

    async with asyncio.timeout(30), KEPT_IN["memory"](tmp_path)() as registry:
        await registry.write([put(one, 1), put(two, 1)], author)
        await registry.write([put(one, 2)], author)
        await registry.write([put(one, 3), Change("overrides", two, None)], author)
        revision, records = await registry.load()
        writer.sent = {1: {one: 1, two: 1}, 2: {one: 2}, 3: {one: 3, two: None}}
        history = list(await registry.history())
        yield writer, history, {record.name: record for record in records}, revision


Kept = tuple[Writer, list[Entry], dict[str, Record], int]


async def test_what_is_whole_is_found_whole(kept: Kept) -> None:
    writer, history, records, revision = kept
    assert audit(history, [writer], records, revision) == []


async def test_a_write_that_is_lost_is_found_out(kept: Kept) -> None:
    writer, history, records, revision = kept
    writer.sent[4] = {"w0/tools/0": 4}
    assert audit(history, [writer], records, revision) == ["write 4 of w0 is in no revision"]


async def test_half_of_a_write_is_found_out(kept: Kept) -> None:
    writer, history, records, revision = kept
    half = [entry for entry in history if entry.after is not None or entry.revision != 3]
    assert any("revision 3 is" in each for each in audit(half, [writer], records, revision))


async def test_a_write_made_twice_is_found_out(kept: Kept) -> None:
    writer, history, records, revision = kept
    twice = [attrs.evolve(history[0], revision=4), *history]
    assert any("revision 4 is" in each for each in audit(twice, [writer], records, revision + 1))


async def test_a_record_without_its_entry_is_found_out(kept: Kept) -> None:
    writer, history, records, revision = kept
    [(name, record)] = records.items()
    other = {name: attrs.evolve(record, config={"description": "9"})}
    assert audit(history, [writer], other, revision) == ["the records are not what the audit trail comes to"]


def test_a_writer_finds_what_was_taken_from_it_and_settles_what_it_was_not_told() -> None:
    verdict = Verdict("memory", 1)
    writer = Writer(0, 1, verdict)
    one, two, *_ = sorted(writer.records)
    writer.records |= {one: 1, two: 1}
    writer.doubt = {one: 2, two: 2}
    writer.judge({one: 2, two: 2})
    assert (verdict.made, verdict.lost, verdict.breaches) == (1, 0, [])
    writer.doubt = {one: 3, two: 3}
    writer.judge({one: 3, two: 2})
    assert (verdict.made, verdict.lost) == (1, 1)
    assert verdict.breaches == [f"{one} is of write 3, not of 2"]
