"""Records and entries as rows, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import attrs
import msgspec
from sqlalchemy import Row

from portico.api import About, Author, Entry, Json, Record
from portico_plugins.registries.sql.tables import RECORDS

Values = dict[str, Any]
"""A row, by its columns."""

_COLUMNS: Final = tuple(column.name for column in RECORDS.columns)

_object: Final = msgspec.json.Decoder(Json).decode
_about: Final = msgspec.json.Decoder(About).decode
_record: Final = msgspec.json.Decoder(Record).decode
_AS_TEXT: Final = ("config", "about")
_AS_IT_IS: Final = tuple(field.name for field in attrs.fields(Record) if field.name not in _AS_TEXT)


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def of_record(record: Record) -> Values:
    """A record's row."""
    row = {name: getattr(record, name) for name in _AS_IT_IS}
    return {**row, **{name: _text(getattr(record, name)) for name in _AS_TEXT}}


def record_of(row: Row[Any]) -> Record:
    """A row's record."""
    values: Values = dict(zip(_COLUMNS, row, strict=True))
    return Record(config=_object(values.pop("config")), about=_about(values.pop("about")), **values)


def of_entries(entries: Iterable[Entry]) -> list[Values]:
    """The rows of the entries of one write."""
    return [
        {
            "revision": entry.revision,
            "place": place,
            "at": entry.at,
            **attrs.asdict(entry.author),
            "kind": entry.kind,
            "name": entry.name,
            "version": entry.version,
            "before": _text(entry.before) if entry.before is not None else None,
            "after": _text(entry.after) if entry.after is not None else None,
        }
        for place, entry in enumerate(entries)
    ]


def entry_of(row: Row[Any]) -> Entry:
    """A row's entry."""
    values = row._asdict()
    return Entry(
        revision=values["revision"],
        at=values["at"],
        author=Author(values["subject"], values["via"], values["peer"], values["request"] or ""),
        kind=values["kind"],
        name=values["name"],
        version=values["version"],
        before=_record(values["before"]) if values["before"] is not None else None,
        after=_record(values["after"]) if values["after"] is not None else None,
    )
