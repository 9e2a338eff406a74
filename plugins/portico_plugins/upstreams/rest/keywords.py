"""The keywords of one schema object: what JSON Schema 2020-12 knows of them, and only where it is sound."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import jsonschema_rs

from .document import items, texts

_TYPES: Final = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})
_COUNTS: Final = (
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minContains",
    "maxContains",
)
_LIMITS: Final = (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum"))
_LONGEST_DEFAULT: Final = 200


def constraints(node: Mapping[str, Any]) -> dict[str, Any]:
    """What the simple keywords of a schema say."""
    out: dict[str, Any] = {}
    kind = _kind(node.get("type"))
    if kind is not None:
        out["type"] = kind
    for key in ("format", "contentEncoding", "contentMediaType"):
        if isinstance(node.get(key), str):
            out[key] = node[key]
    values = items(node.get("enum"))
    if values:
        out["enum"] = _once(values)
    if "const" in node:
        out["const"] = node["const"]
    if "default" in node and len(str(node["default"])) <= _LONGEST_DEFAULT:
        out["default"] = node["default"]
    required = list(dict.fromkeys(texts(node.get("required"))))
    if required:
        out["required"] = required
    for key in _COUNTS:
        count = node.get(key)
        if isinstance(count, int | float) and not isinstance(count, bool) and 0 <= count == int(count):
            out[key] = int(count)
    for plain, exclusive in _LIMITS:
        _limit(out, node, plain, exclusive)
    step = node.get("multipleOf")
    if isinstance(step, int | float) and not isinstance(step, bool) and step > 0:
        out["multipleOf"] = step
    pattern = node.get("pattern")
    if isinstance(pattern, str) and sound_pattern(pattern):
        out["pattern"] = pattern
    for key in ("uniqueItems", "deprecated"):
        if node.get(key) is True:
            out[key] = True
    needs = node.get("dependentRequired")
    if isinstance(needs, dict):
        out["dependentRequired"] = {name: list(dict.fromkeys(texts(those))) for name, those in needs.items()}
    return out


def nullable(node: Mapping[str, Any], out: dict[str, Any]) -> dict[str, Any]:
    """A schema of OpenAPI 2.0 or 3.0 with its `nullable` said in today's words."""
    if not (node.get("nullable") is True or node.get("x-nullable") is True):
        return out
    kind = out.get("type")
    more = [key for key in ("allOf", "anyOf", "const") if key in out]
    if isinstance(kind, str) and kind != "null" and not more:
        out["type"] = [kind, "null"]
        if "enum" in out and None not in out["enum"]:
            out["enum"] = [*out["enum"], None]
    elif more == ["anyOf"] and not {"type", "enum"} & out.keys():
        out["anyOf"] = [*out["anyOf"], {"type": "null"}]
    elif more or "enum" in out:
        said = {"description": out.pop("description")} if "description" in out else {}
        return {**said, "anyOf": [out, {"type": "null"}]}
    return out


@lru_cache(4096)
def sound_pattern(pattern: str) -> bool:
    """Whether a regular expression can be used: JavaScript's and Rust's do not agree on all of them."""
    try:
        jsonschema_rs.Draft202012Validator({"pattern": pattern}, offline=True)
    except (ValueError, jsonschema_rs.ValidationError):
        return False
    return True


def _kind(said: Any) -> str | list[str] | None:
    if isinstance(said, str):
        return "string" if said == "file" else said if said in _TYPES else None
    kinds = [kind for kind in dict.fromkeys(texts(said)) if kind in _TYPES]
    return kinds[0] if len(kinds) == 1 else kinds or None


def _limit(out: dict[str, Any], node: Mapping[str, Any], plain: str, exclusive: str) -> None:
    bound, strict = node.get(plain), node.get(exclusive)
    if strict is True and _is_number(bound):  # as of draft 4
        out[exclusive] = bound
        return
    if _is_number(bound):
        out[plain] = bound
    if _is_number(strict):
        out[exclusive] = strict


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _once(values: list[Any]) -> list[Any]:
    out: list[Any] = []
    seen: set[tuple[str, str]] = set()
    for value in values:
        key = (type(value).__name__, repr(value))
        if key not in seen:
            seen.add(key)
            out.append(value)
    return out
