"""What the API answers with. The OpenAPI description is made from the same classes."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from portico_plugins.transports.management_api.bodies import About


class Wrong(Struct, frozen=True):
    """Something that is wrong, and where."""

    path: str
    message: str


class Trouble(Struct, frozen=True, omit_defaults=True):
    """A problem (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Wrong] = msgspec.field(default_factory=list)


class Item(Struct, frozen=True):
    """A record, or a table of the configuration file, and how what it stands for is now.

    `state` of an upstream is `ready`, `starting`, `degraded` (it answers, not well), `unavailable` (it cannot
    be reached), `quarantined` (definitions wait for approval) or `stopped`, that of anything else `ready`; or
    else `disabled` or `invalid`. `since` is when it came into it.
    """

    kind: str
    name: str
    origin: Literal["file", "registry"]
    state: str
    reason: str
    since: str | None
    config: dict[str, Any]
    about: About
    problems: list[Wrong]
    version: int | None
    revision: int | None
    created: str | None
    created_by: str | None
    updated: str | None
    updated_by: str | None
    via: str | None


class Items(Struct, frozen=True):
    """A page of them, by name. `total` counts all that fit the filters."""

    items: list[Item]
    total: int
    revision: int
    next_cursor: str | None


class Deleted(Struct, frozen=True):
    """What was deleted."""

    kind: str
    name: str
    revision: int


class Report(Struct, frozen=True, omit_defaults=True):
    """What became of one change of many."""

    kind: str
    name: str
    status: int
    item: Item | None = None
    problem: Trouble | None = None


class Reports(Struct, frozen=True):
    """What became of many changes, in their order."""

    revision: int
    dry_run: bool
    failed: int
    results: list[Report]


class Offering(Struct, frozen=True):
    """A server of the catalog. `ways`: how it can be had, such as `remote` or `npm`."""

    name: str
    title: str
    version: str
    description: str
    ways: list[str]
    server: dict[str, Any]


class Offerings(Struct, frozen=True):
    """A page of the catalog. It may have fewer than were asked for, and not be the last."""

    items: list[Offering]
    next_cursor: str | None


class Note(Struct, frozen=True):
    """Something that is to be known of what was added, and about what it is."""

    about: str
    message: str


class Added(Struct, frozen=True):
    """The upstream that was made of a server, and what there is to be done still."""

    item: Item
    notes: list[Note]


class ImportedItem(Struct, frozen=True):
    """What became of an item. `was`: its name before it got another. `status`: null if nothing was tried."""

    kind: str
    name: str
    was: str
    action: Literal["create", "overwrite", "skip", "conflict"]
    status: int | None
    item: Item | None
    problem: Trouble | None


class Imported(Struct, frozen=True):
    """What became of a document, item by item, and what could not be taken or had to be changed."""

    format: str
    revision: int
    dry_run: bool
    failed: int
    items: list[ImportedItem]
    notes: list[Note]


class Event(Struct, frozen=True):
    """One line of the audit trail. `before` and `after` are left out where secrets may stand in them."""

    revision: int
    at: str
    kind: str
    name: str
    version: int
    action: Literal["created", "changed", "deleted"]
    subject: str
    via: str
    peer: str
    changed: list[str]
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class Events(Struct, frozen=True):
    """A page of the audit trail, the newest first."""

    items: list[Event]
    next_cursor: str | None


class Rotated(Struct, frozen=True):
    """How many records have, or would have, secrets under another key than before."""

    changed: int
    revision: int


class Tool(Struct, frozen=True):
    """A tool as its upstream offers it; or offered it last, when the upstream's state is not `ready`."""

    upstream: str
    upstream_state: str
    name: str
    definition: dict[str, Any]


class Tools(Struct, frozen=True):
    """A page of tools, by upstream and in its order."""

    items: list[Tool]
    total: int
    next_cursor: str | None


class Offered(Struct, frozen=True):
    """What a candidate upstream offers, definitions as it sent them."""

    state: str
    reason: str
    info: dict[str, Any] | None
    instructions: str
    capabilities: dict[str, Any]
    eras: list[str]
    tools: list[dict[str, Any]]
    resources: list[dict[str, Any]]
    templates: list[dict[str, Any]]
    prompts: list[dict[str, Any]]


class Health(Struct, frozen=True):
    """How an upstream is."""

    state: str
    reason: str
    since: str | None
    origin: str


class Status(Struct, frozen=True):
    """How the gateway is. `registry` says why nothing can be written now; "" when it can."""

    version: str
    revision: int
    registry: str
    draining: bool
    counts: dict[str, int]
    upstreams: dict[str, Health]
