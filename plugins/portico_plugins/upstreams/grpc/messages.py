"""JSON to protobuf and back. Large ones in a thread, so that other calls go on."""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

import msgspec
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import DecodeError, EncodeError

from portico.api import Json

from .base64s import not_base64
from .methods import MESSAGES, Method
from .objects import misplaced
from .schemas import WRAPPED, is_object

_BIG: Final = 64 * 1024
"""Bytes from which on the work is done in a thread: about 10 ms."""
_BROKEN: Final = (
    DecodeError,
    EncodeError,
    TypeError,
    ValueError,
    KeyError,
    AttributeError,
    OverflowError,
    RecursionError,
)


class BadArguments(Exception):
    """The arguments do not fit the message; says where and why, for the model.

    Attributes:
        lacking: The type in an `Any` that is not known; "" when it is not that.
    """

    def __init__(self, said: str, lacking: str = "") -> None:
        super().__init__(said)
        self.lacking = lacking


class BadMessage(Exception):
    """The server's message cannot be read, or written as JSON.

    Attributes:
        lacking: As of `BadArguments`.
    """

    def __init__(self, said: str, lacking: str = "") -> None:
        super().__init__(said)
        self.lacking = lacking


class _Types:
    """A pool that remembers what it was asked for in vain."""

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool
        self.lacking = ""

    def FindMessageTypeByName(self, name: str) -> Any:  # noqa: N802 - protobuf's name for it
        try:
            return self._pool.FindMessageTypeByName(name)
        except KeyError:
            self.lacking = name
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)


async def encode(method: Method, arguments: Json) -> list[bytes]:
    """The messages that a tool's arguments stand for.

    Raises:
        BadArguments: They do not fit.
    """
    try:
        size = len(msgspec.json.encode(arguments))
    except RecursionError:
        raise BadArguments("they are nested too deeply") from None
    return (
        _encoded(method, arguments) if size < _BIG else await asyncio.to_thread(_encoded, method, arguments)
    )


def _encoded(method: Method, arguments: Json) -> list[bytes]:
    if not method.takes_many:
        return [_one(method, _unwrapped(method, arguments), "")]
    extra = [name for name in arguments if name != MESSAGES]
    given = arguments.get(MESSAGES)
    if extra or not isinstance(given, list):
        raise BadArguments(f"expected a list in `{MESSAGES}` and nothing else")
    return [_one(method, each, f"{MESSAGES}[{index}]: ") for index, each in enumerate(given)]


def _unwrapped(method: Method, arguments: Json) -> Any:
    if not method.wrapped_input:
        return arguments
    if list(arguments) != [WRAPPED]:
        raise BadArguments(f"expected `{WRAPPED}` and nothing else")
    return arguments[WRAPPED]


def _one(method: Method, given: Any, where: str) -> bytes:
    if method.takes_many and not isinstance(given, dict) and is_object(method.input.DESCRIPTOR):
        raise BadArguments(f"{where}expected an object")
    types = _Types(method.pool)
    try:
        message = ParseDict(given, method.input(), descriptor_pool=cast("DescriptorPool", types))
        encoded = bytes(message.SerializeToString())
    except (ParseError, *_BROKEN) as error:
        raise BadArguments(f"{where}{_why(method, given, error)}"[:2000], types.lacking) from None
    spoilt = not_base64(method.input.DESCRIPTOR, given) if method.bytes_in else ""
    if spoilt:
        raise BadArguments(f"{where}{spoilt} stands for bytes: expected base64"[:2000])
    return encoded


def _why(method: Method, given: Any, error: Exception) -> str:
    """Why arguments were refused."""
    try:
        if not isinstance(error, RecursionError):
            return misplaced(method.input.DESCRIPTOR, given) or str(error)
    except RecursionError:
        pass
    return "it is nested too deeply"


async def decode(method: Method, raw: bytes) -> Any:
    """The JSON value of a message the server sent.

    Raises:
        BadMessage: It is not what its descriptor says, or has no JSON form.
    """
    return _decoded(method, raw) if len(raw) < _BIG else await asyncio.to_thread(_decoded, method, raw)


def _decoded(method: Method, raw: bytes) -> Any:
    types = _Types(method.pool)
    try:
        message = method.output.FromString(raw)
        return MessageToDict(
            message, descriptor_pool=cast("DescriptorPool", types), always_print_fields_with_no_presence=True
        )
    except _BROKEN as error:
        raise BadMessage(type(error).__name__, types.lacking) from None
