"""The JSON Schemas of what protobuf has built in: scalar types, and the well-known messages (ProtoJSON)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from google.protobuf.descriptor import FieldDescriptor

from portico.api import Json

_F = FieldDescriptor
_SIGNED32: Final[Json] = {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
_UNSIGNED32: Final[Json] = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}
_SIGNED64: Final[Json] = {"type": ["string", "integer"], "pattern": "^-?[0-9]{1,19}$"}
_UNSIGNED64: Final[Json] = {"type": ["string", "integer"], "pattern": "^[0-9]{1,20}$", "minimum": 0}
_FLOAT: Final[Json] = {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}
_BOOL: Final[Json] = {"type": "boolean"}
_STRING: Final[Json] = {"type": "string"}
_BYTES: Final[Json] = {"type": "string", "contentEncoding": "base64"}

SCALARS: Final[dict[int, Json]] = {
    _F.TYPE_DOUBLE: _FLOAT,
    _F.TYPE_FLOAT: _FLOAT,
    _F.TYPE_BOOL: _BOOL,
    _F.TYPE_STRING: _STRING,
    _F.TYPE_BYTES: _BYTES,
    **dict.fromkeys((_F.TYPE_INT32, _F.TYPE_SINT32, _F.TYPE_SFIXED32), _SIGNED32),
    **dict.fromkeys((_F.TYPE_UINT32, _F.TYPE_FIXED32), _UNSIGNED32),
    **dict.fromkeys((_F.TYPE_INT64, _F.TYPE_SINT64, _F.TYPE_SFIXED64), _SIGNED64),
    **dict.fromkeys((_F.TYPE_UINT64, _F.TYPE_FIXED64), _UNSIGNED64),
}
"""By field type, in the strict profile. 64-bit numbers are strings in ProtoJSON: doubles cannot hold them."""

_INTEGER_KEY: Final = "^-?[0-9]{1,20}$"


def key_schema(field_type: int) -> Json | None:
    """What the names of a map's entries look like in JSON; None for anything."""
    if field_type == _F.TYPE_STRING:
        return None
    if field_type == _F.TYPE_BOOL:
        return {"enum": ["true", "false"]}
    return {"pattern": _INTEGER_KEY}


def _wrapper(of: Json) -> Json:
    if "anyOf" in of:
        return {"anyOf": [*of["anyOf"], {"type": "null"}]}
    types = of["type"] if isinstance(of["type"], list) else [of["type"]]
    return {**of, "type": [*types, "null"]}


_WRAPPED: Final = {
    "BoolValue": _BOOL,
    "StringValue": _STRING,
    "BytesValue": _BYTES,
    "Int32Value": _SIGNED32,
    "UInt32Value": _UNSIGNED32,
    "Int64Value": _SIGNED64,
    "UInt64Value": _UNSIGNED64,
    "DoubleValue": _FLOAT,
    "FloatValue": _FLOAT,
}

WELL_KNOWN: Final[dict[str, Json]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {
        "type": "string",
        "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$",
        "description": "Seconds, as in 1.5s",
    },
    "google.protobuf.FieldMask": {
        "type": "string",
        "description": "Paths of fields in lowerCamelCase, with commas between",
    },
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array"},
    "google.protobuf.Any": {
        "type": "object",
        "properties": {
            "@type": {"type": "string", "description": "type.googleapis.com/ and the message's full name"}
        },
        "required": ["@type"],
    },
    "google.protobuf.Empty": {"type": "object", "properties": {}},
    **{f"google.protobuf.{name}": _wrapper(of) for name, of in _WRAPPED.items()},
}
"""By full name, in the strict profile."""

EMPTY: Final = "google.protobuf.Empty"


def simple(schema: Json) -> Json:
    """The same without `anyOf` and lists of types: one type, the one ProtoJSON itself writes."""
    if "anyOf" in schema:
        return {"type": "number"}
    if isinstance(schema.get("type"), list):
        plain = {key: value for key, value in schema.items() if key != "minimum"}
        if schema["type"][0] == "integer":
            plain = dict(schema)
        return {**plain, "type": schema["type"][0]}
    return dict(schema)


Scalar = Callable[[Json], Json]
"""Makes of a built-in schema that of a profile."""


def strict(schema: Json) -> Json:
    """The same, as it is."""
    return dict(schema)
