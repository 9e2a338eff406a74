"""The body of an operation's request: which of several, and how its members are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import attrs

from .document import Document, items, text_of

Kind = Literal["json", "form", "multipart", "text", "binary"]
_PREFERRED: Final[tuple[Kind, ...]] = ("json", "form", "multipart", "text", "binary")

EVENTS: Final = "text/event-stream"
SEQUENCES: Final = ("application/json-seq", "application/geo+json-seq")
_LINES: Final = ("application/jsonl", "application/x-jsonlines", "application/ndjson", "application/x-ndjson")
STREAMS: Final = frozenset(name.encode() for name in (EVENTS, *SEQUENCES, *_LINES))
"""Media types of answers that are taken item by item."""


@attrs.frozen(eq=False)
class Field:
    """How a member of a form is written.

    Attributes:
        style: How a list or an object is written; "" for as its media type says.
        explode: Whether its members are written as fields of their own.
        media_type: Its type in a multipart body; "" for by its value.
        file: Whether it is a file.
    """

    style: str = ""
    explode: bool = True
    media_type: str = ""
    file: bool = False


@attrs.frozen(eq=False)
class Body:
    """The body of a request.

    Attributes:
        media_type: Its type.
        kind: How it is written.
        required: Whether it must be given.
        schema: What the document says of it.
        fields: How members are written, by name; of forms only.
    """

    media_type: str
    kind: Kind
    required: bool
    schema: Any
    fields: Mapping[str, Field] = attrs.field(factory=dict)


def preferred(media_types: list[str]) -> str | None:
    """The media type to send when a document offers several: what can be checked best."""
    ranked = sorted(media_types, key=lambda name: (_PREFERRED.index(kind_of(name)), media_types.index(name)))
    return ranked[0] if ranked else None


def kind_of(media_type: str) -> Kind:
    """How a body of a media type is written."""
    name = media_type.partition(";")[0].strip().lower()
    if name in ("*/*", "application/*") or name.endswith(("/json", "+json")):
        return "json"
    if name == "application/x-www-form-urlencoded":
        return "form"
    if name.startswith("multipart/"):
        return "multipart"
    textual = name.startswith("text/") or name.endswith(("/xml", "+xml", "yaml", "+yaml", "ndjson", "jsonl"))
    return "text" if textual or name in ("application/graphql", "application/sql") else "binary"


def is_stream(media_type: str) -> bool:
    """Whether answers of a media type are streams of items."""
    return media_type.partition(";")[0].strip().lower().encode("utf-8", "replace") in STREAMS


def is_file(document: Document, schema: Any) -> bool:
    """Whether a member of a form, or a list of them, is a file."""
    node = document.resolved(schema)
    if node.get("type") == "array":
        node = document.resolved(node.get("items"))
    if node.get("type") == "file" or node.get("format") in ("binary", "base64"):
        return True
    media_type = text_of(node.get("contentMediaType"))
    return bool(media_type) and kind_of(media_type) == "binary" and node.get("contentEncoding") is None


def parts_of(document: Document, schema: Any, depth: int) -> Iterator[dict[str, Any]]:
    """A schema and what it is made of."""
    node = document.resolved(schema)
    yield node
    for key in ("allOf", "anyOf", "oneOf"):
        for part in items(node.get(key)) if depth < 4 else ():
            yield from parts_of(document, part, depth + 1)
