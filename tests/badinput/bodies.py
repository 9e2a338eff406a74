"""Malformed bodies, each made from a valid message, and the one code that answers it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

from portico.api import Json

Make = Callable[[Json], bytes]

encode = msgspec.json.encode
PARSE, INVALID, PARAMS = -32700, -32600, -32602


def _text(change: Callable[[bytes], bytes]) -> Make:
    return lambda message: change(encode(message))


def _with(**members: object) -> Make:
    return lambda message: encode({**message, **members})


def _without(*names: str) -> Make:
    return lambda message: encode({k: v for k, v in message.items() if k not in names})


def _raw_param(value: bytes) -> Make:
    """The message with one more param of this text."""

    def make(message: Json) -> bytes:
        params = {**message["params"], "zz": "@@"}
        return encode({**message, "params": params}).replace(b'"@@"', value)

    return make


def _twice_in_params(message: Json) -> bytes:
    return encode(message).replace(b'"params":{', b'"params":{"zz":1,"zz":2,', 1)


def _twice_escaped(message: Json) -> bytes:
    return encode(message)[:-1] + b',"\\u006dethod":"tools/call"}'


def _many_names(message: Json) -> bytes:
    names = b",".join(b'"k%d":1' % n for n in range(2000))
    return encode(message).replace(b'"params":{', b'"params":{' + names + b',"k7":1,', 1)


BODIES: Final[dict[str, tuple[Make, int]]] = {
    "empty": (lambda _: b"", PARSE),
    "blank": (lambda _: b" \r\n\t ", PARSE),
    "word": (lambda _: b"hello", PARSE),
    "cut off": (_text(lambda b: b[:-1]), PARSE),
    "cut off in a string": (_text(lambda b: b[: b.rindex(b'"')]), PARSE),
    "more after the end": (_text(lambda b: b + b"}"), PARSE),
    "two messages": (_text(lambda b: b + b"\n" + b), PARSE),
    "single quotes": (_text(lambda b: b.replace(b'"', b"'")), PARSE),
    "a comment": (_text(lambda b: b"/* */" + b), PARSE),
    "a trailing comma": (_text(lambda b: b[:-1] + b",}"), PARSE),
    "a bare name": (_text(lambda b: b.replace(b'"method"', b"method")), PARSE),
    "NaN": (_raw_param(b"NaN"), PARSE),
    "Infinity": (_raw_param(b"-Infinity"), PARSE),
    "1e999": (_raw_param(b"1e999"), PARSE),
    "5000 digits": (_raw_param(b"9" * 5000), PARSE),
    "a leading zero": (_raw_param(b"007"), PARSE),
    "a lone surrogate": (_raw_param(b'"\\ud800"'), PARSE),
    "a raw control character": (_raw_param(b'"\x01"'), PARSE),
    "a raw NUL": (_raw_param(b'"\x00"'), PARSE),
    "an escape that is none": (_raw_param(b'"\\x41"'), PARSE),
    "invalid UTF-8": (_raw_param(b'"\xc3\x28"'), PARSE),
    "overlong UTF-8": (_raw_param(b'"\xc0\xaf"'), PARSE),
    "a surrogate in UTF-8": (_raw_param(b'"\xed\xa0\x80"'), PARSE),
    "UTF-16": (_text(lambda b: b.decode().encode("utf-16")), PARSE),
    "UTF-16 without a mark": (_text(lambda b: b.decode().encode("utf-16-le")), PARSE),
    "UTF-32": (_text(lambda b: b.decode().encode("utf-32")), PARSE),
    "a byte order mark": (_text(lambda b: b"\xef\xbb\xbf" + b), PARSE),
    "gzip": (lambda _: b"\x1f\x8b\x08\x00\x00\x00\x00\x00", PARSE),
    "200,000 brackets": (lambda _: b"[" * 200_000, PARSE),
    "200,000 braces": (lambda _: b'{"a":' * 200_000, PARSE),
    "nested 65 deep": (_raw_param(b"[" * 65 + b"]" * 65), PARSE),
    "quotes that never end": (lambda _: b'"' + b'\\"' * 200_000 + b"[" * 100, PARSE),
    "method twice": (_text(lambda b: b[:-1] + b',"method":"tools/call"}'), PARSE),
    "method twice, once escaped": (_twice_escaped, PARSE),
    "id twice": (_text(lambda b: b[:-1] + b',"id":2}'), PARSE),
    "params twice": (_text(lambda b: b[:-1] + b',"params":{}}'), PARSE),
    "a param twice": (_twice_in_params, PARSE),
    "one of 2000 params twice": (_many_names, PARSE),
    "null": (lambda _: b"null", INVALID),
    "true": (lambda _: b"true", INVALID),
    "a number": (lambda _: b"42", INVALID),
    "a string": (lambda _: b'"tools/call"', INVALID),
    "an empty object": (lambda _: b"{}", INVALID),
    "a batch": (_text(lambda b: b"[" + b + b"]"), INVALID),
    "an empty batch": (lambda _: b"[]", INVALID),
    "no jsonrpc": (_without("jsonrpc"), INVALID),
    "jsonrpc 1.0": (_with(jsonrpc="1.0"), INVALID),
    "jsonrpc as a number": (_with(jsonrpc=2.0), INVALID),
    "jsonrpc null": (_with(jsonrpc=None), INVALID),
    "id null": (_with(id=None), INVALID),
    "id fractional": (_with(id=1.5), INVALID),
    "id true": (_with(id=True), INVALID),
    "id an object": (_with(id={"id": 1}), INVALID),
    "id an array": (_with(id=[1]), INVALID),
    "no method": (_without("method"), INVALID),
    "method empty": (_with(method=""), INVALID),
    "method a number": (_with(method=1), INVALID),
    "method null": (_with(method=None), INVALID),
    "method an array": (_with(method=["tools/call"]), INVALID),
    "method endless": (_with(method="m" * 100_000), INVALID),
    "Method": (_text(lambda b: b.replace(b'"method"', b'"Method"')), INVALID),
    "a notification with an id": (_with(method="notifications/cancelled"), INVALID),
    "params null": (_with(params=None), INVALID),
    "params an array": (_with(params=[]), INVALID),
    "params a string": (_with(params="x"), INVALID),
    "params a number": (_with(params=0), INVALID),
    "result and error": (
        lambda m: encode({"jsonrpc": "2.0", "id": 1, "result": {}, "error": {}}),
        INVALID,
    ),
    "a result that is none": (lambda m: encode({"jsonrpc": "2.0", "id": 1, "result": []}), INVALID),
    "an answer without an id": (lambda m: encode({"jsonrpc": "2.0", "result": {}}), INVALID),
    "_meta an array": (lambda m: encode({**m, "params": {**m["params"], "_meta": []}}), PARAMS),
    "_meta a string": (lambda m: encode({**m, "params": {**m["params"], "_meta": "x"}}), PARAMS),
}

# What an implementation may let slip: frames of a traceback, paths, Python's and its libraries' names.
_LEAK: Final = re.compile(
    rb"Traceback|File \"|\.py\b|/(?:home|root|work|usr|tmp|etc)/|[A-Z]\w+(?:Error|Exception)\b|0x[0-9a-f]{6}"
    rb"|msgspec|starlette|portico\.|asyncio|<class|object at|NoneType|'dict'|'list'|'str'|unhashable"
)


def leaks(body: bytes) -> bytes | None:
    """The first thing in a body that shows what is inside."""
    found = _LEAK.search(body)
    return found and found[0]
