"""An OpenAPI document as plain data: read from text, its local references followed, nothing fetched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec

_MOST_NODES: Final = 3_000_000
_MOST_DEPTH: Final = 200
_LONGEST_CHAIN: Final = 32
"""References that lead to a reference, one after the other."""


class Unfit(ValueError):
    """The document cannot be used; the text says why, in one line without an address or a path."""


def parse(text: bytes) -> dict[str, Any]:
    """Read a document, JSON or YAML.

    Raises:
        Unfit: It is neither, or no object.
    """
    data: Any
    try:
        data = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if text.lstrip()[:1] in (b"{", b"["):
            raise Unfit(f"the document is not JSON: {error}") from None
        data = _yaml(text)
    except RecursionError:
        raise Unfit("the document is nested too deeply") from None
    if not isinstance(data, dict):
        raise Unfit("the document is no object")
    return data


def _yaml(text: bytes) -> Any:
    try:
        import yaml
    except ImportError:
        raise Unfit("the document is not JSON; for YAML: pip install 'portico[rest]'") from None
    from .yaml_document import load

    try:
        return load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1})" if mark is not None else ""
        raise Unfit(f"the document is neither JSON nor YAML{place}") from None
    except RecursionError:
        raise Unfit("the document is nested too deeply") from None


def plain(value: Any) -> Any:
    """What a YAML document says as JSON could: a tree of its own, keys text.

    Raises:
        Unfit: It is too large, too deep, or has something in it that JSON has not.
    """
    left = _MOST_NODES

    def copied(node: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0 or depth > _MOST_DEPTH:
            raise Unfit("the document is too large or nested too deeply")
        if isinstance(node, dict):
            return {_key(key): copied(item, depth + 1) for key, item in node.items()}
        if isinstance(node, list):
            return [copied(item, depth + 1) for item in node]
        if node is None or isinstance(node, str | int | float | bool):
            return node
        raise Unfit(f"the document has a value that JSON has not: {type(node).__name__}")

    return copied(value, 0)


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return "null" if key is None else str(key)


class Document:
    """An OpenAPI document of version 2.0, 3.0, 3.1 or 3.2.

    Args:
        root: Its data; not changed.

    Attributes:
        root: Its data.
        version: `(major, minor)`.

    Raises:
        Unfit: It says of no version, or of another, or has no paths where it must.
    """

    def __init__(self, root: dict[str, Any]) -> None:
        self.root = root
        self.version = _version(root)
        paths = root.get("paths")
        if paths is None and (self.version[0] == 2 or self.version == (3, 0)):
            raise Unfit("`paths` is missing")
        if paths is not None and not isinstance(paths, dict):
            raise Unfit("`paths` is no object")

    @property
    def paths(self) -> Mapping[str, Any]:
        """Path templates and what is there."""
        return self.resolved(self.root.get("paths"))

    def at(self, ref: str) -> Any:
        """What a reference within the document points to.

        Raises:
            Unfit: It points elsewhere, or to nothing.
        """
        return self._at(ref, _LONGEST_CHAIN)

    def _at(self, ref: str, left: int) -> Any:
        if ref != "#" and not ref.startswith("#/"):
            raise Unfit(f"a reference leaves the document: {ref[:100]!r}")
        node: Any = self.root
        for step in unquote(ref[2:]).split("/") if ref != "#" else ():
            step = step.replace("~1", "/").replace("~0", "~")
            if isinstance(node, dict) and step not in node and "$ref" in node:
                node = self._resolved(node, left)  # a part of the document that is in a file of its own
            if isinstance(node, dict) and step in node:
                node = node[step]
            elif isinstance(node, list) and step.isdecimal() and int(step) < len(node):
                node = node[int(step)]
            else:
                raise Unfit(f"a reference points to nothing: {ref[:100]!r}")
        return node

    def resolved(self, node: Any) -> dict[str, Any]:
        """An object, or what it refers to; `{}` for anything else.

        Raises:
            Unfit: The reference is of no use.
        """
        return self._resolved(node, _LONGEST_CHAIN)

    def _resolved(self, node: Any, left: int) -> dict[str, Any]:
        for steps in range(left, 0, -1):
            if not isinstance(node, dict):
                return {}
            ref = node.get("$ref")
            if not isinstance(ref, str):
                return node
            node = self._at(ref, steps - 1)
        raise Unfit("references lead in a circle")


def _version(root: Mapping[str, Any]) -> tuple[int, int]:
    said = root.get("swagger", root.get("openapi"))
    if said is None:
        raise Unfit("it is no OpenAPI document: neither `openapi` nor `swagger` says a version")
    parts = str(said).split(".")
    wanted = "2" if "swagger" in root else "3"
    if parts[0] != wanted or not all(part.isdecimal() for part in parts[:2]):
        raise Unfit(f"OpenAPI {str(said)[:20]!r} is not supported; 2.0 and 3.0 to 3.2 are")
    minor = int(parts[1]) if len(parts) > 1 else 0
    if wanted == "3" and minor > 2:
        raise Unfit(f"OpenAPI {str(said)[:20]!r} is not supported; 2.0 and 3.0 to 3.2 are")
    return int(wanted), minor


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, otherwise an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """The value if it is an array, otherwise an empty one."""
    return value if isinstance(value, list) else []


def text_of(value: Any) -> str:
    """The value if it is text, otherwise ""."""
    return value if isinstance(value, str) else ""


def texts(value: Any) -> Iterator[str]:
    """The texts in an array."""
    return (item for item in items(value) if isinstance(item, str))
