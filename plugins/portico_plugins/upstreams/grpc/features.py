"""What descriptors say of fields besides their types: behaviours, defaults, presence, extensions."""

from __future__ import annotations

import base64
import math
import re
from typing import Any, Final

from google.api import field_behavior_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, OneofDescriptor

_BEHAVIOR: Final[Any] = field_behavior_pb2.field_behavior
_F = FieldDescriptor
_WIDE: Final = frozenset({_F.TYPE_INT64, _F.TYPE_SINT64, _F.TYPE_SFIXED64, _F.TYPE_UINT64, _F.TYPE_FIXED64})
_MOST_EXTENSIONS: Final = 200
_PORTABLE: Final = re.compile(r"[a-zA-Z0-9_.-]{1,64}")


def behaviors(field: FieldDescriptor) -> frozenset[int]:
    """The `google.api.field_behavior` of a field.

    In a pool of its own an option is of a class that does not know the extension: hence by way of bytes.
    """
    options = field.GetOptions()
    if not options.ByteSize():
        return frozenset()
    known = descriptor_pb2.FieldOptions.FromString(options.SerializeToString())
    return frozenset(known.Extensions[_BEHAVIOR])


def synthetic(oneof: OneofDescriptor) -> bool:
    """Whether a oneof only says that a proto3 field is `optional`."""
    return len(oneof.fields) == 1 and str(oneof.name).startswith("_")


def fields_of(message: Descriptor, *, portable: bool = False) -> list[tuple[str, FieldDescriptor]]:
    """The fields of a message and the extensions there are of it, by their names in JSON.

    Args:
        message: The message.
        portable: Only names that every model's API takes for those of arguments: a field with another has its
            name in the descriptor, which ProtoJSON takes too, and an extension is left out.
    """
    found = [
        (
            str(field.name)
            if portable and not _PORTABLE.fullmatch(field.json_name)
            else str(field.json_name),
            field,
        )
        for field in message.fields
    ]
    if message.is_extendable and not portable:
        extensions = sorted(message.file.pool.FindAllExtensions(message), key=lambda each: int(each.number))
        found += [(f"[{each.full_name}]", each) for each in extensions[:_MOST_EXTENSIONS]]
    return found


def default_of(field: FieldDescriptor) -> Any:
    """The default that a field's definition names, as JSON; None for none.

    Zeros are none: what is absent is zero without being told.
    """
    if field.is_repeated or field.message_type is not None or not field.has_default_value:
        return None
    value = field.default_value
    if field.enum_type is not None:
        found = field.enum_type.values_by_number.get(value)
        return str(found.name) if found is not None else None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return str(value) if field.type in _WIDE else value
