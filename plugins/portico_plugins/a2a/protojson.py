"""Messages of A2A as JSON, and back: ProtoJSON, in which numbers in free-form values stay what they were.

Imports protobuf: for code that knows the extra to be there.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar, cast

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message

from portico.api import Json

M = TypeVar("M", bound=Message)

_EXACT: Final = 2.0**53
"""Up to here a double holds every integer."""


class BadJson(ValueError):
    """It is not the ProtoJSON of that message; says where, and is short enough to be shown."""


def to_json(message: Message) -> Json:
    """The ProtoJSON of a message, names in camelCase; fields that are not set are left out.

    A `Value` knows doubles only, so that 5 comes out of it as 5.0: such numbers are integers again here.
    """
    return cast("Json", _whole(MessageToDict(message)))


def from_json(value: Json, kind: type[M], *, lenient: bool = False) -> M:
    """The message that a JSON object stands for.

    Args:
        value: ProtoJSON.
        kind: The message's class.
        lenient: Whether members that this version of the protocol does not know are passed over.

    Raises:
        BadJson: It is something else.
    """
    made: M = kind()
    try:
        ParseDict(value, made, ignore_unknown_fields=lenient)
    except (ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadJson(str(error)[:300] or type(error).__name__) from None
    return made


def _whole(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= _EXACT else value
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return value
