"""The body of an operation's request: which of several, and how its members are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import attrs

from .document import Document, items, text_of, texts

Kind = Literal["json", "form", "multipart", "text", "binary", "items", "parts"]
_PREFERRED: Final[tuple[Kind, ...]] = ("json", "form", "multipart", "text", "binary")

EVENTS: Final = "text/event-stream"
SEQUENCES: Final = ("application/json-seq", "application/geo+json-seq")
_LINES: Final = ("application/jsonl", "application/x-jsonlines", "application/ndjson", "application/x-ndjson")
SEQUENTIAL: Final = frozenset((*SEQUENCES, *_LINES))
"""Media types of JSON values one after the other."""
STREAMS: Final = frozenset(name.encode() for name in (EVENTS, *SEQUENCES, *_LINES))
"""Media types of answers that are taken item by item."""


@attrs.frozen(eq=False)
class Field:
    """How a member of a form is written.

    Attributes:
        style: How a list or an object is written; "" for as its media type says.
        explode: Whether its members are written as fields of their own.
        media_types: The types it may have in a multipart body; none for by its value.
        file: Whether it is a file, or a list of them.
        many: Whether it is a list of files.
        headers: What stands above it in a multipart body, besides the usual.
        reserved: Whether reserved characters stay as they are, where any are encoded.
    """

    style: str = ""
    explode: bool = True
    media_types: tuple[str, ...] = ()
    file: bool = False
    many: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    reserved: bool = False


@attrs.frozen(eq=False)
class Body:
    """The body of a request.

    Attributes:
        media_type: Its type.
        kind: How it is written; `items` is a list of JSON values, one after the other, `parts` a list whose
            items are the parts of a multipart body that is no form.
        required: Whether it must be given.
        schema: What the document says of it.
        fields: How members are written, by name; of forms only.
        first: How the first parts are written, one by one.
        rest: How the others are.
    """

    media_type: str
    kind: Kind
    required: bool
    schema: Any
    fields: Mapping[str, Field] = attrs.field(factory=dict)
    first: tuple[Field, ...] = ()
    rest: Field = Field()


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


def file_in(document: Document, schema: Any, media_types: tuple[str, ...] = ()) -> tuple[bool, bool]:
    """Whether a value is a file or a list of files, and whether it is a list; null aside.

    Args:
        document: Where it is from.
        schema: What is said of the value.
        media_types: What is said of the types it may have, where it is a part of several.
    """
    node = _not_null(document, schema)
    many = "array" in _types(node)
    if many:
        node = _not_null(document, node.get("items"))
    if node.get("type") == "file" or node.get("format") in ("binary", "base64"):
        return True, many
    said = text_of(node.get("contentMediaType"))
    types = (said,) if said else media_types
    bytes_ = bool(types) and all(kind_of(one) == "binary" for one in types)
    plain = node.get("contentEncoding") is None and _types(node) <= {"string", "null"}
    return bytes_ and plain and not _MADE_OF & node.keys(), many


_MADE_OF: Final = frozenset({"allOf", "anyOf", "oneOf", "enum", "const", "properties"})


def _types(node: dict[str, Any]) -> set[str]:
    said = node.get("type")
    return set(texts(said)) if isinstance(said, list) else {said} if isinstance(said, str) else set()


def _not_null(document: Document, schema: Any) -> dict[str, Any]:
    """A schema, or of a choice between something and null that."""
    node = document.resolved(schema)
    for key in ("anyOf", "oneOf"):
        left = [one for one in map(document.resolved, items(node.get(key))) if one.get("type") != "null"]
        if len(left) == 1:
            return left[0]
    return node


def parts_of(document: Document, schema: Any, depth: int) -> Iterator[dict[str, Any]]:
    """A schema and what it is made of."""
    node = document.resolved(schema)
    yield node
    for key in ("allOf", "anyOf", "oneOf"):
        for part in items(node.get(key)) if depth < 4 else ():
            yield from parts_of(document, part, depth + 1)
