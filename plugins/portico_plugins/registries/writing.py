"""What a write amounts to, whatever the records are kept in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
import msgspec

from portico.api import Author, Change, ConfigError, Entry, Record, Stale

Key = tuple[str, str]
"""Kind and name of a record."""

MAX_NAME: Final = 512
"""Characters of a name: what an index of every database has room for."""


def same(one: Record, change: Change) -> bool:
    """Whether a record already is as a change wants it. `1`, `1.0` and `true` are three things."""
    return one.about == change.about and canonical(one.config) == canonical(change.config)


def canonical(value: Any) -> bytes:
    """JSON text that is the same for the same value."""
    return msgspec.json.encode(value, order="sorted")


def check(changes: Sequence[Change]) -> None:
    """Refuse what no registry can keep.

    Raises:
        ConfigError: With every problem there is.
    """
    problems: list[tuple[str, str]] = []
    seen: set[Key] = set()
    for change in changes:
        place = f"{change.kind}.{change.name}"
        if (change.kind, change.name) in seen:
            problems.append((place, "is changed twice by one write"))
        seen.add((change.kind, change.name))
        if not change.name or len(change.name) > MAX_NAME or "\0" in change.name:
            problems.append((place, f"expected a name of 1 to {MAX_NAME} characters, none of them NUL"))
        try:
            canonical([change.name, change.config, change.about, change.made])
        except (TypeError, UnicodeEncodeError):
            problems.append((place, "cannot be written as JSON"))
    if problems:
        raise ConfigError(problems, "registry")


def decide(
    current: Mapping[Key, Record],
    revision: int,
    changes: Sequence[Change],
    author: Author,
    expected: int | None,
    now: float,
) -> list[Entry]:
    """The audit entries a write leaves; their `after` are the records to keep. Empty: it changes nothing.

    Args:
        current: At least those of the records named by the changes that exist.
        revision: The registry's, now.
        changes: Checked.
        author: Who makes them.
        expected: The revision the registry must have.
        now: Seconds since 1970.

    Raises:
        Stale: A record, or the registry, is not what was expected.
    """
    if expected is not None and expected != revision:
        raise Stale("", "", revision)
    entries = []
    for change in changes:
        before = current.get((change.kind, change.name))
        found = before.version if before is not None else 0
        if change.expected is not None and change.expected != found:
            raise Stale(change.kind, change.name, found)
        after = _after(before, change, revision + 1, author, now)
        if after is before:
            continue
        version = after.version if after is not None else found
        entries.append(Entry(revision + 1, now, author, change.kind, change.name, version, before, after))
    return entries


def _after(before: Record | None, change: Change, revision: int, author: Author, now: float) -> Record | None:
    if change.config is None:
        return None
    if before is None:
        return Record(
            kind=change.kind,
            name=change.name,
            config=change.config,
            about=change.about,
            revision=revision,
            created=change.made.at if change.made else now,
            created_by=change.made.by if change.made else author.subject,
            updated=now,
            updated_by=author.subject,
            via=author.via,
        )
    if same(before, change):
        return before
    return attrs.evolve(
        before,
        config=change.config,
        about=change.about,
        version=before.version + 1,
        revision=revision,
        updated=now,
        updated_by=author.subject,
        via=author.via,
    )


def put_in(records: dict[Key, Record], entries: Sequence[Entry]) -> None:
    """Make a mapping of records what it is after a write."""
    for entry in entries:
        if entry.after is None:
            records.pop((entry.kind, entry.name), None)
        else:
            records[entry.kind, entry.name] = entry.after


def ordered(records: Mapping[Key, Record]) -> list[Record]:
    """Records by kind and name."""
    return [records[key] for key in sorted(records)]


def wanted(entry: Entry, kind: str | None, name: str | None, before: int | None) -> bool:
    """Whether a line of the audit trail was asked for."""
    return (
        (kind is None or entry.kind == kind)
        and (name is None or entry.name == name)
        and (before is None or entry.revision < before)
    )
