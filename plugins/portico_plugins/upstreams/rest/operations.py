"""The operations of a document, whatever version of OpenAPI it is written in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import attrs

from portico_plugins.upstreams.checks import header_problem

from .document import Document, Unfit, items, mapping, text_of, texts

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
Location = Literal["path", "query", "header", "cookie"]
_LOCATIONS: Final[tuple[Location, ...]] = ("path", "query", "header", "cookie")
Kind = Literal["json", "form", "multipart", "text", "binary"]

_STYLES: Final[Mapping[str, tuple[str, ...]]] = {
    "path": ("simple", "label", "matrix"),
    "query": ("form", "spaceDelimited", "pipeDelimited", "tabDelimited", "deepObject"),
    "header": ("simple",),
    "cookie": ("form", "cookie"),
}
"""Location -> its styles, the default first."""
_OLD_STYLES: Final = {"ssv": "spaceDelimited", "tsv": "tabDelimited", "pipes": "pipeDelimited"}
_NO_PARAMETER: Final = frozenset({"accept", "content-type", "authorization", "cookie"})
"""Header parameters that mean nothing (OpenAPI 3.2, Parameter Object)."""
_PREFERRED: Final[tuple[Kind, ...]] = ("json", "form", "multipart", "text", "binary")


@attrs.frozen(eq=False)
class Parameter:
    """A parameter outside the body.

    Attributes:
        name: As the API calls it.
        location: Where it goes.
        required: Whether it must be given.
        style: How a list or an object is written.
        explode: Whether its members are written as parameters of their own.
        reserved: Whether reserved characters stay as they are (query only).
        json: Whether it is written as JSON text.
        schema: What the document says of its value.
        description: What it is.
    """

    name: str
    location: Location
    required: bool
    style: str
    explode: bool
    reserved: bool
    json: bool
    schema: Any
    description: str


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


@attrs.frozen(eq=False)
class Operation:
    """One operation.

    Attributes:
        method: Upper case.
        path: The path template.
        id: Its `operationId`, "" for none.
        tags: Its tags.
        summary: A line.
        description: More.
        node: What the document says of it.
        item: What the document says of its path.
    """

    method: str
    path: str
    id: str
    tags: tuple[str, ...]
    summary: str
    description: str
    node: dict[str, Any]
    item: dict[str, Any]

    @property
    def key(self) -> str:
        """What tells it from the others of its document."""
        return f"{self.method} {self.path}"


def operations(document: Document) -> Iterator[Operation]:
    """Every operation, in the order of the document."""
    for path, found in document.paths.items():
        if not path.startswith("/"):
            continue  # an extension
        try:
            item = document.resolved(found)
        except Unfit:
            continue
        more = mapping(item.get("additionalOperations")) if document.version >= (3, 2) else {}
        named = {**{method: item.get(method) for method in METHODS}, **more}
        for method, node in named.items():
            if isinstance(node, dict) and method.isalpha() and method.isascii():
                yield Operation(
                    method.upper(),
                    path,
                    text_of(node.get("operationId")),
                    tuple(texts(node.get("tags"))),
                    text_of(node.get("summary")).strip(),
                    text_of(node.get("description")).strip(),
                    node,
                    item,
                )


def parameters(document: Document, operation: Operation) -> list[Parameter]:
    """The parameters outside the body; those of an operation go before those of its path.

    Raises:
        Unfit: One cannot be used, and the operation cannot do without it.
    """
    found: dict[tuple[str, str], Parameter] = {}
    for node in _parameter_nodes(document, operation):
        parameter = _old(node) if document.version[0] == 2 else _new(node)
        if parameter is not None:
            found[parameter.location, parameter.name] = parameter
    there = {name for where, name in found if where == "path"}
    for name in path_names(operation.path):
        if name not in there:  # said nowhere, but the address needs it
            found["path", name] = Parameter(
                name, "path", True, "simple", False, False, False, {"type": "string"}, ""
            )
    left_over = there - set(path_names(operation.path))
    return [one for (where, name), one in found.items() if where != "path" or name not in left_over]


def path_names(path: str) -> list[str]:
    """The names in the braces of a path template.

    Raises:
        Unfit: The braces do not fit together.
    """
    names = []
    rest = path
    while "{" in rest:
        name, closed, rest = rest.partition("{")[2].partition("}")
        if not closed or not name or "{" in name:
            raise Unfit(f"the path template is not sound: {path[:100]!r}")
        names.append(name)
    return names


def _parameter_nodes(document: Document, operation: Operation) -> Iterator[dict[str, Any]]:
    for node in (*items(operation.item.get("parameters")), *items(operation.node.get("parameters"))):
        yield document.resolved(node)


def _new(node: dict[str, Any]) -> Parameter | None:
    where, name = _location(node), text_of(node.get("name"))
    content = mapping(node.get("content"))
    if node.get("in") == "querystring" and node.get("required") is True:
        raise Unfit("a parameter that is the whole query string is not supported")
    if where is None or not name or (where == "header" and _not_to_give(name)):
        return None
    styles = _STYLES[where]
    said = text_of(node.get("style"))
    style = said if said in styles else styles[0]
    explode = node.get("explode")
    schema = node.get("schema", {})
    as_json = False
    if content:
        media_type, media = next(iter(content.items()))
        schema = mapping(media).get("schema", {})
        as_json = kind_of(media_type) == "json"
    return Parameter(
        name,
        where,
        where == "path" or node.get("required") is True,
        style,
        explode if isinstance(explode, bool) else style in ("form", "deepObject", "cookie"),
        node.get("allowReserved") is True and where == "query",
        as_json,
        schema,
        text_of(node.get("description")).strip(),
    )


def _not_to_give(name: str) -> bool:
    """Whether a header means nothing as a parameter, or is the gateway's to set."""
    return name.lower() in _NO_PARAMETER or header_problem(name, "x") is not None


def _location(node: Mapping[str, Any]) -> Location | None:
    said = node.get("in")
    return next((where for where in _LOCATIONS if where == said), None)


def _old(node: dict[str, Any]) -> Parameter | None:
    where, name = _location(node), text_of(node.get("name"))
    if where is None or not name:
        return None
    if where == "header" and _not_to_give(name):
        return None
    said = text_of(node.get("collectionFormat"))
    style = _OLD_STYLES.get(said, "form") if where == "query" else "simple"
    return Parameter(
        name,
        where,
        where == "path" or node.get("required") is True,
        style,
        said == "multi",
        False,
        False,
        _old_schema(node),
        text_of(node.get("description")).strip(),
    )


def _old_schema(node: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if key not in ("in", "name", "required", "description")}


# --- bodies ---------------------------------------------------------------------------------------


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
    fields: dict[str, Field] = {}
    if kind in ("form", "multipart"):
        fields = _fields(document, schema, mapping(media.get("encoding")))
    return Body(chosen, kind, node.get("required") is True, schema, fields)


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


def _fields(document: Document, schema: Any, encoding: Mapping[str, Any]) -> dict[str, Field]:
    properties = {
        name: part
        for node in _flat(document, schema, 0)
        for name, part in mapping(node.get("properties")).items()
    }
    out = {}
    for name in dict.fromkeys((*properties, *encoding)):
        said = document.resolved(encoding.get(name, {}))
        style = text_of(said.get("style"))
        if not style and ("explode" in said or "allowReserved" in said):
            style = "form"
        explode = said.get("explode")
        out[name] = Field(
            style if style in _STYLES["query"] else "",
            explode if isinstance(explode, bool) else style in ("", "form", "deepObject"),
            text_of(said.get("contentType")).partition(",")[0].strip(),
            is_file(document, properties.get(name)),
        )
    return out


def _flat(document: Document, schema: Any, depth: int) -> Iterator[dict[str, Any]]:
    """A schema and what it is made of."""
    node = document.resolved(schema)
    yield node
    for key in ("allOf", "anyOf", "oneOf"):
        for part in items(node.get(key)) if depth < 4 else ():
            yield from _flat(document, part, depth + 1)


def is_file(document: Document, schema: Any) -> bool:
    """Whether a member of a form, or a list of them, is a file."""
    node = document.resolved(schema)
    if node.get("type") == "array":
        node = document.resolved(node.get("items"))
    if node.get("type") == "file" or node.get("format") in ("binary", "base64"):
        return True
    media_type = text_of(node.get("contentMediaType"))
    return bool(media_type) and kind_of(media_type) == "binary" and node.get("contentEncoding") is None


def _old_body(document: Document, operation: Operation) -> Body | None:
    nodes = list(_parameter_nodes(document, operation))
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
                name: {**_old_schema(node), "description": node.get("description")}
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
    style = _OLD_STYLES.get(said, "form") if node.get("type") == "array" else ""
    return Field(style, said == "multi", "", node.get("type") == "file")


# --- answers and security ---------------------------------------------------------------------------


def answer_schema(document: Document, operation: Operation) -> Any:
    """The schema of what comes back when all went well, if that is JSON; otherwise None.

    Raises:
        Unfit: A reference is of no use.
    """
    answers = mapping(operation.node.get("responses"))
    fine = sorted(code for code in answers if code[:1] == "2") or [
        code for code in answers if code == "default"
    ]
    for code in fine:
        node = document.resolved(answers[code])
        if document.version[0] == 2:
            if "schema" in node:
                return node["schema"]
            continue
        for media_type, media in mapping(node.get("content")).items():
            if kind_of(media_type) == "json":
                return mapping(media).get("schema")
    return None


def requirements(document: Document, operation: Operation) -> list[tuple[str, ...]]:
    """The security schemes that are needed: any one of the lists, all of it."""
    said = operation.node.get("security", document.root.get("security"))
    return [tuple(each) for each in items(said) if isinstance(each, dict)]
