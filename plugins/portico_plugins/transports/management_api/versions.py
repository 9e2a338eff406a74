"""The versions a record has had, and going back to one of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from portico.api import Change, Entry, FromFile, Managed
from portico_plugins.transports.management_api.answers import Item
from portico_plugins.transports.management_api.bodies import About, read
from portico_plugins.transports.management_api.problems import Problem, missing
from portico_plugins.transports.management_api.records import DRY_RUN, NOUNS, Records
from portico_plugins.transports.management_api.shown import about_of, event_of, stamp
from portico_plugins.transports.management_api.table import Answer, Call, Operation, Query

KINDS: Final = ("upstreams", "servers", "overrides", "prompts", "resources")
"""Secrets have no versions: the point of changing one is that the old one is gone."""

_PAGE: Final = 200
_QUERY: Final = (
    Query("before", "Only from before this revision.", "integer", most=2**53),
    Query("limit", "No more than so many; 50 by default.", "integer", most=500, least=1),
)


class Version(Struct, frozen=True):
    """A record as it was. `config` is left out where secrets may stand in it."""

    version: int
    revision: int
    at: str
    subject: str
    via: str
    current: bool
    changed: list[str]
    about: About
    config: dict[str, Any] | None


class Versions(Struct, frozen=True):
    """A page of versions, the newest first; go on with `before` = `next_before`."""

    items: list[Version]
    next_before: int | None


class Rollback(Struct, forbid_unknown_fields=True, frozen=True):
    """The version to go back to."""

    version: Annotated[int, Meta(ge=1, le=2**53)]


def operations() -> tuple[Operation, ...]:
    """The part of the route table."""
    return tuple(each for kind in KINDS for each in _Versioned(kind).operations())


class _Versioned(Records):
    """The versions of records of one kind."""

    def operations(self) -> tuple[Operation, ...]:
        """The part of the route table."""
        kind, noun = self.kind, NOUNS[self.kind]
        verb = noun.title().replace(" ", "")
        return (
            Operation(
                "GET",
                f"/{kind}/{{name}}/versions",
                f"list{verb}Versions",
                f"List the versions a {noun} has had since it was created.",
                self.list,
                {200: Versions},
                _QUERY,
                kind=kind,
                problems=(404, 409, 503),
            ),
            Operation(
                "POST",
                f"/{kind}/{{name}}/rollback",
                f"rollback{verb}",
                f"Make an old version of a {noun} its newest. What is said about it stays; one that has been "
                "deleted is there again.",
                self.rollback,
                {200: Item, 201: Item},
                (DRY_RUN,),
                Rollback,
                kind,
                (404, 409, 412, 415, 422, 503),
                ("if-match",),
            ),
        )

    async def list(self, call: Call) -> Answer:
        """A page of them."""
        current = self._current(call)
        limit, before = call.query.get("limit", 50), call.query.get("before")
        items: list[Version] = []
        async for entry in self._life(call, before):
            if len(items) == limit:
                return Answer(200, Versions(items, items[-1].revision))
            items.append(_version(entry, current))
        if not items and current is None and before is None:
            raise missing(self.kind, call.name)
        return Answer(200, Versions(items, None))

    async def rollback(self, call: Call) -> Answer:
        """Write an old one as the newest."""
        wanted = read(call.body, Rollback).version
        current = self._current(call)
        found, newest = None, None
        async for entry in self._life(call):
            newest = newest or entry
            if entry.version == wanted:
                found = entry.after
                break
        if newest is None and current is None:
            raise missing(self.kind, call.name)
        if found is None:
            newest_number = newest.version if newest is not None else 0
            wrong = [("version", f"there is no version {wanted}; the newest is {newest_number}")]
            raise Problem(422, "invalid", "There is no such version", wrong)
        about = current.about if current is not None else found.about
        expected = self._expected(call, current)
        change = Change(self.kind, call.name, found.config, about, expected)
        return await self._write(call, change, current)

    def _current(self, call: Call) -> Managed | None:
        """The record as it is.

        Raises:
            FromFile: It is no record.
        """
        found = call.host.management.get(self.kind, call.name)
        if found is not None and found.record is None:
            raise FromFile(self.kind, call.name)
        return found

    async def _life(self, call: Call, before: int | None = None) -> AsyncIterator[Entry]:
        """What made each version, the newest first, from its creation on; also of one deleted since."""
        while True:
            entries = await call.host.management.history(self.kind, call.name, before=before, limit=_PAGE)
            for entry in entries:
                if entry.after is not None:
                    yield entry
                    if entry.before is None:
                        return
            if len(entries) < _PAGE:
                return
            before = entries[-1].revision


def _version(entry: Entry, current: Managed | None) -> Version:
    event, after = event_of(entry), entry.after
    assert after is not None
    now = current.record if current is not None else None
    return Version(
        entry.version,
        entry.revision,
        stamp(entry.at),
        entry.author.subject,
        entry.author.via,
        now is not None and now.version == entry.version,
        event.changed,
        about_of(after.about),
        event.after["config"] if event.after is not None else None,
    )
