"""The JSON Schema of a plugin's config class."""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin

import attrs
import msgspec

from portico.api import Json, Ref, Secret

_SCALARS: Final[dict[Any, Json]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    Path: {"type": "string"},
    Secret: {"type": "string", "format": "password"},
    types.NoneType: {"type": "null"},
}
_ARRAYS: Final = frozenset({list, tuple, set, frozenset, Sequence, Collection, Iterable, AbstractSet})


def schema_of(cls: type, summary: str = "") -> Json:
    """An object schema with the keys of an attrs class, their `doc(...)`, defaults and examples.

    Args:
        cls: The class.
        summary: What it is; "" for the first line of its docstring.
    """
    try:
        hints = typing.get_type_hints(cls)
    except NameError:
        hints = {}  # a type that is imported for type checkers only; the kernel reports it
    properties: Json = {}
    required = []
    for field in attrs.fields(cls):
        if not field.init:
            continue
        schema = dict(_schema(hints.get(field.name, Any)))
        if "doc" in field.metadata:
            schema["description"] = field.metadata["doc"]
        if "example" in field.metadata:
            schema["examples"] = [field.metadata["example"]]
        if field.default is attrs.NOTHING:
            required.append(field.name)
        elif isinstance(field.default, bool | int | float | str):
            schema["default"] = msgspec.to_builtins(field.default)
        properties[field.name] = schema
    text = summary or (cls.__doc__ or "").partition("\n")[0]
    out: Json = {"type": "object", "description": text, "properties": properties}
    return {**out, "required": required} if required else out


def _schema(hint: Any) -> Json:
    origin, args = get_origin(hint), get_args(hint)
    if hint in _SCALARS:
        return _SCALARS[hint]
    if origin is Ref:
        return {"type": "string"}
    if origin in (Union, types.UnionType):
        shown = [_schema(each) for each in args if each is not types.NoneType]  # no TOML value is null
        return shown[0] if len(shown) == 1 else {"anyOf": shown}
    if origin is Literal:
        return {"enum": list(args)}
    if isinstance(hint, enum.EnumMeta):
        return {"enum": [member.value for member in list[Any](hint)]}
    if origin in _ARRAYS or hint in _ARRAYS:
        return {"type": "array", "items": _schema(args[0])} if args else {"type": "array"}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _schema(args[1])}
    if isinstance(hint, type) and attrs.has(hint):
        return schema_of(hint)
    return {"type": "object"} if hint in (dict, Mapping) else {}
