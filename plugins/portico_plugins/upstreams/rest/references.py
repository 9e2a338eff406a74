"""References from file to file: what they lead to, and a document of several files as one.

A document whose references lead to other files becomes one without such references: the files stand below
`x-files` in it, each once, and every reference to them leads there. Nothing takes the place of a reference:
recursion stays recursion and the size stays that of the files.
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
_ELSEWHERE: Final = re.compile(rb"\$ref[\"']?+\s*+:\s*+(?![\"']?#)")


def may_have_references(text: bytes) -> bool:
    """Whether a file may have references to other files, going by its text."""
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
        out[FILES] = {
            self._keys[url]: self._rewritten(data, url)
            for url, data in self._files.items()
            if url in self._keys
        }
        return out

    def _target(self, ref: str, base: str) -> tuple[str, str] | None:
        """The URL and the fragment that a reference leads to; None for one that is not sound."""
        url, _, fragment = ref.partition("#")
        if _UNSOUND.search(url):
            return None
        try:
            return (urljoin(base, url) if base and url else url or base), fragment
        except ValueError:
            return None

    def _rewritten(self, data: dict[str, Any], url: str) -> dict[str, Any]:
        new = {}
        for node, ref in _references(data):
            target, fragment = self._target(ref, url) or ("", "?")
            if fragment[:1] not in ("", "/") or (target != self._at and target not in self._keys):
                continue  # it stays what it is, and leads nowhere
            below = f"#/{FILES}/{self._keys[target]}" if target in self._keys else "#"
            new[id(node)] = below + fragment
        return _copy(data, new) if new else dict(data)


def _references(root: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Everything that is a reference, with where it leads."""
    todo: list[tuple[Any, bool]] = [(root, False)]
    while todo:
        node, names = todo.pop()
        if isinstance(node, list):
            todo.extend((item, False) for item in node)
        elif isinstance(node, dict):
            ref = node.get("$ref")
            if isinstance(ref, str):
                yield node, ref
            for key, item in node.items():
                if isinstance(item, dict | list) and (names or (key not in _LEFT and key[:2] != "x-")):
                    todo.append((item, not names and key in _NAMES))


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
