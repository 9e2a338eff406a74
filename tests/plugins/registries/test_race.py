"""Two processes that change one record: neither loses what the other wrote, nor takes it for its own."""

from __future__ import annotations

import asyncio
import multiprocessing
from pathlib import Path

import pytest

from portico.api import Author, Change, Stale
from tests.plugins.registries.kept import KEPT_IN, Open

TIMES = 60


async def _count(opens: Open, who: str) -> None:
    """Add one, `TIMES` times, each time to what there is; begin again when somebody was faster."""
    async with asyncio.timeout(120), opens() as registry:
        for number in range(TIMES):
            while True:
                _, [record, other] = await registry.load()
                config = {"n": record.config["n"] + 1, who: number + 1}
                both = [
                    Change("upstreams", "counter", {**record.config, **config}, expected=record.version),
                    Change("upstreams", "last", {"by": who, "n": config["n"]}),
                ]
                assert other.config.get("n", 0) == record.config["n"], "half of a write"
                try:
                    await registry.write(both, Author(who))
                except Stale:
                    continue
                break


def _run(opens: Open, who: str) -> None:
    asyncio.run(_count(opens, who))


@pytest.mark.parametrize("name", sorted(set(KEPT_IN) - {"memory"}))
def test_two_processes_lose_nothing_of_each_other(name: str, tmp_path: Path) -> None:
    opens = KEPT_IN[name](tmp_path)

    async def begin() -> None:
        async with opens() as registry:
            first = [Change("upstreams", "counter", {"n": 0}), Change("upstreams", "last", {"n": 0})]
            await registry.write(first, Author("begin"))

    asyncio.run(begin())
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_run, args=(opens, who)) for who in ("one", "two")]
    for process in processes:
        process.start()
    for process in processes:
        process.join(150)
    assert [process.exitcode for process in processes] == [0, 0]

    async def end() -> None:
        async with opens() as registry:
            revision, [record, last] = await registry.load()
            assert record.config == {"n": 2 * TIMES, "one": TIMES, "two": TIMES}
            assert (record.version, revision, last.config["n"]) == (2 * TIMES + 1,) * 2 + (2 * TIMES,)
            history = await registry.history("upstreams", "counter", limit=1000)
            counted = [entry.after.config["n"] for entry in history if entry.after is not None]
            assert counted == list(range(2 * TIMES, -1, -1))
            for entry in history[:-1]:
                assert entry.before is not None
                assert entry.after is not None
                assert entry.after.config == {
                    **entry.before.config,
                    "n": entry.before.config["n"] + 1,
                    entry.author.subject: entry.before.config.get(entry.author.subject, 0) + 1,
                }

    asyncio.run(end())
