"""A gateway's management without the gateway, and the API in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx2
from starlette.applications import Starlette

from portico.api import (
    About,
    Author,
    Change,
    ConfigError,
    Conflict,
    Difference,
    Entry,
    FromFile,
    Json,
    Made,
    Managed,
    Offer,
    Outcome,
    Pinned,
    Principal,
    Record,
    Ref,
    RegistryDown,
    Secret,
    Stale,
    UpstreamPins,
)
from portico.testing import FakeClock, RecordingLog, make_host
from portico_plugins.auth.token import TOKEN, TokenConfig
from portico_plugins.transports.management_api import MANAGEMENT_API, ManagementApiConfig

MASK = "**********"
ALICE = {"authorization": "Bearer alice-0123456789abcdef"}
TIME = Managed("upstreams", "time", {"command": ["time"]}, About(tags=("clock",)), "file")


class FakeDefinitions:
    """The pins of two upstreams; a tool of one is quarantined until it is approved of."""

    def __init__(self) -> None:
        self.version = 3
        self.held = True
        self.approved: list[tuple[str, Mapping[str, str] | None, str]] = []
        self.down = False

    def all(self, upstream: str | None = None) -> Sequence[Pinned]:
        """Without details."""
        every = [each for name in ("git", "time") for each in self._of(name)]
        return [
            attrs.evolve(each, before=None, after=None, differences=())
            for each in every
            if upstream in (None, each.upstream)
        ]

    def _of(self, upstream: str) -> list[Pinned]:
        if upstream == "git":
            return [Pinned("git", "tools/log", "pinned", "a" * 64)]
        zones = Pinned("time", "tools/zones", "changed", "d" * 64, "e" * 64, 2.0, ("name: U+200B",))
        if not self.held:
            return [Pinned("time", "tools/now", "pinned", "c" * 64), zones]
        before, after = {"name": "now", "title": "Now"}, {"name": "now"}
        field = Difference("title", "removed", "Now", None)
        now = Pinned("time", "tools/now", "quarantined", "b" * 64, "c" * 64, 1.5, (), before, after, [field])
        return [now, zones]

    def get(self, upstream: str) -> UpstreamPins | None:
        """With details."""
        if upstream not in ("git", "time"):
            return None
        version = self.version if upstream == "time" else 0
        return UpstreamPins(upstream, "quarantine", version, self._of(upstream))

    async def approve(
        self,
        upstream: str,
        definitions: Mapping[str, str] | None,
        author: Author,
        *,
        expected: int | None = None,
        dry_run: bool = False,
    ) -> UpstreamPins:
        """Approve of the one there is."""
        if self.down:
            raise RegistryDown("away")
        wanted = {"tools/now": ""} if definitions is None else definitions
        if set(wanted) != {"tools/now"} or not self.held or upstream != "time":
            raise ConfigError([(f"pins.{upstream}", "has not changed")])
        if expected not in (None, self.version) or wanted["tools/now"] not in ("", "c" * 64):
            raise Stale("pins", upstream, self.version)
        if not dry_run:
            self.held, self.version = False, self.version + 1
            self.approved.append((upstream, definitions, author.subject))
        found = self.get(upstream)
        assert found is not None
        return found

    def conflicts(self) -> Sequence[Conflict]:
        """One."""
        return [Conflict("default", "tools", "Log", "time", "git", "similar")]


class FakeManagement:
    """Stands in for the kernel's: keeps records in a dict, checks versions, and masks members named `token`.

    It knows nothing of what configs mean: a config with a member `wrong` is refused, with its path.
    """

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], Record] = {}
        self.entries: list[Entry] = []
        self.revision = 0
        self.down = ""
        self.lost = ""
        self.clock = FakeClock()
        self.probed: list[tuple[str, Json]] = []
        self.definitions = FakeDefinitions()
        self.lists: dict[str, Offer] = {
            "time": Offer(tools=({"name": "now", "description": "The time"}, {"name": "zones"})),
            "git": Offer(tools=({"name": "log", "title": "History"},)),
        }

    def all(self, kind: str) -> Sequence[Managed]:
        """All of a kind."""
        names = {name for each, name in self.records if each == kind}
        if kind == "upstreams":
            names.add("time")
        return [found for name in sorted(names) if (found := self.get(kind, name))]

    def get(self, kind: str, name: str) -> Managed | None:
        """One."""
        if (kind, name) == ("upstreams", "time"):
            return TIME
        record = self.records.get((kind, name))
        return None if record is None else self._managed(record)

    def _managed(self, record: Record) -> Managed:
        config = {key: MASK if key == "token" else each for key, each in record.config.items()}
        state = "ready" if record.about.enabled else "disabled"
        return Managed(record.kind, record.name, config, record.about, "registry", record, state)

    async def change(
        self, changes: Sequence[Change], author: Author, *, expected: int | None = None, dry_run: bool = False
    ) -> Outcome:
        """Check and, unless it is a dry run, keep."""
        if self.down:
            raise RegistryDown(self.down)
        after, entries, made = dict(self.records), [], []
        for change in changes:
            key = (change.kind, change.name)
            if key == ("upstreams", "time"):
                raise FromFile(*key)
            before = after.get(key)
            version = before.version if before else 0
            if change.expected is not None and change.expected != version:
                raise Stale(*key, version)
            if change.config is None:
                after.pop(key, None)
                if before:
                    entries.append(
                        Entry(self.revision + 1, self.clock.time(), author, *key, version, before, None)
                    )
                continue
            if "wrong" in change.config:
                raise ConfigError([(f"{change.kind}.{change.name}.wrong", "expected it to be right")])
            config = {
                name: before.config.get(name) if each == MASK and before else each
                for name, each in change.config.items()
            }
            first = change.made or Made(1.0, author.subject)
            created = (before.created, before.created_by) if before else (first.at, first.by)
            after[key] = record = Record(
                *key, config, change.about, version + 1, self.revision + 1,
                *created, 1.0, author.subject, author.via,
            )  # fmt: skip
            entries.append(
                Entry(self.revision + 1, self.clock.time(), author, *key, version + 1, before, record)
            )
            made.append(self._managed(record))
        if not dry_run and entries:
            self.revision += 1
            self.records, self.entries = after, [*reversed(entries), *self.entries]
        return Outcome(self.revision, made)

    async def history(
        self, kind: str | None = None, name: str | None = None, *, before: int | None = None, limit: int = 50
    ) -> Sequence[Entry]:
        """The audit trail."""
        return [
            each
            for each in self.entries
            if kind in (None, each.kind)
            and name in (None, each.name)
            and (before is None or each.revision < before)
        ][:limit]

    async def catch_up(self) -> None:
        """Nobody else writes here."""

    async def probe(self, name: str, config: Json) -> Json:
        """Pretend."""
        if "command" in config:
            raise ConfigError([(f"upstreams.{name}.command", "may not be started")])
        self.probed.append((name, config))
        return {"state": "ready", "reason": "", "info": None, "eras": ["modern"], "tools": [{"name": "now"}]}

    async def render(self, name: str, arguments: Json, config: Json | None = None) -> Json:
        """Pretend."""
        if config and "wrong" in config:
            raise ConfigError([(f"prompts.{name}.wrong", "expected it to be right")])
        return {"messages": [{"role": "user", "content": {"type": "text", "text": str(arguments)}}]}

    async def rotate(self, author: Author, *, dry_run: bool = False) -> int:
        """Pretend: every secret changes."""
        if self.down:
            raise RegistryDown(self.down)
        if self.lost:
            raise ConfigError([(f"secrets.{self.lost}", "has a secret that cannot be opened")])
        found = [record for (kind, _), record in self.records.items() if kind == "secrets"]
        changes = [Change(each.kind, each.name, {**each.config, "again": 1}, each.about) for each in found]
        if not dry_run:
            await self.change(changes, author)
        return len(found)

    async def refresh(self, upstream: str) -> Managed | None:
        """Pretend: one that is not in use has nothing to fetch."""
        found = self.get("upstreams", upstream)
        return found if found is not None and found.about.enabled else None

    def offers(self) -> Mapping[str, Any]:
        """What there is."""
        return self.lists


class Scoped:
    """Takes everybody with a bearer token for `bob`, who has the scopes of that name."""

    async def authenticate(self, credentials: Any) -> Principal | None:
        """Bob."""
        given = credentials.headers.get("authorization", "").removeprefix("Bearer ")
        return Principal("bob", "scoped", scopes=frozenset(given.split(","))) if given else None


@attrs.frozen
class Served:
    """The API, somebody who may use it, and what is behind it."""

    http: httpx2.AsyncClient
    management: FakeManagement
    clock: FakeClock
    log: RecordingLog
    app: Starlette
    wiring: Any

    async def put(self, path: str, config: Json, **more: Any) -> httpx2.Response:
        """PUT a record."""
        return await self.http.put(f"/api/v1/{path}", json={"config": config}, **more)


@asynccontextmanager
async def served(
    *, peer: str = "127.0.0.1", management: Any = None, auth: tuple[str, ...] = ("people",), **config: Any
) -> AsyncIterator[Served]:
    """The API over a `FakeManagement`, asked by alice."""
    management = management or FakeManagement()
    clock, log = management.clock, RecordingLog()
    tokens = TokenConfig({"alice": Secret("alice-0123456789abcdef")})
    async with TOKEN.create(tokens, make_host("people", "auth")) as people:
        host = make_host(
            "api", "transports", log=log, clock=clock, components={"people": people, "scoped": Scoped()}
        )
        host = attrs.evolve(host, management=management)
        made = ManagementApiConfig(auth=tuple(Ref(name) for name in auth), **config)
        async with MANAGEMENT_API.create(made, host) as api:
            app = Starlette(routes=list(api.routes()))
            transport = httpx2.ASGITransport(app=app, client=(peer, 1))
            headers = ALICE if "people" in auth else {}
            async with httpx2.AsyncClient(
                transport=transport, base_url="http://localhost", headers=headers
            ) as http:
                yield Served(http, management, clock, log, app, host.wiring)
