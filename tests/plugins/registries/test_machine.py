"""Whatever is done to a registry, in whatever order, it is what a model of it is."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import tempfile
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs
import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from portico.api import About, Author, Change, ConfigError, Entry, Record, Registry, Stale
from tests.plugins.registries.kept import KEPT_IN, Open

_T = TypeVar("_T")
Key = tuple[str, str]

KINDS = ("upstreams", "overrides", "secrets")
NAMES = ("a", "A", "a ", "a/tools/b", "..", "é", "e\u0301", "x" * 512)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
LEAF = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUE = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2)
)
CONFIG = st.sampled_from([{}, {"n": 1}, {"n": 1.0}, {"n": True}]) | st.dictionaries(TEXT, VALUE, max_size=3)
ABOUT = st.just(About()) | st.builds(
    About,
    enabled=st.booleans(),
    description=TEXT,
    tags=st.lists(TEXT, max_size=2).map(tuple),
    owner=TEXT,
    team=TEXT,
    visibility=st.sampled_from(["private", "team", "public"]),
)
AUTHOR = st.builds(Author, TEXT, st.sampled_from(["api", "cli", "import"]), TEXT)
KEY = st.tuples(st.sampled_from(KINDS), st.sampled_from(NAMES))
BASIS = st.sampled_from(["any", "any", "now", "now", "before", "later"])
"""What a write is based on: whatever there is, what there is, or what there is not."""

WISHES = st.lists(
    st.tuples(KEY, st.none() | CONFIG, ABOUT, BASIS), max_size=4, unique_by=lambda wish: wish[0]
)


def exact(value: Any) -> bytes:
    """Of values that are the same thing the same; `1`, `1.0` and `true` are not."""
    return msgspec.json.encode(value, order="sorted")


@attrs.define
class Model:
    """What a registry is: records and what happened to them."""

    revision: int = 0
    records: dict[Key, Record] = attrs.field(factory=dict)
    entries: list[Entry] = attrs.field(factory=list)

    def outcome(self, changes: Sequence[Change], expected: int | None) -> tuple[str, str, int] | None:
        """What a write is refused with: what differs, and its version; None: nothing does."""
        if expected not in (None, self.revision):
            return ("", "", self.revision)
        for change in changes:
            record = self.records.get((change.kind, change.name))
            version = record.version if record is not None else 0
            if change.expected not in (None, version):
                return (change.kind, change.name, version)
        return None

    def write(self, changes: Sequence[Change], author: Author) -> None:
        """Make them; times are left out."""
        entries = []
        for change in changes:
            before = self.records.get((change.kind, change.name))
            after = self._after(before, change, author)
            if after is not before:
                version = (after or before or Record("", "", {})).version
                entries.append(Entry(0, 0.0, author, change.kind, change.name, version, before, after))
        self.revision += bool(entries)
        for entry in entries:
            key = (entry.kind, entry.name)
            after = attrs.evolve(entry.after, revision=self.revision) if entry.after is not None else None
            self.entries.append(attrs.evolve(entry, revision=self.revision, after=after))
            if after is None:
                del self.records[key]
            else:
                self.records[key] = after

    def _after(self, before: Record | None, change: Change, author: Author) -> Record | None:
        if change.config is None:
            return None
        if before is not None and exact([before.config, before.about]) == exact(
            [change.config, change.about]
        ):
            return before
        return Record(
            change.kind,
            change.name,
            change.config,
            change.about,
            version=before.version + 1 if before is not None else 1,
            created_by=before.created_by if before is not None else author.subject,
            updated_by=author.subject,
            via=author.via,
        )


class Machine(RuleBasedStateMachine):
    """One registry, opened twice where it is one that lasts."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._lasts = name != "memory"
        self._folder = tempfile.TemporaryDirectory()
        self._open: Open = KEPT_IN[name](Path(self._folder.name))
        self._runner = asyncio.Runner()
        self._model = Model()
        self._opened = [self._run(Opened.begin(self._open)) for _ in range(2 if self._lasts else 1)]

    def teardown(self) -> None:
        """Close everything."""
        for each in self._opened:
            self._run(each.end())
        self._runner.close()
        self._folder.cleanup()

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        async def in_time() -> _T:
            async with asyncio.timeout(60):
                return await work

        return self._runner.run(in_time())

    def _registry(self, which: int) -> Registry:
        return self._opened[which % len(self._opened)].registry

    def _number(self, now: int, basis: str) -> int | None:
        return {"any": None, "now": now, "before": max(now - 1, 0), "later": now + 1}[basis]

    @rule(which=st.integers(0, 1), wishes=WISHES, author=AUTHOR, basis=BASIS)
    def write(self, which: int, wishes: Sequence[Any], author: Author, basis: str) -> None:
        """Some wishes, some of them stale."""
        changes = []
        for (kind, name), config, about, on in wishes:
            record = self._model.records.get((kind, name))
            version = self._number(record.version if record is not None else 0, on)
            changes.append(Change(kind, name, config, about, version))
        expected = self._number(self._model.revision, basis)
        refused = self._model.outcome(changes, expected)
        given = copy.deepcopy(changes)
        if refused is not None:
            with pytest.raises(Stale) as stale:
                self._run(self._registry(which).write(given, author, expected=expected))
            if not refused[0] or sum(change.expected is not None for change in changes) == 1:
                assert (stale.value.kind, stale.value.name, stale.value.found) == refused
            return
        self._model.write(changes, author)
        revision = self._run(self._registry(which).write(given, author, expected=expected))
        assert revision == self._model.revision
        for change in given:  # what it was given is its own
            if change.config is not None:
                change.config["later"] = True

    @rule(which=st.integers(0, 1), author=AUTHOR, wrong=st.sampled_from(["", "x" * 513, "a\0", "\ud800"]))
    def refuse(self, which: int, author: Author, wrong: str) -> None:
        """What cannot be kept spoils the write."""
        changes = [Change("upstreams", "a", {"never": 1}), Change("upstreams", wrong, {})]
        with pytest.raises(ConfigError):
            self._run(self._registry(which).write(changes, author))

    @rule(
        which=st.integers(0, 1),
        kind=st.none() | st.sampled_from(KINDS),
        name=st.none() | st.sampled_from(NAMES),
        back=st.none() | st.integers(-1, 5),
        limit=st.integers(1, 10),
    )
    def history(self, which: int, kind: str | None, name: str | None, back: int | None, limit: int) -> None:
        """Some of the audit trail."""
        before = self._model.revision - back if back is not None else None
        found = self._run(self._registry(which).history(kind, name, before=before, limit=limit))
        wanted = [
            entry
            for entry in reversed(self._model.entries)
            if kind in (None, entry.kind) and name in (None, entry.name)
            if before is None or entry.revision < before
        ]
        assert [exact(_timeless(each)) for each in found] == [exact(each) for each in wanted[:limit]]
        for entry in found:
            assert entry.at > 0
            assert entry.after is None or entry.after.updated == entry.at
            assert entry.before is not None or entry.after is None or entry.after.created == entry.at

    @rule(which=st.integers(0, 1))
    def hear(self, which: int) -> None:
        """Who watches comes to hear of the last revision, and of none twice."""
        opened = self._opened[which % len(self._opened)]
        self._run(opened.hears(self._model.revision))
        assert all(one < other for one, other in zip(opened.heard, opened.heard[1:], strict=False))

    @precondition(lambda self: self._lasts)
    @rule(which=st.integers(0, 1))
    def reopen(self, which: int) -> None:
        """Close it, and open it again."""
        self._run(self._opened[which].end())
        self._opened[which] = self._run(Opened.begin(self._open))

    @invariant()
    def is_as_the_model(self) -> None:
        """Every record, and the revision."""
        self._compare(self._opened[0])

    @rule()
    def is_so_for_everybody(self) -> None:
        """Whoever is asked. Not after every step: a watcher is to hear of what was not asked for."""
        self._compare(self._opened[-1])

    def _compare(self, opened: Opened) -> None:
        revision, records = self._run(opened.registry.load())
        assert revision == self._model.revision
        model = [self._model.records[key] for key in sorted(self._model.records)]
        assert [exact(_timeless(each)) for each in records] == [exact(each) for each in model]
        for record in records:  # what it gives is ours
            record.config["mine"] = True


def _timeless(value: Any) -> Any:
    if isinstance(value, Record):
        assert 0 < value.created <= value.updated
        return attrs.evolve(value, created=0.0, updated=0.0)
    return attrs.evolve(
        value,
        at=0.0,
        before=value.before and _timeless(value.before),
        after=value.after and _timeless(value.after),
    )


@attrs.define
class Opened:
    """A registry that is open, in a task of its own, and a watcher of it."""

    registry: Registry
    heard: list[int]
    _first: int
    _news: asyncio.Event
    _ending: asyncio.Event
    _task: asyncio.Task[None]

    @classmethod
    async def begin(cls, opens: Open) -> Opened:
        """Open it."""
        ready: asyncio.Future[Registry] = asyncio.get_running_loop().create_future()
        heard: list[int] = []
        news, ending = asyncio.Event(), asyncio.Event()

        async def live() -> None:
            async with opens() as registry, registry.watch() as following:
                ready.set_result(registry)

                async def listen() -> None:
                    while True:
                        heard.append(await following())
                        news.set()

                listening = asyncio.create_task(listen())
                await ending.wait()
                listening.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await listening

        task = asyncio.create_task(live())
        await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        registry = ready.result()
        return cls(registry, heard, (await registry.load())[0], news, ending, task)

    async def hears(self, revision: int) -> None:
        """Wait until the watcher has heard of a revision, or had no need to."""
        while revision not in (self._first, *self.heard[-1:]):
            self._news.clear()
            await self._news.wait()

    async def end(self) -> None:
        """Close it."""
        self._ending.set()
        await self._task


@pytest.mark.parametrize("name", sorted(KEPT_IN))
def test_it_is_as_a_model_of_it(name: str) -> None:
    run_state_machine_as_test(
        lambda: Machine(name),
        settings=settings(
            max_examples=80 if name == "memory" else 20,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
