"""Whose the tasks of an agent are."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from portico.api import Principal
from portico.testing import FakeClock, RecordingLog
from portico_plugins.upstreams.a2a.owners import LONGEST, Owners

ALICE, BOB = Principal("alice", "keys"), Principal("bob", "keys")


class Books:
    """Makes owners over one database, and closes them."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "state" / "a2a.sqlite"
        self.clock = FakeClock()
        self.log = RecordingLog()
        self.open: list[Owners] = []

    def of(self, upstream: str = "agent", file: Path | None = None, **options: Any) -> Owners:
        made = Owners(file or self.file, upstream, self.clock, self.log, **options)
        self.open.append(made)
        return made


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    books = Books(tmp_path)
    yield books
    for each in books.open:
        await each.close()


async def test_the_first_to_claim_something_owns_it(books: Books) -> None:
    owners = books.of()
    assert await owners.owns(ALICE, "task", "1") is None
    assert await owners.claim(ALICE, [("task", "1"), ("context", "c")])
    assert await owners.claim(ALICE, [("task", "1")])
    assert not await owners.claim(BOB, [("task", "2"), ("task", "1")])
    assert await owners.owns(ALICE, "task", "1") is True
    assert await owners.owns(BOB, "task", "1") is False
    assert await owners.owns(BOB, "context", "1") is None


async def test_identities_that_differ_in_anything_are_different_owners(books: Books) -> None:
    owners = books.of()
    assert await owners.claim(ALICE, [("task", "1")])
    others = [Principal("alice", "sso"), Principal("alice", "keys", "c"), Principal("alice", "keys", "", "t")]
    assert [await owners.owns(each, "task", "1") for each in others] == [False, False, False]
    scoped = Principal("alice", "keys", scopes=frozenset({"x"}))
    assert await owners.owns(scoped, "task", "1") is True


async def test_other_workers_and_the_next_start_know_it_too(books: Books) -> None:
    first, second = books.of(), books.of()
    assert await first.claim(ALICE, [("task", "1")])
    assert not await second.claim(BOB, [("task", "1")])
    assert await second.owns(ALICE, "task", "1") is True
    assert await second.mine(BOB, ["1"]) == frozenset()


async def test_agents_have_nothing_to_do_with_each_other(books: Books) -> None:
    assert await books.of("one").claim(ALICE, [("task", "1")])
    assert await books.of("two").owns(ALICE, "task", "1") is None


async def test_two_at_once_do_not_both_get_it(books: Books) -> None:
    one, two = books.of(), books.of()
    won = await asyncio.gather(one.claim(ALICE, [("context", "c")]), two.claim(BOB, [("context", "c")]))
    assert sorted(won) == [False, True]


async def test_those_of_many_that_are_mine_and_how_many_i_have(books: Books) -> None:
    owners = books.of()
    await owners.claim(ALICE, [("task", "1"), ("task", "3"), ("context", "c")])
    await owners.claim(BOB, [("task", "2")])
    assert await owners.mine(ALICE, ["1", "2", "3", "4", "", "x" * 1000]) == {"1", "3"}
    assert (await owners.count(ALICE), await owners.count(BOB)) == (2, 1)


@pytest.mark.parametrize("ident", ["", "x" * (LONGEST + 1)])
async def test_what_is_no_id_is_nobodys(books: Books, ident: str) -> None:
    owners = books.of()
    assert not await owners.claim(ALICE, [("task", ident)])
    assert await owners.owns(ALICE, "task", ident) is None


async def test_what_nobody_uses_is_forgotten_and_what_is_used_is_not(books: Books) -> None:
    owners = books.of(keep=10_000.0)
    await owners.claim(ALICE, [("task", "used"), ("task", "unused")])
    for _ in range(3):
        books.clock.advance(5_000)
        assert await owners.owns(ALICE, "task", "used") is True
    later = books.of(keep=10_000.0)  # which sweeps with its first claim
    await later.claim(ALICE, [("task", "new")])
    assert await later.owns(ALICE, "task", "used") is True
    assert await later.owns(ALICE, "task", "unused") is None


async def test_there_is_a_most_and_the_oldest_go(books: Books) -> None:
    for number in range(6):
        owners = books.of(most=3)
        await owners.claim(ALICE, [("task", str(number))])
        books.clock.advance(1)
    assert await books.of().mine(ALICE, map(str, range(6))) == {"3", "4", "5"}


async def test_the_database_is_its_owners_and_names_nobody(books: Books) -> None:
    await books.of().claim(ALICE, [("task", "1")])
    assert stat.S_IMODE(books.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(books.file.parent.stat().st_mode) == 0o700
    await books.open.pop().close()
    assert b"alice" not in b"".join(each.read_bytes() for each in books.file.parent.iterdir())


async def test_without_a_place_for_it_this_process_still_knows(books: Books, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    owners = books.of(file=blocked / "a2a.sqlite")
    assert await owners.claim(ALICE, [("task", "1")])
    assert await owners.owns(BOB, "task", "1") is False
    assert [line.event for line in books.log.lines] == ["a2a.owners_in_memory"]
