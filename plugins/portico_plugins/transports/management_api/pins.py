"""Pinned definitions: what changed, and approving of it; names in dispute."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from portico.api import Pinned, Stale
from portico.api import UpstreamPins as Pins
from portico_plugins.transports.management_api.answers import Items
from portico_plugins.transports.management_api.bodies import read
from portico_plugins.transports.management_api.problems import missing
from portico_plugins.transports.management_api.records import DRY_RUN, FILTERS, PAGE, Records
from portico_plugins.transports.management_api.shown import cursor_of, place_of, stamp
from portico_plugins.transports.management_api.table import Answer, Call, Operation, Query

State = Literal["pinned", "changed", "quarantined"]
Name = Annotated[str, Meta(min_length=1, max_length=512, description="`tools/NAME`, `instructions`, ...")]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Approval(Struct, forbid_unknown_fields=True, frozen=True):
    """Which changes hold from now on; all of the upstream when neither member is there.

    `digests` says of a change what it must be (its `offered`), so that only what was looked at is approved.
    """

    definitions: Annotated[list[Name], Meta(min_length=1, max_length=10_000)] | UnsetType = UNSET
    digests: Annotated[dict[Name, Digest], Meta(min_length=1, max_length=10_000)] | UnsetType = UNSET


class Field(Struct, frozen=True):
    """A field that differs; `before` and `after` are null where there was, or is, none."""

    path: str
    what: Literal["added", "removed", "changed"]
    before: Any
    after: Any


class Pin(Struct, frozen=True):
    """A definition of an upstream. `offered` and `since` are null, unless it changed.

    `odd` says where what is offered has characters that people do not see.
    """

    upstream: str
    definition: str
    state: State
    digest: str
    offered: str | None
    since: str | None
    odd: list[str]


class PinWhole(Pin, frozen=True):
    """With what it was, what it became, and how they differ; null and empty, unless it changed."""

    before: dict[str, Any] | None
    after: dict[str, Any] | None
    differences: list[Field]


class PinItems(Struct, frozen=True):
    """A page of definitions, by upstream and name."""

    items: list[Pin]
    total: int
    next_cursor: str | None


class UpstreamPins(Struct, frozen=True):
    """All definitions of an upstream. `version` is that of the record, 0 before there is one."""

    upstream: str
    on_change: Literal["accept", "warn", "quarantine", ""]
    version: int
    items: list[PinWhole]


class Dispute(Struct, frozen=True):
    """A name of `upstream` that is the other one's too, or looks like it. It is the other one's first."""

    server: str
    kind: str
    name: str
    upstream: str
    other: str
    why: Literal["same", "left_out", "similar", "mimics"]


class Disputes(Struct, frozen=True):
    """Names in dispute."""

    items: list[Dispute]
    total: int


_STATE: Final = Query("state", "Only those in this state.", choices=("pinned", "changed", "quarantined"))
_UPSTREAM: Final = Query("upstream", "Only those of this upstream.")
_SERVER: Final = Query("server", "Only those of this virtual server.")


def pin_operations() -> tuple[Operation, ...]:
    """The part of the route table."""
    return (
        Operation(
            "GET", "/pins", "listPins", "List definitions as they are pinned, and which have changed.", many,
            {200: PinItems}, (*PAGE, _UPSTREAM, _STATE), kind="pins",
        ),
        Operation(
            "GET", "/pins/{name}", "getPins", "Show an upstream's definitions, and what changed about them.",
            one, {200: UpstreamPins}, kind="pins", problems=(404,),
        ),
        Operation(
            "POST", "/pins/{name}/approve", "approvePins", "Have changed definitions hold from now on.",
            approve, {200: UpstreamPins}, (DRY_RUN,), Approval, "pins", (404, 409, 412, 415, 422, 503),
            ("if-match",),
        ),
        Operation(
            "GET", "/pin-records", "listPinRecords", "List the records that pins are kept in, for exports.",
            Records("pins").list, {200: Items}, (*PAGE, *FILTERS), kind="pins",
        ),
        Operation(
            "GET", "/conflicts", "listConflicts",
            "List names of upstreams that other upstreams have, too, or that look like theirs.", conflicts,
            {200: Disputes}, (_SERVER,),
        ),
    )  # fmt: skip


async def many(call: Call) -> Answer:
    """A page of definitions."""
    upstream, state = call.query.get("upstream"), call.query.get("state")
    found = [each for each in call.host.management.definitions.all(upstream) if state in (None, each.state)]
    total = len(found)
    if "cursor" in call.query:
        place = place_of(call.query["cursor"], str, str)
        found = [each for each in found if (each.upstream, each.definition) > place]
    limit = call.query.get("limit", 100)
    more = None
    if len(found) > limit:
        more = cursor_of(found[limit - 1].upstream, found[limit - 1].definition)
    return Answer(200, PinItems([Pin(*_facts(each)) for each in found[:limit]], total, more))


async def one(call: Call) -> Answer:
    """All definitions of one upstream."""
    return _answer(_found(call))


async def approve(call: Call) -> Answer:
    """Have changes hold."""
    approval = read(call.body, Approval)
    found = _found(call)
    wanted: dict[str, str] | None = None
    if approval.definitions is not UNSET or approval.digests is not UNSET:
        wanted = dict.fromkeys(approval.definitions or (), "")
        wanted.update(approval.digests or {})
    after = await call.host.management.definitions.approve(
        call.name, wanted, call.author, expected=_expected(call, found.version), dry_run=call.dry_run
    )
    return _answer(after)


async def conflicts(call: Call) -> Answer:
    """Names in dispute."""
    server = call.query.get("server")
    items = [
        Dispute(each.server, each.kind, each.name, each.upstream, each.other, each.why)
        for each in call.host.management.definitions.conflicts()
        if server in (None, each.server)
    ]
    return Answer(200, Disputes(items, len(items)))


def _found(call: Call) -> Pins:
    definitions = call.host.management.definitions
    found = definitions.get(call.name)
    if found is None:
        raise missing("pins", call.name, dict.fromkeys(each.upstream for each in definitions.all()))
    return found


def _expected(call: Call, version: int) -> int | None:
    only = call.headers.get("if-match")
    if only is None:
        return None
    if not version or (only != "*" and f'"{version}"' not in {each.strip() for each in only.split(",")}):
        raise Stale("pins", call.name, version)
    return version


def _answer(pins: Pins) -> Answer:
    items = [
        PinWhole(
            *_facts(each),
            each.before,
            each.after,
            [Field(field.path, field.what, field.before, field.after) for field in each.differences],
        )
        for each in pins.items
    ]
    tag = {"etag": f'"{pins.version}"'} if pins.version else {}
    return Answer(200, UpstreamPins(pins.upstream, pins.on_change, pins.version, items), tag)


def _facts(each: Pinned) -> tuple[str, str, State, str, str | None, str | None, list[str]]:
    since = stamp(each.since) if each.since else None
    offered = each.offered or None
    return each.upstream, each.definition, each.state, each.digest, offered, since, list(each.odd)
