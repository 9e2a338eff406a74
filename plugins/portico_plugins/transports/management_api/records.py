"""What may be done with the records of one kind."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import attrs

from portico.api import Change, FromFile, Json, Managed, Stale
from portico_plugins.transports.management_api.again import done
from portico_plugins.transports.management_api.answers import Deleted, Item, Items
from portico_plugins.transports.management_api.bodies import New, Patch, Whole, read
from portico_plugins.transports.management_api.problems import Problem, missing
from portico_plugins.transports.management_api.shown import (
    cursor_of,
    item_of,
    made_of,
    place_of,
    said_of,
    tag_of,
)
from portico_plugins.transports.management_api.table import (
    JSON,
    MERGE_PATCH,
    PREFIX,
    REPLAYED,
    Answer,
    Call,
    Operation,
    Query,
)

DRY_RUN: Final = Query(
    "dry_run", "Only check; nothing is changed, and the answer is as it would be.", "boolean"
)
PAGE: Final = (
    Query("limit", "No more than so many; 100 by default.", "integer", most=1000, least=1),
    Query("cursor", "Where to go on: the `next_cursor` of the page before.", most=4096),
)
FILTERS: Final = (
    Query(
        "q", "Only those with this text in their name, description, tags, owner or team, whatever its case."
    ),
    Query("enabled", "Only those that are enabled, or not.", "boolean"),
    Query("tag", "Only those with this tag; repeated: with all of them.", many=True),
    Query("owner", "Only those that belong to this subject."),
    Query("team", "Only those that belong to this team."),
    Query("visibility", "Only those of this visibility.", choices=("private", "team", "public")),
    Query(
        "origin", "Only those of the configuration file, or of the registry.", choices=("file", "registry")
    ),
    Query("state", "Only those in this state."),
)
NOUNS: Final = {
    "upstreams": "upstream",
    "servers": "virtual server",
    "overrides": "override",
    "prompts": "prompt",
    "resources": "resource",
    "secrets": "secret",
}


class Records:
    """The operations on one kind of record.

    Args:
        kind: The kind.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def operations(self) -> tuple[Operation, ...]:
        """The part of the route table."""
        kind, noun = self.kind, NOUNS[self.kind]
        many, one = f"/{kind}", f"/{kind}/{{name}}"
        written, on = (404, 409, 412, 422, 503), ("if-match",)
        dry = (DRY_RUN,)
        verb = noun.title().replace(" ", "")
        return (
            Operation(
                "GET", many, f"list{verb}s", f"List {noun}s.", self.list,
                {200: Items}, (*PAGE, *FILTERS), kind=kind,
            ),
            Operation(
                "POST", many, f"create{verb}", f"Create a {noun}.", self.create,
                {201: Item, 200: Item}, dry, New, kind, (409, 415, 422, 503), idempotent=True,
            ),
            Operation(
                "GET", one, f"get{verb}", f"Show a {noun}.", self.get,
                {200: Item, 304: None}, kind=kind, problems=(404,), conditional=("if-none-match",),
            ),
            Operation(
                "PUT", one, f"put{verb}", f"Create or replace a {noun}.", self.put,
                {200: Item, 201: Item}, dry, Whole, kind, (409, 412, 415, 422, 503),
                ("if-match", "if-none-match"),
            ),
            Operation(
                "PATCH", one, f"patch{verb}", f"Change parts of a {noun}.", self.patch,
                {200: Item}, dry, Patch, kind, (*written, 415), on, media=(MERGE_PATCH, JSON),
            ),
            Operation(
                "DELETE", one, f"delete{verb}", f"Delete a {noun}.", self.delete,
                {200: Deleted}, dry, None, kind, written, on,
            ),
            Operation(
                "POST", f"{one}/enable", f"enable{verb}", f"Put a {noun} to use.", self.enable,
                {200: Item}, dry, None, kind, written, on,
            ),
            Operation(
                "POST", f"{one}/disable", f"disable{verb}", f"Take a {noun} out of use.", self.disable,
                {200: Item}, dry, None, kind, written, on,
            ),
        )  # fmt: skip

    # --- reading -----------------------------------------------------------------------------------

    async def list(self, call: Call) -> Answer:
        """A page of them."""
        management = call.host.management
        found = [each for each in management.all(self.kind) if _fits(each, call.query)]
        found.sort(key=lambda each: each.name)
        total = len(found)
        if "cursor" in call.query:
            kind, after = place_of(call.query["cursor"], str, str)
            if kind != self.kind:
                raise Problem(
                    400, "bad-query", "A query parameter is wrong", [("cursor", "is of another list")]
                )
            found = [each for each in found if each.name > after]
        limit = call.query.get("limit", 100)
        more = cursor_of(self.kind, found[limit - 1].name) if len(found) > limit else None
        return Answer(200, Items([item_of(each) for each in found[:limit]], total, management.revision, more))

    async def get(self, call: Call) -> Answer:
        """One of them."""
        found = self._found(call)
        tag = tag_of(found)
        unless = call.headers.get("if-none-match")
        if unless is not None and tag and (unless.strip() == "*" or tag["etag"] in _loosely(unless)):
            return Answer(304, None, tag)
        return Answer(200, item_of(found), tag)

    # --- writing -----------------------------------------------------------------------------------

    async def create(self, call: Call) -> Answer:
        """Create one; 409 if there is one."""
        return await self.make(call, read(call.body, New))

    async def make(self, call: Call, new: New) -> Answer:
        """The same, of what has been read."""
        change = Change(self.kind, new.name, new.config, said_of(new.about), 0, made_of(new.made))
        if before := await self._before(call, new.name):
            return before
        current = call.host.management.get(self.kind, new.name)
        if current is not None and current.origin == "registry":
            raise _exists(self.kind, new.name)
        try:
            answer = await self._write(call, change, current)
        except Stale:
            # Whoever was faster may have been the same request, in another process.
            if before := await self._before(call, new.name):
                return before
            raise _exists(self.kind, new.name) from None
        return attrs.evolve(answer, headers={**answer.headers, **self._place(new.name)})

    async def _before(self, call: Call, name: str) -> Answer | None:
        """The answer to a create that was carried out before; None for one that was not.

        Raises:
            Problem: 409; it was, and what it made is gone.
        """
        if not await done(call, self.kind, name):
            return None
        found = call.host.management.get(self.kind, name)
        if found is None or found.record is None:
            raise Problem(
                409, "gone", "This request was carried out before, and what it made is deleted since"
            )
        return Answer(201, item_of(found), {**tag_of(found), **self._place(name), **REPLAYED})

    def _place(self, name: str) -> dict[str, str]:
        return {"location": f"{PREFIX}/{self.kind}/{quote(name, safe='')}"}

    async def put(self, call: Call) -> Answer:
        """Create or replace one."""
        whole = read(call.body, Whole)
        if isinstance(whole.name, str) and whole.name != call.name:
            wrong = [("name", "is not that of the path; records are not renamed")]
            raise Problem(422, "invalid", "The body is not what is expected", wrong)
        current = call.host.management.get(self.kind, call.name)
        expected = self._expected(call, current, reads=False)
        return await self._write(
            call,
            Change(self.kind, call.name, whole.config, said_of(whole.about), expected, made_of(whole.made)),
            current,
        )

    async def patch(self, call: Call) -> Answer:
        """Change parts of one (RFC 7396)."""
        read(call.body, Patch)
        current = self._own(call)
        expected = self._expected(call, current)
        shown = item_of(current)
        about = {name: getattr(shown.about, name) for name in shown.about.__struct_fields__}
        config = current.record.config if current.record else {}
        whole = read(merged({"config": config, "about": about}, call.body), Whole)
        return await self._write(
            call, Change(self.kind, call.name, whole.config, said_of(whole.about), expected), current
        )

    async def enable(self, call: Call) -> Answer:
        """Put one to use."""
        return await self._switch(call, True)

    async def disable(self, call: Call) -> Answer:
        """Take one out of use."""
        return await self._switch(call, False)

    async def delete(self, call: Call) -> Answer:
        """Delete one."""
        current = self._own(call)
        change = Change(self.kind, call.name, None, expected=self._expected(call, current))
        outcome = await call.host.management.change([change], call.author, dry_run=call.dry_run)
        return Answer(200, Deleted(self.kind, call.name, outcome.revision))

    async def _switch(self, call: Call, enabled: bool) -> Answer:
        current = self._own(call)
        config = current.record.config if current.record else {}
        about = attrs.evolve(current.about, enabled=enabled)
        return await self._write(
            call, Change(self.kind, call.name, config, about, self._expected(call, current)), current
        )

    async def _write(self, call: Call, change: Change, before: Managed | None) -> Answer:
        """Have one change made; 201 if it made something, 200 else."""
        management = call.host.management
        outcome = await management.change([change], call.author, dry_run=call.dry_run)
        made = next((each for each in outcome.items if each.name == change.name), None)
        made = made or management.get(self.kind, change.name)
        if made is None:  # somebody deleted it since
            raise Stale(self.kind, change.name, 0)
        if call.dry_run:
            return Answer(200, item_of(made))
        return Answer(
            200 if before is not None and before.origin == "registry" else 201, item_of(made), tag_of(made)
        )

    def _found(self, call: Call) -> Managed:
        found = call.host.management.get(self.kind, call.name)
        if found is None:
            raise missing(self.kind, call.name, (each.name for each in call.host.management.all(self.kind)))
        return found

    def _own(self, call: Call) -> Managed:
        """One that the registry has."""
        found = self._found(call)
        if found.record is None:
            raise FromFile(self.kind, call.name)
        return found

    def _expected(self, call: Call, current: Managed | None, *, reads: bool = True) -> int | None:
        """The version a change is based on; one that is made of what was read is always based on that.

        Raises:
            Stale: The preconditions of the request do not hold (RFC 9110, 13.1).
        """
        version = current.record.version if current and current.record else 0
        only, unless = call.headers.get("if-match"), call.headers.get("if-none-match")
        if only is not None and (not version or (only.strip() != "*" and f'"{version}"' not in _tags(only))):
            raise Stale(self.kind, call.name, version)
        if unless is not None and version and (unless.strip() == "*" or f'"{version}"' in _loosely(unless)):
            raise Stale(self.kind, call.name, version)
        if only is None and unless is None and not reads:
            return None
        return version


def merged(value: Any, patch: Any) -> Any:
    """A JSON merge patch carried out (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    out: Json = dict(value) if isinstance(value, dict) else {}
    for key, each in patch.items():
        if each is None:
            out.pop(key, None)
        else:
            out[key] = merged(out.get(key), each)
    return out


def _tags(header: str) -> set[str]:
    """Entity tags; weak ones are never equal to one of ours where equality is strong (RFC 9110, 8.8.3.2)."""
    return {each.strip() for each in header.split(",")}


def _loosely(header: str) -> set[str]:
    return {each.removeprefix("W/") for each in _tags(header)}


def _exists(kind: str, name: str) -> Problem:
    return Problem(409, "exists", f"There is a {NOUNS[kind]} {name!r} already")


def _fits(managed: Managed, query: Any) -> bool:
    about = managed.about
    if "q" in query:
        text = query["q"].casefold()
        searched = (managed.name, about.description, about.owner, about.team, *about.tags)
        if not any(text in each.casefold() for each in searched):
            return False
    return (
        query.get("enabled", about.enabled) == about.enabled
        and set(query.get("tag", ())) <= set(about.tags)
        and query.get("owner", about.owner) == about.owner
        and query.get("team", about.team) == about.team
        and query.get("visibility", about.visibility) == about.visibility
        and query.get("origin", managed.origin) == managed.origin
        and query.get("state", managed.state) == managed.state
    )
