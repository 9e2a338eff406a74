"""Converted schemas, looked through and made smaller."""

from __future__ import annotations

from typing import Any, Final

import msgspec

_ONE: Final = frozenset({"items", "additionalProperties", "contains", "propertyNames"})
_MANY: Final = frozenset({"allOf", "anyOf", "prefixItems"})
_BY_NAME: Final = frozenset({"properties", "patternProperties", "dependentSchemas"})
_WHOLE: Final = frozenset({"not", "if", "then", "else"})
"""Keywords that mean something else when a part of them is left out."""
_encode = msgspec.json.Encoder().encode


def refs_in(schema: Any) -> set[str]:
    """Every `$ref` in a converted schema."""
    out: set[str] = set()
    todo = [schema]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            ref = one.get("$ref")
            if isinstance(ref, str):
                out.add(ref)
            todo.extend(one.values())
        elif isinstance(one, list):
            todo.extend(one)
    return out


def shallow(schema: Any, depth: int) -> Any:
    """A converted schema without what is deeper than so many levels, and without long lists of values."""
    if not isinstance(schema, dict):
        return schema
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if not depth and key == "additionalProperties" and value is False:
            continue  # what it would be in addition to is left out
        if key in _WHOLE or (key in ("enum", "default") and len(_encode(value)) > 1024):
            continue
        if key in _ONE and isinstance(value, dict):
            out[key] = shallow(value, depth - 1) if depth else {}
        elif key in _MANY:
            if depth:
                out[key] = [shallow(item, depth - 1) for item in value]
        elif key in _BY_NAME:
            if depth:
                out[key] = {name: shallow(item, depth - 1) for name, item in value.items()}
        elif key == "description":
            out[key] = value[: 20 + 40 * depth]
        else:
            out[key] = value
    return out
