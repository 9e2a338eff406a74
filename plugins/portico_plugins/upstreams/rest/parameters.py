"""The parameters of an operation, outside its body."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import attrs

from portico_plugins.upstreams.checks import header_problem

from .document import Document, Unfit, items, mapping, text_of
from .operations import Operation
from .payloads import kind_of

Location = Literal["path", "query", "header", "cookie", "querystring"]
_LOCATIONS: Final[tuple[Location, ...]] = ("path", "query", "header", "cookie", "querystring")
STYLES: Final[Mapping[str, tuple[str, ...]]] = {
    "path": ("simple", "label", "matrix"),
    "query": ("form", "spaceDelimited", "pipeDelimited", "tabDelimited", "deepObject"),
    "header": ("simple",),
    "cookie": ("form", "cookie"),
    "querystring": ("form",),
}
"""Location -> its styles, the default first."""
OLD_STYLES: Final = {"ssv": "spaceDelimited", "tsv": "tabDelimited", "pipes": "pipeDelimited"}
_NO_PARAMETER: Final = frozenset({"accept", "content-type", "authorization", "cookie"})
"""Header parameters that mean nothing (OpenAPI 3.2, Parameter Object)."""


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
        json: Whether it is written as JSON text; the whole query string is if its media type is JSON, and a
            form otherwise.
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


def parameters(document: Document, operation: Operation) -> list[Parameter]:
    """The parameters outside the body; those of an operation go before those of its path.

    Raises:
        Unfit: One cannot be used, and the operation cannot do without it.
    """
    found: dict[tuple[str, str], Parameter] = {}
    for node in parameter_nodes(document, operation):
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


def parameter_nodes(document: Document, operation: Operation) -> Iterator[dict[str, Any]]:
    """What a document says of each parameter, those of the path first."""
    for node in (*items(operation.item.get("parameters")), *items(operation.node.get("parameters"))):
        yield document.resolved(node)


def _new(node: dict[str, Any]) -> Parameter | None:
    where, name = _location(node), text_of(node.get("name"))
    content = mapping(node.get("content"))
    if where is None or not name or (where == "header" and _not_to_give(name)):
        return None
    styles = STYLES[where]
    said = text_of(node.get("style"))
    style = said if said in styles else styles[0]
    explode = node.get("explode")
    schema = node.get("schema", {})
    as_json = False
    if content:
        media_type, media = next(iter(content.items()))
        schema = mapping(media).get("schema", {})
        kind = kind_of(media_type)
        as_json = kind == "json"
        if where == "querystring" and kind not in ("json", "form"):
            if node.get("required") is True:
                raise Unfit("a query string that is neither a form nor JSON is not supported")
            return None
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


def _location(node: Mapping[str, Any]) -> Location | None:
    said = node.get("in")
    return next((where for where in _LOCATIONS if where == said), None)


def _not_to_give(name: str) -> bool:
    """Whether a header means nothing as a parameter, or is the gateway's to set."""
    return name.lower() in _NO_PARAMETER or header_problem(name, "x") is not None


def _old(node: dict[str, Any]) -> Parameter | None:
    where, name = _location(node), text_of(node.get("name"))
    if where is None or not name:
        return None
    if where == "header" and _not_to_give(name):
        return None
    said = text_of(node.get("collectionFormat"))
    style = OLD_STYLES.get(said, "form") if where == "query" else "simple"
    return Parameter(
        name,
        where,
        where == "path" or node.get("required") is True,
        style,
        said == "multi",
        False,
        False,
        old_schema(node),
        text_of(node.get("description")).strip(),
    )


def old_schema(node: Mapping[str, Any]) -> dict[str, Any]:
    """The schema that a parameter of OpenAPI 2.0 has in itself."""
    return {key: value for key, value in node.items() if key not in ("in", "name", "required", "description")}
