"""What an agent answers as the ProtoJSON that everything else relies on.

Nearly every answer is that already. It takes a look to see it, where protobuf would make a message of it and
ProtoJSON of that again; whatever is not as it should be is left to protobuf to understand, or to refuse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from portico.api import Json
from portico_plugins.a2a.protojson import BadJson, from_json, to_json

Check: TypeAlias = Callable[[Any], bool]

_TIMESTAMP: Final = re.compile(
    r"(?!0000)[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
    r"(?:\.(?!0+Z)(?:[0-9]{3}){1,3})?Z",
    re.ASCII,
)
"""As ProtoJSON writes them; without the day that is only in some years."""
_DEEPEST: Final = 50
"""Of values that may be anything; protobuf takes twice as many levels in all."""


def canonical(value: Any, kind: type[Message]) -> Json:
    """The ProtoJSON of a message: names in camelCase, nothing that is not of it, nothing that says nothing.

    Numbers in values that may be anything stay as they came.

    Args:
        value: What should be such a message. It may be given back.
        kind: The message's class.

    Raises:
        BadJson: It is something else.
    """
    descriptor: Any = kind.DESCRIPTOR
    if _of(descriptor)(value):
        return cast("Json", value)
    if not isinstance(value, dict):
        raise BadJson("expected an object")
    return to_json(from_json(value, kind, lenient=True))


class _Shape:
    """Says whether a value is the canonical form of a message; False also where that is too much to say."""

    __slots__ = ("_checks", "_either")

    def __init__(self) -> None:
        self._checks: Mapping[str, Check] = {}
        self._either: frozenset[str] = frozenset()

    def learn(self, kind: Descriptor) -> None:
        """Know the fields: later, since a message may be within itself."""
        self._checks = {field.json_name: _field(field) for field in kind.fields}
        groups = (group.fields for group in kind.oneofs if len(group.fields) > 1)
        self._either = frozenset(field.json_name for fields in groups for field in fields)

    def __call__(self, value: Any) -> bool:
        if type(value) is not dict:
            return False
        checks, either, chosen = self._checks, self._either, False
        for key, each in value.items():
            check = checks.get(key)
            if check is None or not check(each):
                return False
            if key in either:
                if chosen:
                    return False  # of two, protobuf says what becomes
                chosen = True
        return True


_shapes: Final[dict[str, Check]] = {}


def _of(kind: Descriptor) -> Check:
    known = _shapes.get(kind.full_name)
    if known is not None:
        return known
    made = _shapes[kind.full_name] = _Shape()
    made.learn(kind)
    return made


def _field(field: FieldDescriptor) -> Check:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return _never
    if not field.is_repeated:
        return _value(field, field.has_presence)
    check = _value(field, anything=True)
    return lambda value: type(value) is list and bool(value) and all(map(check, value))


def _value(field: FieldDescriptor, anything: bool) -> Check:
    """What a value of a field may be.

    Args:
        field: The field.
        anything: Whether it may be the default, which is left out otherwise.
    """
    message, enum = field.message_type, field.enum_type
    if message is not None:
        known = message.full_name.startswith("google.protobuf.")
        return _WELL_KNOWN.get(message.full_name, _never) if known else _of(message)
    if enum is not None:
        names = frozenset(each.name for each in enum.values if anything or each.number != 0)
        return lambda value: type(value) is str and value in names
    if field.type == FieldDescriptor.TYPE_STRING:
        return _text if anything else _some_text
    if field.type == FieldDescriptor.TYPE_BOOL:
        return _flag if anything else _yes
    return _never


def _never(value: Any) -> bool:
    return False


def _text(value: Any) -> bool:
    return type(value) is str


def _some_text(value: Any) -> bool:
    return type(value) is str and value != ""


def _flag(value: Any) -> bool:
    return type(value) is bool


def _yes(value: Any) -> bool:
    return value is True


def _timestamp(value: Any) -> bool:
    return type(value) is str and _TIMESTAMP.fullmatch(value) is not None


def _object(value: Any) -> bool:
    return type(value) is dict and _shallow(value, _DEEPEST)


def _anything(value: Any) -> bool:
    return value is not None and _shallow(value, _DEEPEST)


def _shallow(value: Any, left: int) -> bool:
    if type(value) is dict:
        return left > 0 and all(_shallow(each, left - 1) for each in value.values())
    if type(value) is list:
        return left > 0 and all(_shallow(each, left - 1) for each in value)
    return True


_WELL_KNOWN: Final[Mapping[str, Check]] = {
    "google.protobuf.Struct": _object,
    "google.protobuf.Value": _anything,
    "google.protobuf.Timestamp": _timestamp,
}
