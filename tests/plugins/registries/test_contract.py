"""What every registry promises, whatever it keeps records in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from portico.api import About, Author, Change, ConfigError, Made, Registry, Stale
from tests.plugins.registries.kept import KEPT_IN

ALICE = Author("alice", "cli")


@pytest.fixture(params=sorted(KEPT_IN))
async def registry(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Registry]:
    async with KEPT_IN[request.param](tmp_path)() as made:
        yield made


def put(name: str, expected: int | None = None, **config: object) -> Change:
    return Change("upstreams", name, config, About(tags=("t",)), expected)


def gone(name: str, expected: int | None = None) -> Change:
    return Change("upstreams", name, None, expected=expected)


async def test_a_record_is_created_replaced_and_deleted(registry: Registry) -> None:
    assert await registry.load() == (0, [])
    config = {"use": "mcp", "n": [1, 2**70, 1.5, None, {"ü": True}]}
    assert await registry.write([Change("upstreams", "a", config)], ALICE) == 1
    revision, [made] = await registry.load()
    assert (revision, made.config, made.version, made.revision) == (1, config, 1, 1)
    assert (made.created_by, made.updated_by, made.via) == ("alice", "alice", "cli")
    assert await registry.write([put("a", 1, url="y")], Author("bob")) == 2
    _, [changed] = await registry.load()
    assert (changed.config, changed.version, changed.about.tags) == ({"url": "y"}, 2, ("t",))
    assert (changed.created_by, changed.updated_by, changed.created) == ("alice", "bob", made.created)
    assert await registry.write([gone("a", 2)], ALICE) == 3
    assert await registry.load() == (3, [])


async def test_a_write_that_changes_nothing_has_no_revision(registry: Registry) -> None:
    assert await registry.write([gone("a")], ALICE) == 0
    assert await registry.write([put("a", x=1)], ALICE) == 1
    assert await registry.write([put("a", x=1)], ALICE) == 1
    assert await registry.write([put("a", x=True)], ALICE) == 2


@pytest.mark.parametrize(
    ("change", "found"), [(put("a", 0), 1), (put("a", 2), 1), (gone("b", 1), 0), (put("b", 1), 0)]
)
async def test_one_stale_change_spoils_the_write(registry: Registry, change: Change, found: int) -> None:
    await registry.write([put("a")], ALICE)
    before = await registry.load()
    with pytest.raises(Stale) as stale:
        await registry.write([put("c"), change], ALICE)
    assert (stale.value.kind, stale.value.name, stale.value.found) == ("upstreams", change.name, found)
    assert await registry.load() == before
    assert len(await registry.history()) == 1


async def test_a_write_based_on_another_revision_is_stale(registry: Registry) -> None:
    await registry.write([put("a")], ALICE, expected=0)
    with pytest.raises(Stale) as stale:
        await registry.write([put("b")], ALICE, expected=0)
    assert (stale.value.kind, stale.value.found) == ("", 1)


async def test_names_that_nearly_are_the_same_stay_apart(registry: Registry) -> None:
    names = ["a", "A", "a ", "\u00e9", "e\u0301", "a/tools/b", "..", "%41", "\U0001f600"]
    await registry.write([put(name, of=name) for name in names], ALICE)
    _, records = await registry.load()
    assert [(one.name, one.config["of"]) for one in records] == [(name, name) for name in sorted(names)]


async def test_what_cannot_be_kept_is_refused_as_a_whole(registry: Registry) -> None:
    for wrong in ([put("x"), put("x")], [put("")], [put("a\0b")], [put("a" * 513)], [put("\ud800")]):
        with pytest.raises(ConfigError):
            await registry.write([put("fine"), *wrong], ALICE)
    assert await registry.load() == (0, [])


async def test_history_is_newest_first_and_can_be_filtered(registry: Registry) -> None:
    await registry.write([put("a"), put("b")], ALICE)
    await registry.write([put("a", x=1)], Author("bob", "api", "10.0.0.1"))
    await registry.write([gone("b")], ALICE)
    lines = await registry.history()
    assert [(one.revision, one.name) for one in lines] == [(3, "b"), (2, "a"), (1, "b"), (1, "a")]
    assert lines[0].after is None
    assert lines[0].before is not None
    assert lines[1].author == Author("bob", "api", "10.0.0.1")
    assert [one.revision for one in await registry.history("upstreams", "a")] == [2, 1]
    assert await registry.history("servers") == []
    assert [one.revision for one in await registry.history(before=3, limit=2)] == [2, 1]


async def test_a_record_made_elsewhere_keeps_when_and_by_whom(registry: Registry) -> None:
    made = Change("upstreams", "a", {}, made=Made(1000.25, "carol"))
    await registry.write([made], ALICE)
    _, [record] = await registry.load()
    assert (record.created, record.created_by, record.updated_by) == (1000.25, "carol", "alice")
    assert record.updated > 1000.25
    await registry.write([Change("upstreams", "a", {"x": 1}, made=Made(1.0, "eve"))], ALICE)
    _, [record] = await registry.load()
    assert (record.created, record.created_by, record.version) == (1000.25, "carol", 2)


async def test_the_audit_trail_knows_the_request(registry: Registry) -> None:
    await registry.write([put("a")], Author("bob", "api", "10.0.0.1", "k" * 64))
    assert (await registry.history())[0].author == Author("bob", "api", "10.0.0.1", "k" * 64)


async def test_a_watcher_hears_of_its_own_write(registry: Registry) -> None:
    async with asyncio.timeout(30), registry.watch() as following:
        waiting = asyncio.create_task(following())
        await asyncio.sleep(0)
        await registry.write([put("a")], ALICE)
        assert await waiting == 1
        await registry.write([put("b")], ALICE)
        await registry.write([put("c")], ALICE)
        assert await following() in (2, 3)


async def test_of_two_that_race_exactly_one_wins(registry: Registry) -> None:
    await registry.write([put("a")], ALICE)
    done = await asyncio.gather(
        *(registry.write([put("a", 1, by=n)], ALICE) for n in range(5)), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in done) == ["Stale"] * 4 + ["int"]
