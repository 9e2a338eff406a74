"""References from file to file: what they lead to, and a document of several files as one.

A document whose references lead to other files becomes one without such references: the files stand below
`x-files` in it, each once, and every reference to them leads there. Nothing takes the place of a reference:
recursion stays recursion and the size stays that of the files. References by name (`$anchor`,
`$dynamicAnchor`) become such by place, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import unquote, urljoin, urlsplit

FILES: Final = "x-files"
_NAMES: Final = frozenset(
    {"$defs", "additionalOperations", "components", "content", "definitions", "dependentSchemas", "encoding"}
    | {"headers", "mediaTypes", "parameters", "pathItems", "paths", "patternProperties", "properties"}
    | {"requestBodies", "responses", "schemas", "securityDefinitions", "securitySchemes"}
)
"""Keys with objects whose keys are names, not keywords."""
_LEFT: Final = frozenset(
    {
        "callbacks",
        "const",
        "default",
        "discriminator",
        "enum",
        "example",
        "examples",
        "info",
        "links",
        "webhooks",
    }
)
"""Keywords with nothing below them that is ever followed."""
_UNSOUND: Final = re.compile(r"[\x00-\x20\x7f\\]")
_NOT_NAME: Final = re.compile(r"[^A-Za-z0-9_-]+")
_ELSEWHERE: Final = re.compile(rb"\$(?:dynamicRef|ref[\"']?+\s*+:\s*+(?![\"']?#[/\"']))")
_Place = tuple[Any, ...]
"""Where an object or array is: the place of what it is in, its key there, and it; `()` for the document."""


def may_have_references(text: bytes) -> bool:
    """Whether a file may have references to other files, or by name, going by its text."""
    return _ELSEWHERE.search(text) is not None


def origin(url: str) -> str:
    """The origin of a URL of HTTP, "" for one that is none or carries credentials."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or port == 0:
        return ""
    return f"{parts.scheme}://{parts.hostname}:{port or (443 if parts.scheme == 'https' else 80)}"


class Joined:
    """A document that may be in several files.

    Args:
        root: The file it begins with; not changed.
        at: Where that is, as a URL; "" for nowhere, then relative references lead nowhere.
        may: Says of a URL whether it may be followed.
    """

    def __init__(self, root: dict[str, Any], at: str, may: Callable[[str], bool]) -> None:
        self._at = at
        self._may = may
        self._files: dict[str, dict[str, Any]] = {at: root}
        self._keys: dict[str, str] = {}
        self._anchors: dict[str, dict[str, str | None]] = {}

    def add(self, url: str, data: dict[str, Any]) -> None:
        """A file is there."""
        self._files[url] = data
        stem = (
            _NOT_NAME.sub("_", unquote(urlsplit(url).path).rpartition("/")[2].partition(".")[0])[-50:] or "_"
        )
        key, number = stem, 1
        while key in self._keys.values():
            number += 1
            key = f"{stem}_{number}"
        self._keys[url] = key

    def wanted(self, url: str) -> list[str]:
        """The URLs of the files that a file refers to, as far as they may be followed."""
        found = (self._target(ref, url) for _, ref in _references(self._files[url]))
        urls = {one[0] for one in found if one is not None}
        return sorted(one for one in urls if one not in self._files and self._may(one))

    def whole(self) -> dict[str, Any]:
        """The document as one."""
        out: dict[str, Any] = self._rewritten(self._files[self._at], self._at)
        if self._keys:
            out[FILES] = {key: self._rewritten(self._files[url], url) for url, key in self._keys.items()}
        return out

    def _target(self, ref: str, at: str) -> tuple[str, str] | None:
        """The URL and the fragment that a reference leads to; None for one that is not sound.

        What is relative is so to what the file calls itself (`$self`), where that may be followed, else to
        where it was had. That name leads to the file itself, and the document's to the document.
        """
        url, _, fragment = ref.partition("#")
        if not url:
            return at, fragment
        own = self._called(at)
        found = _joined(own, url)
        if found is None:
            return None
        for file in (at, self._at):
            if found == self._called(file):
                return file, fragment
        found = found if own == at or self._may(own) else _joined(at, url)
        return None if found is None else (found, fragment)

    def _called(self, url: str) -> str:
        """What a file says that its URL is."""
        said = self._files[url].get("$self")
        return (_joined(url, said.partition("#")[0]) if isinstance(said, str) else None) or url

    def _named(self, url: str) -> dict[str, str | None]:
        """What a file has that is referred to by name, as JSON pointers; None for what several have."""
        found = self._anchors.get(url)
        if found is None:
            found = self._anchors[url] = {}
            for place in _objects(self._files[url]):
                names = {place[2].get("$anchor"), place[2].get("$dynamicAnchor")}
                for name in filter(lambda name: isinstance(name, str), names):
                    found[name] = None if name in found else _pointer(place)
        return found

    def _rewritten(self, data: dict[str, Any], url: str) -> dict[str, Any]:
        new = {}
        for place, ref in _references(data):
            target, fragment = self._target(ref, url) or ("", "?")
            if target != self._at and target not in self._keys:
                continue  # it stays what it is, and leads nowhere
            pointer: str | None = fragment
            if fragment[:1] not in ("", "/"):
                around = "$ref" not in place[2] and target == url
                pointer = (_around(place, fragment) if around else None) or self._named(target).get(fragment)
            if pointer is None:
                continue
            below = f"#/{FILES}/{self._keys[target]}" if target in self._keys else "#"
            new[id(place[2])] = below + pointer
        return _copy(data, new) if new else dict(data)


def _joined(base: str, url: str) -> str | None:
    """Where a URL leads from another one; None for one that is not sound."""
    if _UNSOUND.search(url):
        return None
    try:
        return urljoin(base, url) if base else url
    except ValueError:
        return None


def _objects(root: dict[str, Any]) -> Iterator[_Place]:
    """Every object in which there may be a keyword that counts."""
    todo: list[tuple[_Place, bool]] = [(((), "", root), False)]
    while todo:
        place, names = todo.pop()
        node = place[2]
        if isinstance(node, list):
            todo.extend(((place, str(at), item), False) for at, item in enumerate(node))
        elif isinstance(node, dict):
            yield place
            for key, item in node.items():
                if isinstance(item, dict | list) and (names or (key not in _LEFT and key[:2] != "x-")):
                    todo.append(((place, key, item), not names and key in _NAMES))


def _references(root: dict[str, Any]) -> Iterator[tuple[_Place, str]]:
    """Everything that is a reference, with where it leads."""
    for place in _objects(root):
        ref = place[2].get("$ref", place[2].get("$dynamicRef"))
        if isinstance(ref, str):
            yield place, ref


def _around(place: _Place, name: str) -> str | None:
    """The pointer to the nearest of the schemas around a `$dynamicRef` that have that `$dynamicAnchor`.

    Which of several is meant depends on what is validated; that one asks for no more than the others do.
    """
    while place:
        if isinstance(place[2], dict) and place[2].get("$dynamicAnchor") == name:
            return _pointer(place)
        place = place[0]
    return None


def _pointer(place: _Place) -> str:
    """The JSON pointer to a place, as a fragment of a URL has it."""
    steps = []
    while place[0]:
        steps.append(place[1].replace("~", "~0").replace("/", "~1").replace("%", "%25"))
        place = place[0]
    return "".join(f"/{step}" for step in reversed(steps))


def _copy(node: Any, refs: dict[int, str]) -> Any:
    """A copy with other references, by the identity of what has them; what stays the same is shared."""
    if isinstance(node, list):
        return [_copy(item, refs) for item in node]
    if not isinstance(node, dict):
        return node
    out = {key: _copy(item, refs) if isinstance(item, dict | list) else item for key, item in node.items()}
    if id(node) in refs:
        out["$ref"] = refs[id(node)]
    return out
