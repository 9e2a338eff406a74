"""What is managed at run time: the registry's records, in effect in this process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import attrs

from portico._config.masking import covered, plain, uncovered
from portico._config.memo import Memo
from portico._config.settings import Settings
from portico._config.tables import UpstreamSettings
from portico._core.contracts.definitions import Conflict
from portico._core.contracts.json import Json
from portico._core.contracts.log import Log
from portico._core.contracts.management import FromFile, Managed, Outcome
from portico._core.contracts.records import About, Author, Change, Entry, Made, Record, Registry, RegistryDown
from portico._core.contracts.upstreams import Offer, State
from portico._core.health import Condition
from portico._host.managed.checking import check
from portico._host.managed.composed import (
    LOCAL,
    OWN,
    Composed,
    Key,
    Known,
    by_content,
    compose,
    declared,
    own_of,
)
from portico._host.managed.pinboard import Pinboard
from portico._host.managed.pinning import Pinning, forgetting
from portico._host.managed.sealed import Secrets, rotate
from portico._host.managed.snapshot import Snapshot
from portico._host.managed.staging import Stage

_RETRY: Final = 1.0
_TABLES: Final = ("upstreams", "servers")


class Roster:
    """Implements `Management`.

    Args:
        file: The settings of the configuration file.
        registry: Where records are kept.
        stage: Acts on new settings.
        log: The kernel's.
        secrets: Seals and opens.
        snapshot: Holds what was in effect last.
        pins: Compares definitions with what they were, and gives names in dispute.
    """

    def __init__(
        self,
        file: Settings,
        registry: Registry,
        stage: Stage,
        log: Log,
        secrets: Secrets,
        snapshot: Snapshot,
        pins: tuple[Pinning, Callable[[], Sequence[Conflict]]],
    ) -> None:
        self._file = file
        self._registry = registry
        self._stage = stage
        self._log = log
        self._secrets = secrets
        self._snapshot = snapshot
        self._pinning, in_dispute = pins
        self._pinning.expect(self._decide)
        self.definitions = Pinboard(self._pinning, self._decide, in_dispute)
        self._records: dict[Key, Record] = {}
        self._composed = Composed(file, {}, {})
        self._known: Known = Memo()
        self._dates: Memo[Key, float] = Memo()
        self._revision = 0
        self._down = ""
        self._acting = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take up what the registry has; from then on, what changes in it."""
        try:
            await self._load()
        except RegistryDown as error:
            self._lost(error)
            known = self._snapshot.read()
            if known is not None:
                revision, records = known
                self._log.warning("registry.snapshot", revision=revision, records=len(records))
                await self._act(revision, records, keep=False)
        await self._pinning.begin()
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def stop(self) -> None:
        """Take up nothing more."""
        await self._pinning.close()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    async def _watch(self) -> None:
        while True:
            try:
                async with self._registry.watch() as changed:
                    await self._load()  # what was missed between loading and watching
                    while True:
                        await self._load(await changed())
            except RegistryDown as error:
                self._lost(error)
            except Exception as error:  # a registry that fails must not end what it has told so far
                self._log.error("registry.failed", exc_info=error)
                self._down = "it failed; see the log"
            await asyncio.sleep(_RETRY)

    def _lost(self, error: RegistryDown) -> None:
        if not self._down:
            self._log.error("registry.down", error=str(error))
        self._down = str(error) or "it cannot be reached"

    async def _load(self, said: int | None = None) -> None:
        """Have the registry's records in effect; `said` is the revision it is said to have."""
        async with self._acting:
            if said is None or said != self._revision or self._down:
                await self._take_up()

    async def _take_up(self) -> None:
        revision, records = await self._registry.load()
        if self._down:
            self._log.info("registry.up", revision=revision)
            self._down = ""
        if revision != self._revision:
            await self._act(revision, records)

    def _compose(self, records: Mapping[Key, Record]) -> Composed:
        look_up = self._secrets.look_up(records)
        return compose(self._file, records.values(), look_up, self._stage.check, self._known)

    async def _act(self, revision: int, loaded: Sequence[Record], *, keep: bool = True) -> None:
        records = {(record.kind, record.name): record for record in loaded}
        before = self._composed.settings
        composed = self._compose(by_content(records, self._dates))
        for (kind, name), problems in composed.problems.items():
            if self._composed.problems.get((kind, name)) != problems:
                self._log.warning("record.left_out", kind=kind, name=name, problems=_said(problems))
        self._pinning.take_up(composed.settings, records)
        self._stage.show(composed.overrides)
        await self._stage.become(before, composed.settings, at_first=self._watching is None)
        self._records, self._composed, self._revision = records, composed, revision
        if keep:
            try:
                await self._snapshot.keep_aside(revision, loaded)
            except OSError as error:
                self._log.warning("registry.snapshot_failed", error=str(error))

    # --- Management ------------------------------------------------------------------------------------

    @property
    def revision(self) -> int:
        """The revision in effect."""
        return self._revision

    @property
    def down(self) -> str:
        """Why the registry cannot be written to; "" when it can."""
        return self._down

    def all(self, kind: str) -> Sequence[Managed]:
        """Everything of a kind, by name."""
        names = {name for each, name in self._records if each == kind}
        if kind == "upstreams":
            names |= {name for each, name in self._file.components if each == kind}
        elif kind == "servers":
            names |= self._file.servers.keys()
        elif kind in OWN:
            names |= own_of(self._file, kind).keys()
        return [found for name in sorted(names) if (found := self.get(kind, name)) is not None]

    def get(self, kind: str, name: str) -> Managed | None:
        """One of them."""
        record = self._records.get((kind, name))
        if declared(self._file, kind, name):
            return self._of_file(kind, name)
        if record is not None:
            return self._of_registry(record, self._composed)
        return self._of_file(kind, name) if kind == "servers" and name in self._file.servers else None

    def _of_file(self, kind: str, name: str) -> Managed:
        state, reason, since = attrs.astuple(self._condition(kind, name))
        if kind == "servers":
            config = plain(self._file.servers[name])
        elif kind in OWN:
            config = plain(own_of(self._file, kind)[name])
        else:
            component = self._file.components[kind, name]
            common = plain(UpstreamSettings(component.on_change, component.health_interval))
            config = {"use": component.use, **common, **plain(component.config)}
        return Managed(kind, name, config, About(), "file", None, state, reason, since=since)

    def _of_registry(self, record: Record, composed: Composed) -> Managed:
        key = (record.kind, record.name)
        problems = composed.problems.get(key, ())
        component = composed.settings.components.get(key)
        made = component.config if component is not None else None
        state, reason, since = attrs.astuple(self._condition(*key))
        if problems:
            state, reason, since = "invalid", "; ".join(_said(problems)), record.updated
        elif not record.about.enabled:
            state, reason, since = "disabled", "", record.updated
        config = covered(record.config, made)
        return Managed(*key, config, record.about, "registry", record, state, reason, problems, since)

    def _condition(self, kind: str, name: str) -> Condition:
        return self._stage.condition(name) if kind == "upstreams" else Condition(State.READY)

    async def change(
        self, changes: Sequence[Change], author: Author, *, expected: int | None = None, dry_run: bool = False
    ) -> Outcome:
        """Check, write, and act."""
        async with self._acting:
            changes = [self._restored(change) for change in changes]
            changes = [self._sealed(each, None) if each.kind == "secrets" else each for each in changes]
            # What is not in use is checked all the same, and so is what it would be made into.
            checked = self._compose(self._changed(changes, used=True))
            check(changes, checked, self._composed)
            changes = [self._sealed(change, checked) for change in changes]
            changes += forgetting(changes)
            after = self._changed(changes)
            made = [after[change.kind, change.name] for change in changes if change.config is not None]
            if dry_run:
                composed = self._compose(after)
                return Outcome(self._revision, [self._of_registry(record, composed) for record in made])
            revision = await self._write(changes, author, expected)
            await self._take_up()
        found = [self.get(record.kind, record.name) for record in made]
        return Outcome(revision, [each for each in found if each is not None])

    async def catch_up(self) -> None:
        """Have in effect what is written, by whomever."""
        with contextlib.suppress(RegistryDown):  # a write finds out by itself, and reading goes on
            newest = () if self._down else await self._registry.history(limit=1)
            if newest and newest[0].revision > self._revision:
                await self._load(newest[0].revision)

    async def _write(self, changes: Sequence[Change], author: Author, expected: int | None = None) -> int:
        try:
            return await self._registry.write(changes, author, expected=expected)
        except RegistryDown as error:
            if not self._down and self._watching is not None:
                # Who watches may not know yet, nor that it is back: begin to watch anew, which finds out.
                self._watching.cancel()
                self._watching = asyncio.get_running_loop().create_task(self._watch())
            self._lost(error)
            raise

    async def _decide(self, decide: Callable[[], list[Change]], author: Author) -> None:
        """Write what is decided upon while nothing else changes here; see `pinning.Write`."""
        async with self._acting:
            if changes := decide():
                try:
                    await self._write(changes, author)
                finally:  # whoever was first: this is what holds
                    await self._take_up()

    async def rotate(self, author: Author, *, dry_run: bool = False) -> int:
        """Put every secret under the current key; gives how many records that changes."""
        async with self._acting:
            changed = rotate(self._secrets, self._records)
            changes = [
                Change(each.kind, each.name, each.config, each.about, each.version) for each in changed
            ]
            if changes and not dry_run:
                await self._write(changes, author)
                await self._take_up()
        return len(changes)

    def _sealed(self, change: Change, checked: Composed | None) -> Change:
        if change.config is None:
            return change
        component = checked.settings.components.get((change.kind, change.name)) if checked else None
        typed = component.config if component is not None else None
        config = self._secrets.sealing(change.kind, change.name, change.config, typed)
        return attrs.evolve(change, config=config)

    def _restored(self, change: Change) -> Change:
        """With the secrets its author could not see."""
        before = self._records.get((change.kind, change.name))
        if change.config is None:
            return change
        config = uncovered(change.config, before.config if before is not None else None)
        return attrs.evolve(change, config=config)

    def _changed(self, changes: Sequence[Change], *, used: bool = False) -> dict[Key, Record]:
        """The records as they would be; with `used`, as if those that change were all in use."""
        after = dict(self._records)
        for change in changes:
            key = (change.kind, change.name)
            if declared(self._file, *key):
                raise FromFile(*key)
            if change.config is None:
                after.pop(key, None)
            else:
                made = change.made or Made(0.0)
                new = Record(*key, {}, version=0, created=made.at, created_by=made.by)
                before = after.get(key) or new
                about = attrs.evolve(change.about, enabled=True) if used else change.about
                after[key] = attrs.evolve(
                    before, config=change.config, about=about, version=before.version + 1
                )
        return after

    async def history(
        self, kind: str | None = None, name: str | None = None, *, before: int | None = None, limit: int = 50
    ) -> Sequence[Entry]:
        """The audit trail."""
        return await self._registry.history(kind, name, before=before, limit=limit)

    def _with(self, record: Record) -> Settings:
        """The settings there would be with this record.

        Raises:
            ConfigError: It is wrong, or would make another wrong.
        """
        composed = self._compose({**self._records, (record.kind, record.name): record})
        check([Change(record.kind, record.name, record.config)], composed, self._composed)
        return composed.settings

    async def probe(self, name: str, config: Json) -> Json:
        """What a candidate upstream offers."""
        return await self._stage.probe(self._with(Record("upstreams", name, config)), name)

    async def render(self, name: str, arguments: Json, config: Json | None = None) -> Json:
        """A prompt of the gateway's own, filled in."""
        settings = self._composed.settings
        if config is not None or not declared(self._file, "prompts", name):
            kept = self._records["prompts", name].config if config is None else config
            settings = self._with(Record("prompts", name, kept))
        params = {"name": name, "arguments": arguments}
        return await self._stage.ask(settings, LOCAL, name, "prompts/get", params)

    async def refresh(self, upstream: str) -> Managed | None:
        """Have an upstream's lists fetched again."""
        return self.get("upstreams", upstream) if await self._stage.refresh(upstream) else None

    def offers(self) -> Mapping[str, Offer]:
        """What each upstream offers."""
        return self._stage.offers()


def _said(problems: Sequence[tuple[str, str]]) -> list[str]:
    return [f"{path}: {text}" if path else text for path, text in problems]
