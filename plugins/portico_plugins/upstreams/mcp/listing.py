"""Asking a server for all it has: every page of every list it declared, as it wrote them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec

from portico.api import METHOD_NOT_FOUND, Host, Json, Offer, Refused, invalid_header_reason
from portico_plugins.failures import bad_response, timed_out

from . import wire

if TYPE_CHECKING:
    from .connect import Link

Ask = Callable[[str, Json | None], Awaitable[bytes]]
"""Makes a request of the gateway's own; gives the result's bytes."""

KINDS: Final = ("tools", "resources", "prompts")
_LISTS: Final = {
    "tools": (("tools/list", "tools", "tools"),),
    "resources": (
        ("resources/list", "resources", "resources"),
        ("resources/templates/list", "resourceTemplates", "templates"),
    ),
    "prompts": (("prompts/list", "prompts", "prompts"),),
}
_MOST_PAGES: Final = 1000
_MOST_ITEMS: Final = 50_000
_PATIENCE: Final = 30.0
"""Seconds one page of a list may take."""


class _Page(msgspec.Struct):
    cursor: str | None = msgspec.field(name="nextCursor", default=None)
    ttl: Any = msgspec.field(name="ttlMs", default=0)
    scope: Any = msgspec.field(name="cacheScope", default="private")


_page: Final = msgspec.json.Decoder(_Page).decode


@attrs.define
class Listed:
    """What one list gave."""

    items: list[Json]
    ttl_ms: int
    public: bool


async def fetch(ask: Ask, offer: Offer, kinds: Collection[str], host: Host) -> Offer:
    """The offer with these kinds of lists fetched anew; a kind the server did not declare is empty.

    Raises:
        Refused: A list could not be had.
    """
    changes: dict[str, Any] = {}
    hints: list[Listed] = []
    for kind in KINDS:
        if kind not in kinds:
            continue
        for method, member, field in _LISTS[kind]:
            if kind not in offer.capabilities:
                changes[field] = ()
                continue
            listed = await _list(ask, method, member, host)
            changes[field] = tuple(item for item in listed.items if field != "tools" or _sound(item, host))
            hints.append(listed)
    if hints:
        changes["ttl_ms"] = min(hint.ttl_ms for hint in hints)
        changes["public"] = all(hint.public for hint in hints)
    return attrs.evolve(offer, **changes)


async def _list(ask: Ask, method: str, member: str, host: Host) -> Listed:
    listed = Listed([], -1, True)
    params: Json | None = None
    seen: set[str] = set()
    for _ in range(_MOST_PAGES):
        try:
            raw = await ask(method, params)
        except Refused as refusal:
            if refusal.code == METHOD_NOT_FOUND:  # declared the kind, but has not this list of it
                return Listed([], max(listed.ttl_ms, 0), False)
            raise
        try:
            page = _page(raw)
            items = wire.decode(raw).get(member)
        except (ValueError, RecursionError):
            raise bad_response(host.name, "bad_list") from None
        if not isinstance(items, list):
            raise bad_response(host.name, "bad_list")
        listed.items += [item for item in items if isinstance(item, dict)]
        ttl = page.ttl if isinstance(page.ttl, int) and page.ttl > 0 else 0
        listed.ttl_ms = ttl if listed.ttl_ms < 0 else min(ttl, listed.ttl_ms)
        listed.public = listed.public and page.scope == "public"
        if page.cursor is None:
            return listed
        if page.cursor in seen or len(listed.items) > _MOST_ITEMS:
            break
        seen.add(page.cursor)
        params = {"cursor": page.cursor}
    raise bad_response(host.name, "endless_list")


def _sound(tool: Json, host: Host) -> bool:
    """Whether a tool can be offered; one that cannot does not take the others with it."""
    name, schema = tool.get("name"), tool.get("inputSchema")
    reason = None
    if not isinstance(name, str) or not name:
        reason = "it has no name"
    elif not isinstance(schema, dict):
        reason = "its inputSchema is no object"
    else:
        reason = invalid_header_reason(schema)
    if reason is not None:
        host.log.warning("upstream_tool_excluded", tool=str(name)[:128], reason=reason)
    return reason is None


def asker(link: Link, upstream: str) -> Ask:
    """Makes requests on the gateway's own connection to a server, each of which may take a while."""

    async def ask(method: str, params: Json | None) -> bytes:
        try:
            async with asyncio.timeout(_PATIENCE):
                return await link.ask(method, params, None)
        except TimeoutError:
            raise timed_out(upstream, reason="list_timeout") from None

    return ask
