"""What a document says of the body of a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from portico_plugins.upstreams.checks import header_problem

from .document import Document, Unfit, items, mapping, text_of, texts
from .operations import Operation
from .parameters import OLD_STYLES, STYLES, old_schema, parameter_nodes
from .payloads import SEQUENTIAL, Body, Field, file_in, kind_of, parts_of, preferred


def body(document: Document, operation: Operation) -> Body | None:
    """What the request has for a body; None for nothing.

    Raises:
        Unfit: It cannot be sent, and the operation cannot do without it.
    """
    if document.version[0] == 2:
        return _old_body(document, operation)
    if operation.node.get("requestBody") is None:
        return None
    node = document.resolved(operation.node["requestBody"])
    content = {
        name: document.resolved(media)
        for name, media in mapping(node.get("content")).items()
        if header_problem("X", name) is None
    }
    chosen = preferred(list(content))
    if chosen is None:
        return None
    kind = kind_of(chosen)
    media = content[chosen]
    schema = media.get("schema", {})
    if "itemSchema" in media and chosen.partition(";")[0].strip().lower() in SEQUENTIAL:
        kind, schema = "items", {"type": "array", "items": media["itemSchema"]}
    elif kind == "json" and "*" in chosen and file_in(document, schema)[0]:
        kind = "binary"
    required = node.get("required") is True
    if kind == "multipart" and chosen.partition(";")[0].strip().lower() != "multipart/form-data":
        listed = "itemSchema" in media or document.resolved(schema).get("type") == "array"
        if listed or "prefixEncoding" in media or "itemEncoding" in media:
            return _in_parts(document, chosen, required, media)
    fields: dict[str, Field] = {}
    if kind in ("form", "multipart"):
        fields = _fields(document, schema, mapping(media.get("encoding")))
    return Body(chosen, kind, required, schema, fields)


def _in_parts(document: Document, media_type: str, required: bool, media: Mapping[str, Any]) -> Body:
    """A multipart body whose parts have places, not names (OpenAPI 3.2, Encoding By Position)."""
    schema = document.resolved(media.get("schema", {"items": media.get("itemSchema", {})}))
    schemas, encodings = items(schema.get("prefixItems")), items(media.get("prefixEncoding"))
    last, more = schema.get("items"), media.get("itemEncoding")

    def field(at: int) -> Field:
        said = document.resolved(encodings[at] if at < len(encodings) else more)
        found = _field(document, said, schemas[at] if at < len(schemas) else last)
        return attrs.evolve(found, file=found.file and not found.many)

    known = max(len(schemas), len(encodings))
    first = tuple(field(at) for at in range(min(known, _MOST_FIRST)))
    return Body(media_type, "parts", required, {**schema, "type": "array"}, {}, first, field(known))


_MOST_FIRST: Final = 100


_PLAIN: Final = frozenset(
    {"type", "properties", "required", "allOf", "additionalProperties", "title", "description"}
    | {"example", "examples", "externalDocs", "deprecated", "xml", "default", "$comment", "readOnly"}
)
"""What a schema may say whose members can stand by themselves."""


def flattened(document: Document, body: Body) -> dict[str, Any] | None:
    """The schema of a body with all its members in one place; None if that would not say the same.

    It does for an object with known members and nothing else that it says of them together.
    """
    if body.kind not in ("json", "form", "multipart"):
        return None
    properties: dict[str, Any] = {}
    required: list[str] = []
    if not _gathered(document, body.schema, properties, required, 0) or not properties:
        return None
    properties = {name: node for name, node in properties.items() if not _read_only(document, node)}
    known = [name for name in dict.fromkeys(required) if name in properties]
    return {"type": "object", "properties": properties, "required": known}


def _read_only(document: Document, node: Any) -> bool:
    try:
        return document.resolved(node).get("readOnly") is True
    except Unfit:
        return False  # nothing is known of it


def _gathered(
    document: Document, node: Any, properties: dict[str, Any], required: list[str], depth: int
) -> bool:
    """Take the members of a schema; False if there is more to it."""
    own = document.resolved(node)
    if depth > 8 or any(key not in _PLAIN and not key.startswith("x-") for key in own):
        return False
    if own.get("type", "object") != "object" or own.get("additionalProperties", False) is not False:
        return False
    for name, schema in mapping(own.get("properties")).items():
        if properties.setdefault(name, schema) != schema:
            return False
    required += texts(own.get("required"))
    return all(_gathered(document, part, properties, required, depth + 1) for part in items(own.get("allOf")))


def _fields(document: Document, schema: Any, encoding: Mapping[str, Any]) -> dict[str, Field]:
    properties = {
        name: part
        for node in parts_of(document, schema, 0)
        for name, part in mapping(node.get("properties")).items()
    }
    out = {}
    for name in dict.fromkeys((*properties, *encoding)):
        out[name] = _field(document, document.resolved(encoding.get(name)), properties.get(name))
    return out


def _field(document: Document, said: Mapping[str, Any], schema: Any) -> Field:
    """How a member is written, by its Encoding Object and its schema."""
    style = text_of(said.get("style"))
    if not style and ("explode" in said or "allowReserved" in said):
        style = "form"
    explode = said.get("explode")
    types = tuple(one.strip() for one in text_of(said.get("contentType")).split(",") if one.strip())
    return Field(
        style if style in STYLES["query"] else "",
        explode if isinstance(explode, bool) else style in ("", "form", "deepObject"),
        types,
        *file_in(document, schema, types),
        _headers(document, said),
        said.get("allowReserved") is True,
    )


def _headers(document: Document, encoding: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The headers of a part, as far as the document leaves no choice what they say."""
    found = []
    for name, node in mapping(encoding.get("headers")).items():
        schema = document.resolved(document.resolved(node).get("schema"))
        choices = items(schema.get("enum"))
        value = schema.get("const", choices[0] if len(choices) == 1 else schema.get("default"))
        text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
        # The type is said elsewhere (OpenAPI, Encoding Object), and the disposition is ours.
        if text and name.lower() not in _OURS and header_problem(name, text) is None:
            found.append((name, text))
    return tuple(found)


_OURS: Final = frozenset({"content-type", "content-disposition", "content-length"})


def _old_body(document: Document, operation: Operation) -> Body | None:
    nodes = list(parameter_nodes(document, operation))
    said = texts(operation.node.get("consumes") or document.root.get("consumes"))
    consumes = [name for name in said if header_problem("X", name) is None]
    fields = {text_of(node.get("name")): node for node in nodes if node.get("in") == "formData"}
    if fields:
        files = any(node.get("type") == "file" for node in fields.values())
        forms = [name for name in consumes if kind_of(name) in ("form", "multipart")]
        multipart = files or preferred(forms) == "multipart/form-data"
        schema = {
            "type": "object",
            "properties": {
                name: {**old_schema(node), "description": node.get("description")}
                for name, node in fields.items()
            },
            "required": [name for name, node in fields.items() if node.get("required") is True],
        }
        return Body(
            "multipart/form-data" if multipart else "application/x-www-form-urlencoded",
            "multipart" if multipart else "form",
            bool(schema["required"]),
            schema,
            {name: _old_field(node) for name, node in fields.items()},
        )
    for node in reversed(nodes):
        if node.get("in") == "body":
            chosen = preferred(consumes) or "application/json"
            if kind_of(chosen) in ("form", "multipart"):
                chosen = "application/json"  # a form is said otherwise in this version
            return Body(chosen, kind_of(chosen), node.get("required") is True, node.get("schema", {}))
    return None


def _old_field(node: Mapping[str, Any]) -> Field:
    said = text_of(node.get("collectionFormat"))
    style = OLD_STYLES.get(said, "form") if node.get("type") == "array" else ""
    return Field(style, said == "multi", (), node.get("type") == "file")
