"""Text that stands for bytes: base64, which ProtoJSON's parser does not insist on.

It passes over every character that it cannot read, so that `hello world!` would be sent as other bytes.
"""

from __future__ import annotations

import re
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from .scalars import WELL_KNOWN

_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/_-]|\r?\n)*={0,2}\s*")
_BYTES_VALUE: Final = "google.protobuf.BytesValue"


def has_bytes(message: Descriptor) -> bool:
    """Whether there are bytes anywhere in a message."""
    seen: set[str] = set()
    todo = [message]
    while todo:
        one = todo.pop()
        if one.full_name in seen:
            continue
        seen.add(one.full_name)
        if any(field.type == FieldDescriptor.TYPE_BYTES for field in one.fields):
            return True
        todo += [field.message_type for field in one.fields if field.message_type is not None]
    return False


def not_base64(message: Descriptor, given: Any, place: str = "") -> str:
    """Where text that stands for bytes is no base64; "" for nowhere.

    Args:
        message: What is given.
        given: As JSON, which ProtoJSON's parser has taken: so it is not too deep.
        place: Where that is.
    """
    if message.full_name == _BYTES_VALUE:
        return (place or "value") if _spoilt(given) else ""
    if not isinstance(given, dict) or message.full_name in WELL_KNOWN:
        return ""
    fields = {str(field.json_name): field for field in message.fields}
    fields |= {str(field.name): field for field in message.fields}
    for name, value in given.items():
        field = fields.get(name)
        if field is None:
            continue  # an extension
        values = value if isinstance(value, list) else [value]
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            field = field.message_type.fields_by_name["value"]
            values = list(value.values()) if isinstance(value, dict) else []
        here = f"{place}.{name}" if place else str(name)
        for one in values:
            if field.type == FieldDescriptor.TYPE_BYTES:
                found = here if _spoilt(one) else ""
            else:
                found = not_base64(field.message_type, one, here) if field.message_type is not None else ""
            if found:
                return found
    return ""


def _spoilt(value: Any) -> bool:
    return isinstance(value, str) and _BASE64.fullmatch(value) is None
