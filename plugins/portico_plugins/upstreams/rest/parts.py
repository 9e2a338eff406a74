"""What a schema says only together with its parts: what goes one way only, and which of several one is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, Literal

from .document import Document, Unfit, items, mapping, text_of
from .payloads import parts_of

_MADE_OF: Final = frozenset({"allOf", "anyOf", "oneOf", "not", "if"})
Mode = Literal["in", "out"]
"""Whether for what is sent (nothing read-only in it) or for what comes back (nothing write-only)."""


def hidden_in(document: Document, node: Mapping[str, Any], mode: Mode) -> set[str]:
    """The properties of a schema object that are for the other direction."""
    key = "readOnly" if mode == "in" else "writeOnly"

    def hidden(item: Any) -> bool:
        if mapping(item).get(key) is True:
            return True
        try:
            return "$ref" in mapping(item) and document.resolved(item).get(key) is True
        except Unfit:
            return False  # nothing is known of it

    return {name for name, item in mapping(node.get("properties")).items() if hidden(item)}


def not_required(out: dict[str, Any], names: Collection[str]) -> None:
    """Have a converted schema not require what is not in it."""
    if names and "required" in out:
        out["required"] = [name for name in out["required"] if name not in names]
        if not out["required"]:
            del out["required"]


def one_sided(out: dict[str, Any], node: Mapping[str, Any], document: Document, mode: Mode) -> None:
    """Have a schema made of parts not require what one of them has for the other direction only."""
    demanding = [part for part in (out, *out["allOf"]) if isinstance(part, dict) and "required" in part]
    if not demanding:
        return
    try:
        names = {name for part in parts_of(document, node, 0) for name in hidden_in(document, part, mode)}
    except Unfit:
        return
    for part in demanding:
        not_required(part, names)


def opened(node: dict[str, Any], document: Document) -> dict[str, Any]:
    """A schema made of parts, none of which forbids what another one has.

    Nothing would fit it as it stands, but that is how some generators write inheritance: each class with
    `additionalProperties: false`, and the one below as `allOf` of the one above and its own properties.
    """
    parts = items(node.get("allOf"))
    try:
        if not any(_closed(document.resolved(part)) for part in (node, *parts)):
            return node
        known = {name for part in parts_of(document, node, 0) for name in mapping(part.get("properties"))}
        return _open(node, known) | {"allOf": [_open_part(part, known, document) for part in parts]}
    except Unfit:
        return node


def _closed(node: Mapping[str, Any]) -> bool:
    return node.get("additionalProperties") is False


def _open(node: dict[str, Any], known: set[str]) -> dict[str, Any]:
    if not _closed(node) or known <= mapping(node.get("properties")).keys():
        return node
    return {key: value for key, value in node.items() if key != "additionalProperties"}


def _open_part(part: Any, known: set[str], document: Document) -> Any:
    """A part; one that is elsewhere comes here if it forbids something that is here, and is simple."""
    if not isinstance(part, dict):
        return part
    there = document.resolved(part)
    made = _open(there, known)
    if "$ref" in part and (made is there or _MADE_OF & there.keys()):
        return part
    return made


def told_apart(out: dict[str, Any], node: Mapping[str, Any], document: Document) -> None:
    """Say in each of several schemas which values of the discriminator are its own, where it does not itself.

    Only what `mapping` says counts: the names that schemas have by default are often not what an API takes.
    """
    said = mapping(node.get("discriminator"))
    name, values = text_of(said.get("propertyName")), _values(said)
    given = items(node.get("oneOf")) or items(node.get("anyOf"))
    if not name or not values or len(given) != len(out["anyOf"]):
        return
    for at, one in enumerate(given):
        ref = text_of(mapping(one).get("$ref"))
        own = values.get(ref, [])
        if own and not _says(document, one, name):
            out["anyOf"][at] = {**out["anyOf"][at], "properties": {name: {"enum": own}}}


def _values(discriminator: Mapping[str, Any]) -> Mapping[str, list[str]]:
    """The values of a discriminator by the reference to the schema that they stand for."""
    out: dict[str, list[str]] = {}
    for value, target in mapping(discriminator.get("mapping")).items():
        if isinstance(target, str):
            ref = target if "#" in target or "/" in target else f"#/components/schemas/{target}"
            out.setdefault(ref, []).append(value)
    return out


def _says(document: Document, node: Any, name: str) -> bool:
    """Whether a schema says itself what a property may be."""
    try:
        parts = [
            document.resolved(mapping(p.get("properties")).get(name)) for p in parts_of(document, node, 0)
        ]
    except Unfit:
        return True
    return any("enum" in one or "const" in one for one in parts)
