"""The operations of a document, whatever version of OpenAPI it is written in."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from .document import Document, Unfit, items, mapping, text_of, texts
from .payloads import is_stream, kind_of

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
_METHOD: Final = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)*")
_DEEPEST: Final = 16
"""Tags that are in one another."""


@attrs.frozen(eq=False)
class Operation:
    """One operation.

    Attributes:
        method: Upper case.
        path: The path template.
        id: Its `operationId`, "" for none.
        tags: Its tags, and those that they are in.
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

    def digest(self, base: str) -> str:
        """What it is below a base URL, so that it can be compared and not read."""
        route = f"{self.method} {base}{self.path}".encode("utf-8", "surrogatepass")
        return hashlib.sha256(route).hexdigest()[:32]


def operations(document: Document) -> Iterator[Operation]:
    """Every operation, in the order of the document."""
    above = _above(document)
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
            if isinstance(node, dict) and _METHOD.fullmatch(method):
                yield Operation(
                    method.upper(),
                    path,
                    text_of(node.get("operationId")),
                    _all_tags(texts(node.get("tags")), above),
                    text_of(node.get("summary")).strip(),
                    text_of(node.get("description")).strip(),
                    node,
                    item,
                )


def _above(document: Document) -> Mapping[str, str]:
    """Of each tag the one that it is in (OpenAPI 3.2)."""
    return {
        text_of(tag.get("name")): parent
        for tag in items(document.root.get("tags"))
        if isinstance(tag, dict) and (parent := text_of(tag.get("parent")))
    }


def _all_tags(own: Iterator[str], above: Mapping[str, str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for tag in own:
        for _ in range(_DEEPEST):
            found[tag] = None
            if tag not in above:
                break
            tag = above[tag]
    return tuple(found)


def _fine(document: Document, operation: Operation) -> Iterator[dict[str, Any]]:
    """What is said of each answer when all went well."""
    answers = mapping(operation.node.get("responses"))
    fine = sorted(code for code in answers if code[:1] == "2") or [
        code for code in answers if code == "default"
    ]
    for code in fine:
        yield document.resolved(answers[code])


def item_schemas(document: Document, operation: Operation) -> dict[str, Any]:
    """The media types of the streams that may come back, and the schemas of their items.

    Raises:
        Unfit: A reference is of no use.
    """
    out: dict[str, Any] = {}
    for node in _fine(document, operation):
        for media_type, media in mapping(node.get("content")).items():
            if is_stream(media_type):
                out.setdefault(media_type, document.resolved(media).get("itemSchema", {}))
    return out


def answer_schema(document: Document, operation: Operation) -> Any:
    """The schema of what comes back when all went well, if that is JSON; otherwise None.

    Raises:
        Unfit: A reference is of no use.
    """
    return next((schema for schema in _schemas(document, operation) if schema is not None), None)


def promised_schema(document: Document, operation: Operation) -> Any:
    """The schema of whatever comes back when all went well; None where some of that may be something else.

    Raises:
        Unfit: A reference is of no use.
    """
    first, *others = [*_schemas(document, operation)] or [None]
    return first if all(one == first for one in others) else None


def _schemas(document: Document, operation: Operation) -> Iterator[Any]:
    """The schema of each answer when all went well, None for what is no JSON."""
    for node in _fine(document, operation):
        if document.version[0] == 2:
            yield node.get("schema")
            continue
        media = mapping(node.get("content"))
        kept = [mapping(one).get("schema") for name, one in media.items() if kind_of(name) == "json"]
        yield kept[0] if kept else None


def requirements(document: Document, operation: Operation) -> list[dict[str, tuple[str, ...]]]:
    """The security schemes that are needed, and the scopes of each: any one of the lists, all of it."""
    said = operation.node.get("security", document.root.get("security"))
    return [
        {name: tuple(texts(scopes)) for name, scopes in each.items()}
        for each in items(said)
        if isinstance(each, dict)
    ]
