"""Records and audit entries as answers show them: no secret in any."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import attrs
import msgspec
from msgspec import UnsetType

from portico.api import About as RecordAbout
from portico.api import Entry, Json, Managed, Record
from portico.api import Made as RecordMade
from portico_plugins.transports.management_api.answers import Event, Item, Trouble, Wrong
from portico_plugins.transports.management_api.bodies import About, Made
from portico_plugins.transports.management_api.problems import TITLES, Problem

_PLAIN: Final = frozenset({"overrides", "prompts", "resources", "pins"})
"""Kinds no secret has a place in."""

_FAR: Final = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


def item_of(managed: Managed) -> Item:
    """A record with its state."""
    record = managed.record
    return Item(
        managed.kind,
        managed.name,
        managed.origin,
        managed.state,
        managed.reason,
        stamp(managed.since) if managed.since else None,
        {} if managed.kind == "secrets" else managed.config,
        about_of(managed.about),
        [Wrong(path, message) for path, message in managed.problems],
        record.version if record else None,
        record.revision if record else None,
        stamp(record.created) if record else None,
        record.created_by if record else None,
        stamp(record.updated) if record else None,
        record.updated_by if record else None,
        record.via if record else None,
    )


def about_of(about: RecordAbout) -> About:
    """What people say of it, as bodies have it."""
    return About(
        about.enabled, about.description, list(about.tags), about.owner, about.team, about.visibility
    )


def said_of(about: About) -> RecordAbout:
    """What people say of it, as records have it."""
    tags = tuple(dict.fromkeys(about.tags))
    return RecordAbout(about.enabled, about.description, tags, about.owner, about.team, about.visibility)


def made_of(made: Made | UnsetType) -> RecordMade | None:
    """When and by whom a record was first made, as changes have it.

    Raises:
        Problem: 422; the moment has no zone, or is none of this age.
    """
    if isinstance(made, UnsetType):
        return None
    if made.at.tzinfo is None or not 0 <= made.at.timestamp() < _FAR:
        wrong = [("made.at", "expected a moment since 1970 with its zone, such as 2026-01-31T12:00:00Z")]
        raise Problem(422, "invalid", "The body is not what is expected", wrong)
    return RecordMade(made.at.timestamp(), made.by)


def tag_of(managed: Managed) -> dict[str, str]:
    """The `ETag` of a record: its version."""
    return {"etag": f'"{managed.record.version}"'} if managed.record else {}


def trouble_of(problem: Problem) -> Trouble:
    """A problem as its body."""
    errors = [Wrong(path, message) for path, message in problem.errors]
    title = TITLES.get(problem.status, "Error")
    return Trouble(problem.type, title, problem.status, problem.detail, errors)


def stamp(seconds: float) -> str:
    """A moment as RFC 3339 has it, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event_of(entry: Entry) -> Event:
    """A line of the audit trail."""
    action: Literal["created", "changed", "deleted"] = "changed"
    if entry.before is None:
        action = "created"
    elif entry.after is None:
        action = "deleted"
    before, after = _facts(entry.before), _facts(entry.after)
    plain = entry.kind in _PLAIN
    return Event(
        entry.revision,
        stamp(entry.at),
        entry.kind,
        entry.name,
        entry.version,
        action,
        entry.author.subject,
        entry.author.via,
        entry.author.peer,
        sorted(_differences(before, after, "")) if entry.before and entry.after else [],
        before if plain and entry.before else None,
        after if plain and entry.after else None,
    )


def _facts(record: Record | None) -> Json:
    if record is None:
        return {}
    about = attrs.asdict(record.about)
    return {"config": record.config, "about": {**about, "tags": list(record.about.tags)}}


def _differences(before: Any, after: Any, place: str) -> Iterable[str]:
    """The dotted places where two values differ; where one has no such member, that of the member."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in before.keys() | after.keys():
            below = f"{place}.{key}".lstrip(".")
            if (key in before) != (key in after):
                yield below
            else:
                yield from _differences(before[key], after[key], below)
    elif before != after:
        yield place


Number = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""A number in a cursor, which anybody may have made up."""


def cursor_of(*place: str | int) -> str:
    """An opaque cursor: where the next page begins."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def place_of(cursor: str, *types: Any) -> tuple[Any, ...]:
    """What a cursor says.

    Raises:
        Problem: 400; it is none of ours.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = msgspec.json.decode(raw, type=tuple[types])  # type: ignore[valid-type]
    except (ValueError, msgspec.MsgspecError):
        wrong = [("cursor", "expected the next_cursor of an earlier answer")]
        raise Problem(400, "bad-query", "A query parameter is wrong", wrong) from None
    return tuple(place)
