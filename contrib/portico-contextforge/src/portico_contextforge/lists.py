"""Lists: filters, and ContextForge's pages."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from portico.api import Json
from portico_contextforge.errors import Trouble, later
from portico_contextforge.table import Answer, Call

T = TypeVar("T")

_PAGE: Final = 50
_MOST: Final = 500


def listed(call: Call, kind: str, items: Iterable[Json]) -> Answer:
    """The answer to a list request: an array, or with `include_pagination` a page with a cursor.

    Args:
        call: The request; its query has the filters.
        kind: What the page calls its items.
        items: Everything there is, as shown.

    Raises:
        Trouble: 422 for a number or cursor that is none; 501 for `apijsonpath`.
    """
    if call.query("apijsonpath"):
        raise later("apijsonpath is not there; use jq on the answer")
    found = [each for each in items if _wanted(call, each)]
    paged = call.flag("include_pagination")
    limit = _limit(call, _PAGE if paged else 0)
    start = _start(call, found)
    page = found[start : start + limit] if limit else found[start:]
    if not paged:
        return Answer(page)
    more = limit and start + limit < len(found)
    return Answer({kind: page, "nextCursor": _cursor(page[-1]["id"]) if more else None})


def _wanted(call: Call, item: Json) -> bool:
    if not item["enabled"] and not call.flag("include_inactive"):
        return False
    tags = {word for tag in item["tags"] for word in (tag["id"], tag["label"])}
    if (asked := call.words("tags")) and not tags & set(asked):
        return False
    gateway = call.query("gateway_id")
    if gateway is not None and "gatewayId" in item and item["gatewayId"] != _gateway(call, gateway):
        return False
    return all(
        asked is None or item[member] == asked
        for member, asked in (("visibility", call.query("visibility")), ("teamId", call.query("team_id")))
    )


def _gateway(call: Call, text: str) -> str | None:
    """The id of the gateway somebody names; `null` stands for none."""
    if text in ("", "null"):
        return None
    from portico_contextforge.naming import ident

    try:
        return ident("gateways", call.catalog.gateway(text).name)
    except Trouble:
        return "unknown"


def _limit(call: Call, default: int) -> int:
    text = call.query("limit")
    if text is None:
        return default
    if not text.isdecimal() or len(text) > 9:
        wrong = [{"type": "int_parsing", "loc": ["query", "limit"], "msg": "Input should be a valid integer"}]
        raise Trouble(422, wrong)
    return min(int(text), _MOST)


def _cursor(ident: str) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode({"id": ident})).decode().rstrip("=")


def _start(call: Call, found: Sequence[Json]) -> int:
    """Where a page begins: after the item that its cursor names."""
    cursor = call.query("cursor")
    if not cursor or cursor == "null":
        return 0
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        last = msgspec.json.decode(raw, type=dict[str, Any])["id"]
    except (ValueError, KeyError, msgspec.MsgspecError):
        wrong = [{"type": "value_error", "loc": ["query", "cursor"], "msg": "Invalid cursor"}]
        raise Trouble(422, wrong) from None
    return next((at + 1 for at, each in enumerate(found) if each["id"] == last), len(found))


def each_of(call: Call, show: Callable[..., Json], items: Iterable[T]) -> list[Json]:
    """Every item as it is shown."""
    return [show(item, call.catalog) for item in items]
