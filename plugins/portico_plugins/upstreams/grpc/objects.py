"""Arguments that are no objects where messages are, and nulls in maps, of which the parser says little."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from .scalars import WELL_KNOWN

_NULLS: Final = frozenset({"google.protobuf.Value", "google.protobuf.NullValue"})
"""Types of which null is a value like others."""


def misplaced(message: Descriptor, given: Any, place: str = "") -> str:
    """What is wrong with the first null in a map, or first value that is no object for a message, if any is.

    Args:
        message: What is given.
        given: As JSON, which ProtoJSON's parser has refused.
        place: Where that is.

    Raises:
        RecursionError: It is nested too deeply.
    """
    if message.full_name in WELL_KNOWN:
        return ""
    if not isinstance(given, dict):
        return f"{place or 'the message'}: expected an object, got {_kind(given)}"
    fields = {str(field.json_name): field for field in message.fields}
    fields |= {str(field.name): field for field in message.fields}
    for name, value in given.items():
        field = fields.get(name)
        if field is None or value is None:
            continue
        here = f"{place}.{name}" if place else str(name)
        values: list[tuple[str, Any]] = [(here, value)]
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            if not isinstance(value, dict):
                return f"{here}: expected an object, got {_kind(value)}"
            field = field.message_type.fields_by_name["value"]
            values = [(f'{here}["{key}"]', each) for key, each in value.items()]
            for spot, each in values:
                if each is None and _type(field) not in _NULLS:
                    return f"{spot}: null is no value of a map"
        elif field.is_repeated:
            values = (
                [(f"{here}[{n}]", each) for n, each in enumerate(value)] if isinstance(value, list) else []
            )
        if field.message_type is not None:
            for spot, each in values:
                found = misplaced(field.message_type, each, spot)
                if found:
                    return found
    return ""


def _type(field: FieldDescriptor) -> str:
    of = field.message_type or field.enum_type
    return str(of.full_name) if of is not None else ""


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    return {bool: "a boolean", str: "a string", list: "an array"}.get(type(value), "a number")
