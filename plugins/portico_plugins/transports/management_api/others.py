"""What is not about the records of one kind: history, tools, status, trying out, fetching again."""

from __future__ import annotations

import importlib.metadata
from functools import cache
from typing import Any, Final

from portico.api import Json, Managed
from portico_plugins.transports.management_api import trying, versions
from portico_plugins.transports.management_api.answers import (
    Events,
    Health,
    Imported,
    Item,
    Offered,
    Reports,
    Rotated,
    Status,
    Tool,
    Tools,
)
from portico_plugins.transports.management_api.bodies import Bulk, Candidate, Import, read
from portico_plugins.transports.management_api.bulk import Bulks
from portico_plugins.transports.management_api.catalog import Servers
from portico_plugins.transports.management_api.imports import Imports
from portico_plugins.transports.management_api.pins import pin_operations
from portico_plugins.transports.management_api.problems import Problem, missing
from portico_plugins.transports.management_api.records import DRY_RUN, NOUNS, PAGE, Records
from portico_plugins.transports.management_api.shown import (
    Number,
    cursor_of,
    event_of,
    item_of,
    place_of,
    stamp,
    tag_of,
)
from portico_plugins.transports.management_api.table import Answer, Call, Operation, Query

_UPSTREAM: Final = Query("upstream", "Only those of this upstream.")
_TOOL_TEXT: Final = Query("q", "Only those with this text in their name, title or description.")
_TRAIL: Final = (
    Query("kind", "Only of records of this kind.", choices=(*NOUNS, "pins")),
    Query("name", "Only of records of this name; needs `kind`."),
    Query("before", "Only from before this revision.", "integer", most=2**53),
    Query("limit", "No more than so many; 50 by default.", "integer", most=500, least=1),
    PAGE[1],
)


def operations(max_changes: int, catalog: str, allow_private: bool = False) -> tuple[Operation, ...]:
    """The whole route table.

    Args:
        max_changes: How many changes a bulk request may have.
        catalog: Where servers are added from; "" for nowhere.
        allow_private: Whether that may have a private address.
    """
    return (
        Operation("GET", "/status", "status", "How the gateway is.", status, {200: Status}),
        *(each for kind in NOUNS for each in Records(kind).operations()),
        *versions.operations(),
        *trying.operations(),
        *pin_operations(),
        Operation(
            "POST",
            "/upstreams/test",
            "testUpstream",
            "Connect to a candidate upstream and show what it offers; nothing is kept of it.",
            test,
            {200: Offered},
            body=Candidate,
            kind="upstreams",
            problems=(415, 422),
        ),
        Operation(
            "POST",
            "/upstreams/{name}/refresh",
            "refreshUpstream",
            "Have an upstream's lists fetched again.",
            refresh,
            {200: Item},
            kind="upstreams",
            problems=(404,),
        ),
        Operation(
            "POST",
            "/bulk",
            "bulk",
            "Make many changes: all of them or none, or each by itself with a report.",
            Bulks(max_changes),
            {200: Reports},
            (DRY_RUN,),
            Bulk,
            problems=(404, 409, 412, 415, 422, 503),
            idempotent=True,
        ),
        Operation(
            "POST",
            "/import",
            "import",
            "Make records of a document: of another gateway, a client, an MCP Registry, or ContextForge.",
            Imports(Bulks(max_changes)),
            {200: Imported},
            (DRY_RUN,),
            Import,
            problems=(409, 412, 415, 422, 503),
        ),
        Operation(
            "GET",
            "/tools",
            "listTools",
            "What tools the upstreams offer.",
            tools,
            {200: Tools},
            (*PAGE, _UPSTREAM, _TOOL_TEXT),
        ),
        Operation(
            "GET",
            "/history",
            "history",
            "Who changed what, the newest first.",
            history,
            {200: Events},
            _TRAIL,
            problems=(503,),
        ),
        Operation(
            "POST",
            "/secrets/rotate",
            "rotateSecrets",
            "Put every secret under the operator's current key.",
            rotate,
            {200: Rotated},
            (DRY_RUN,),
            kind="secrets",
            problems=(409, 422, 503),
        ),
        *Servers(catalog, allow_private).operations(),
    )


@cache
def _version() -> str:
    return importlib.metadata.version("portico")


async def status(call: Call) -> Answer:
    """How the gateway is."""
    management = call.host.management
    found = {kind: management.all(kind) for kind in NOUNS}
    health = {each.name: _health(each) for each in found["upstreams"]}
    counts = {kind: len(each) for kind, each in found.items()}
    draining = call.host.wiring.draining
    return Answer(200, Status(_version(), management.revision, management.down, draining, counts, health))


def _health(each: Managed) -> Health:
    return Health(each.state, each.reason, stamp(each.since) if each.since else None, each.origin)


async def test(call: Call) -> Answer:
    """Try a candidate upstream out."""
    candidate = read(call.body, Candidate)
    seen = await call.host.management.probe(candidate.name, candidate.config)
    return Answer(
        200,
        Offered(
            str(seen.get("state", "")),
            seen.get("reason") or "",
            seen.get("info"),
            seen.get("instructions") or "",
            seen.get("capabilities") or {},
            sorted(str(era) for era in seen.get("eras", ())),
            *(list(seen.get(each, ())) for each in ("tools", "resources", "templates", "prompts")),
        ),
    )


async def refresh(call: Call) -> Answer:
    """Have an upstream's lists fetched again."""
    management = call.host.management
    # One that is not in use, or only starting, has nothing to fetch: its state says so.
    found = await management.refresh(call.name) or management.get("upstreams", call.name)
    if found is None:
        raise missing("upstreams", call.name, (each.name for each in management.all("upstreams")))
    return Answer(200, item_of(found), tag_of(found))


async def tools(call: Call) -> Answer:
    """What tools the upstreams offer."""
    only, text = call.query.get("upstream"), call.query.get("q", "").casefold()
    found: list[tuple[str, int, Json]] = []
    for upstream, offer in sorted(call.host.management.offers().items()):
        if only in (None, upstream):
            found += [(upstream, at, each) for at, each in enumerate(offer.tools) if _has(each, text)]
    total = len(found)
    if "cursor" in call.query:
        place = place_of(call.query["cursor"], str, Number)
        found = [each for each in found if each[:2] > place]
    limit = call.query.get("limit", 100)
    more = cursor_of(*found[limit - 1][:2]) if len(found) > limit else None
    states = {each.name: each.state for each in call.host.management.all("upstreams")}
    items = [
        Tool(upstream, states.get(upstream, "stopped"), str(each.get("name", "")), each)
        for upstream, _, each in found[:limit]
    ]
    return Answer(200, Tools(items, total, more))


def _has(definition: Any, text: str) -> bool:
    return any(text in str(definition.get(key, "")).casefold() for key in ("name", "title", "description"))


async def history(call: Call) -> Answer:
    """The audit trail."""
    limit = call.query.get("limit", 50)
    kind, name, before = call.query.get("kind"), call.query.get("name"), call.query.get("before")
    # A write of many changes is one revision: a page may end within it.
    skipped = 0
    if "cursor" in call.query:
        revision, skipped = place_of(call.query["cursor"], Number, Number)
        before = revision + 1
    entries = await call.host.management.history(kind, name, before=before, limit=skipped + limit + 1)
    page = entries[skipped : skipped + limit]
    more = None
    if len(entries) > skipped + limit:
        last = page[-1].revision
        more = cursor_of(last, sum(each.revision == last for each in entries[: skipped + limit]))
    return Answer(200, Events([event_of(each) for each in page], more))


async def rotate(call: Call) -> Answer:
    """Put every secret under the current key.

    Raises:
        Problem: 503; a worker that a reload replaces may know other keys than those that hold.
    """
    management = call.host.management
    if call.host.wiring.draining:
        raise Problem(
            503, "draining", "This worker is being replaced; ask again", headers={"retry-after": "1"}
        )
    changed = await management.rotate(call.author, dry_run=call.dry_run)
    return Answer(200, Rotated(changed, management.revision))
