"""Schemas of OpenAPI documents as JSON Schema 2020-12: compact, self-contained, with nothing left to fetch.

What an object refers to goes to `$defs`, and only what can be reached; recursion stays recursion. What is
there for people or other programs only (`example`, `xml`, `title`, extensions) is left out. `oneOf` becomes
`anyOf`: documents often mean that, and a schema that was shortened would match twice.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

import attrs
import msgspec

from .document import Document, Unfit, items, mapping, text_of
from .keywords import constraints, nullable
from .parts import Mode, hidden_in, not_required, one_sided, opened, told_apart
from .shortening import refs_in, shallow

_DEEPEST: Final = 32
_OPEN: Final = 60
"""Bytes a definition takes that may be anything, about."""
_ONE: Final = ("items", "additionalProperties", "contains", "propertyNames", "not", "if", "then", "else")
_MANY: Final = ("allOf", "anyOf", "oneOf", "prefixItems")
_BY_NAME: Final = ("properties", "patternProperties", "dependentSchemas")
_IN_PLACE: Final = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"})
_WHOLE: Final = frozenset({"not", "if", "then", "else"})
"""Keywords that mean something else when a part of them is left out."""
_NOT_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_encode = msgspec.json.Encoder().encode


@attrs.frozen(eq=False)
class _Definition:
    """Something that is referred to.

    Attributes:
        schema: What it is.
        refs: What it refers to.
        size: Bytes as JSON.
    """

    schema: Any
    refs: frozenset[str]
    size: int


@attrs.define(eq=False)
class Part:
    """A schema on its way into another.

    Attributes:
        schema: What it is.
        refs: What it refers to; `Schemas.whole` turns that into `$defs`.
    """

    schema: Any
    refs: set[str] = attrs.field(factory=set)


class Schemas:
    """The schemas of one document, each converted once.

    Args:
        document: The document.
        longest: The most characters of a description.
    """

    def __init__(self, document: Document, longest: int = 400) -> None:
        self._document = document
        self._longest = longest
        self._siblings = document.version >= (3, 1)
        self._known: dict[tuple[Mode, str], _Definition] = {}
        self._names: dict[str, str] = {}
        self._taken: set[str] = set()
        self._circles: dict[str, frozenset[str]] = {}

    def part(self, node: Any, mode: Mode) -> Part:
        """Convert a schema."""
        part = Part(None)
        part.schema = self._converted(node, mode, part.refs, "", 0, in_place=True)
        return part

    def whole(self, schema: dict[str, Any], refs: Iterable[str], mode: Mode, most: int) -> dict[str, Any]:
        """A schema with what it refers to in `$defs`.

        Args:
            schema: Converted.
            refs: What it refers to.
            mode: For what it was converted.
            most: The most bytes it may have; beyond, what is farthest away is left open.
        """
        found = self._reachable(refs, mode)
        size = len(_encode(schema)) + sum(item.size + len(name) + 5 for name, item in found.items())
        if size <= most:
            if found:
                schema = {**schema, "$defs": {name: item.schema for name, item in found.items()}}
            return schema
        return self._shortened(schema, refs, mode, most)

    def _shortened(
        self, schema: dict[str, Any], refs: Iterable[str], mode: Mode, most: int
    ) -> dict[str, Any]:
        """As much as there is room for, nearest first; the rest may be anything."""
        depth = 6
        while depth and len(_encode(schema)) + _OPEN * len(refs_in(schema)) > most // 2:
            schema = shallow(schema, depth)
            depth -= 1
        # The converted schema may refer to less by now.
        left = refs_in(schema)
        refs = [ref for ref in refs if f"#/$defs/{self._name(ref)}" in left]
        room = most - len(_encode(schema)) - _OPEN * len(refs) - 100
        definitions: dict[str, Any] = {}
        open_ones: list[str] = []
        queue = deque(refs)
        seen = set(queue)
        while queue:
            ref = queue.popleft()
            item = self._definition(ref, mode)
            name = self._name(ref)
            cost = item.size + len(name) + 5 + _OPEN * len(item.refs - seen)
            if cost <= room:
                room -= cost
                definitions[name] = item.schema
                queue.extend(sorted(item.refs - seen))
                seen |= item.refs
            else:
                open_ones.append(ref)
        for ref in open_ones:
            kind = mapping(self._definition(ref, mode).schema).get("type")
            definitions[self._name(ref)] = {"type": kind} if isinstance(kind, str) else {}
        note = "Shortened: some parts may be anything the API takes."
        out = {**schema, "$comment": note}
        if definitions:
            out["$defs"] = definitions
        return out

    def _reachable(self, refs: Iterable[str], mode: Mode) -> dict[str, _Definition]:
        out: dict[str, _Definition] = {}
        todo = sorted(refs, reverse=True)
        while todo:
            ref = todo.pop()
            name = self._name(ref)
            if name not in out:
                item = out[name] = self._definition(ref, mode)
                todo.extend(sorted(item.refs, reverse=True))
        return out

    def _definition(self, ref: str, mode: Mode) -> _Definition:
        found = self._known.get((mode, ref))
        if found is None:
            refs: set[str] = set()
            schema = self._converted(self._at(ref), mode, refs, ref, 0, in_place=True)
            found = _Definition(schema, frozenset(refs), len(_encode(schema)))
            self._known[mode, ref] = found
        return found

    def _name(self, ref: str) -> str:
        name = self._names.get(ref)
        if name is None:
            base = _NOT_NAME.sub("_", ref.rpartition("/")[2])[-60:] or "_"
            name, number = base, 1
            while name in self._taken:
                number += 1
                name = f"{base}_{number}"
            self._taken.add(name)
            self._names[ref] = name
        return name

    def _at(self, ref: str) -> Any:
        try:
            return self._document.at(ref)
        except Unfit:
            return {}  # nothing is known of it, so it may be anything

    # --- one schema -----------------------------------------------------------------------------

    def _converted(
        self, node: Any, mode: Mode, refs: set[str], owner: str, depth: int, *, in_place: bool
    ) -> Any:
        """Convert.

        Args:
            node: What the document has there.
            mode: What for.
            refs: Takes what is referred to.
            owner: The reference it is below; "" for none.
            depth: How deep below it.
            in_place: Whether it applies to the very value that the owner applies to.
        """
        if isinstance(node, bool):
            return node
        if not isinstance(node, dict) or depth > _DEEPEST:
            return {}
        ref = node.get("$ref")
        if isinstance(ref, str):
            target = self._reference(ref, refs, owner, in_place)
            rest = {key: value for key, value in node.items() if key != "$ref"} if self._siblings else {}
            out = self._converted(rest, mode, refs, owner, depth, in_place=in_place) if rest else {}
            return {**target, **out}
        if "allOf" in node:
            node = opened(node, self._document)
        out = self._described(node)
        out |= constraints(node)
        for key in _ONE:
            if key in node:
                self._one(out, key, node[key], mode, refs, owner, depth, in_place)
        for key in _MANY:
            if key in node:
                inside = in_place and key in _IN_PLACE
                kept = [
                    self._converted(item, mode, refs, owner, depth + 1, in_place=inside)
                    for item in items(node[key])
                ]
                if kept:
                    out.setdefault("anyOf" if key == "oneOf" else key, []).extend(kept)
        if isinstance(node.get("items"), list) and node["items"]:  # a tuple, as of draft 4
            out["prefixItems"] = [
                self._converted(item, mode, refs, owner, depth + 1, in_place=False) for item in node["items"]
            ]
        for key in _BY_NAME:
            if key in node:
                self._by_name(out, key, node[key], mode, refs, owner, depth, in_place)
        if "allOf" in out:
            one_sided(out, node, self._document, mode)
        if mode == "in" and "anyOf" in out:
            told_apart(out, node, self._document)
        return nullable(node, out) if not self._siblings else out

    def _described(self, node: dict[str, Any]) -> dict[str, Any]:
        said = text_of(node.get("description")).strip()
        if len(said) > self._longest:
            said = said[: self._longest - 1].rstrip() + "…"
        return {"description": said} if said else {}

    def _one(
        self,
        out: dict[str, Any],
        key: str,
        node: Any,
        mode: Mode,
        refs: set[str],
        owner: str,
        depth: int,
        in_place: bool,
    ) -> None:
        if not isinstance(node, dict | bool):
            return
        own: set[str] = set()
        inside = in_place and key in _IN_PLACE
        schema = self._converted(node, mode, own, owner, depth + 1, in_place=inside)
        if key in _WHOLE and own:
            return
        if key in ("items", "additionalProperties") and schema in ({}, True):
            return
        refs |= own
        out[key] = schema

    def _by_name(
        self,
        out: dict[str, Any],
        key: str,
        node: Any,
        mode: Mode,
        refs: set[str],
        owner: str,
        depth: int,
        in_place: bool,
    ) -> None:
        hidden = hidden_in(self._document, {key: node}, mode)
        inside = in_place and key in _IN_PLACE
        kept = {
            name: self._converted(item, mode, refs, owner, depth + 1, in_place=inside)
            for name, item in mapping(node).items()
            if name not in hidden
        }
        if key == "patternProperties":
            known = len(kept)
            kept = {name: item for name, item in kept.items() if constraints({"pattern": name})}
            if len(kept) < known and out.get("additionalProperties") is False:
                del out["additionalProperties"]
        if kept:
            out[key] = kept
        not_required(out, hidden)

    def _reference(self, ref: str, refs: set[str], owner: str, in_place: bool) -> dict[str, Any]:
        if ref != "#" and not ref.startswith("#/"):
            return {}  # never fetched
        if in_place and owner and (ref == owner or owner in self._circle(ref)):
            return {}  # it would be a part of itself
        refs.add(ref)
        return {"$ref": f"#/$defs/{self._name(ref)}"}

    def _circle(self, ref: str) -> frozenset[str]:
        """What applies to whatever the reference applies to: itself not included unless it is in a circle."""
        found = self._circles.get(ref)
        if found is None:
            seen: set[str] = set()
            todo = list(_applied(self._at(ref)))
            while todo:
                one = todo.pop()
                if one not in seen:
                    seen.add(one)
                    todo.extend(_applied(self._at(one)))
            found = self._circles[ref] = frozenset(seen)
        return found


def _applied(node: Any) -> set[str]:
    """The references of a schema that apply to the very value it applies to."""
    out: set[str] = set()
    todo = [node]
    while todo:
        one = todo.pop()
        if not isinstance(one, dict):
            continue
        ref = one.get("$ref")
        if isinstance(ref, str):
            out.add(ref)
        for key in _IN_PLACE:
            below = one.get(key)
            todo.extend(
                below
                if isinstance(below, list)
                else below.values()
                if key == "dependentSchemas" and below
                else [below]
            )
    return out
