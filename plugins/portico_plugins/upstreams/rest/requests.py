"""Arguments of a call as an HTTP request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote, urlsplit

import attrs
import msgspec

from portico.api import INVALID_PARAMS, Json, Refused, Secret
from portico_plugins.upstreams.checks import header_problem

from . import bodies, styles
from .document import Unfit
from .parameters import Parameter
from .security import Additions
from .tools import Tool

_LONGEST_TARGET: Final = 16 * 1024
_encode = msgspec.json.Encoder().encode


@attrs.frozen(eq=False)
class Request:
    """A request, ready to send.

    Attributes:
        method: The HTTP method.
        origin: `http://host:port` or `https://...`.
        target: Path and query.
        headers: Lower-case name -> `(name, value)`.
        body: The body, None for none.
    """

    method: str
    origin: str
    target: str
    headers: dict[str, tuple[str, str]]
    body: bytes | None


def request_of(
    tool: Tool, arguments: Json, passed: Mapping[str, str], additions: Iterable[Additions], most: int
) -> Request:
    """The request that a call stands for.

    Args:
        tool: The tool.
        arguments: What the client gave, checked against the schema.
        passed: Headers of the client's request that are sent on.
        additions: What the configuration adds; later ones take the place of earlier ones, and all of them of
            what the client gave.
        most: The most bytes the body may have.

    Raises:
        Refused: -32602: an argument cannot be sent.
    """
    members = tool.arguments.members  # null is a value in a body
    given = {
        **tool.defaults,
        **{key: value for key, value in arguments.items() if value is not None or key in members},
        **tool.fixed,
    }
    headers: dict[str, tuple[str, str]] = {"accept": ("Accept", tool.accept)} if tool.accept else {}
    query: styles.Pairs = []
    cookies: styles.Pairs = []
    places: dict[str, str] = {}
    whole = ""
    # What is fixed comes last and takes the place of what has its name: an object that is written as
    # parameters of its own, or a header in other letters, could set it otherwise.
    for argument in sorted(tool.arguments.parameters, key=tool.fixed.__contains__):
        if argument not in given:
            continue
        parameter, value, own = tool.arguments.parameters[argument], given[argument], argument in tool.fixed
        try:
            if parameter.location == "path":
                places[parameter.name] = styles.path(parameter, value)
            elif parameter.location == "query":
                query = _written(query, parameter, styles.query(parameter, value), own)
            elif parameter.location == "querystring" and parameter.json:
                whole = quote(_encode(value).decode(), safe="")
            elif parameter.location == "querystring":
                query = _written(query, parameter, _form(value), own)
            elif parameter.location == "cookie":
                cookies = _written(cookies, parameter, styles.cookie(parameter, value), own)
            else:
                _add(headers, parameter.name, styles.header(parameter, value))
        except Unfit as reason:
            raise _invalid(argument, str(reason)) from None
    body = None
    there, value = tool.arguments.of_body(given)
    if tool.arguments.body is not None and there:
        name = tool.arguments.body_name or "body"
        try:
            body, media_type = bodies.written(tool.arguments.body, value)
        except Unfit as reason:
            raise _invalid(name, str(reason)) from None
        if len(body) > most:
            raise _invalid(name, f"more than {most} bytes")
        headers["content-type"] = ("Content-Type", media_type)
    for name, value in passed.items():
        _add(headers, name, value)
    for more in additions:
        for name, value in more.headers.items():
            headers[name.lower()] = (name, value)
        query = _replaced(query, more.query, quote)
        cookies = _replaced(cookies, more.cookies, str)
    if cookies:
        headers["cookie"] = ("Cookie", "; ".join(f"{name}={value}" for name, value in cookies))
    return _assembled(tool, places, whole, query, headers, body)


def _assembled(
    tool: Tool,
    places: Mapping[str, str],
    whole: str,
    query: styles.Pairs,
    headers: dict[str, tuple[str, str]],
    body: bytes | None,
) -> Request:
    missing = [name for name in tool.path_names if name not in places]
    if missing:
        raise _invalid(missing[0], "it is a part of the path, and missing")
    try:
        path, more = styles.filled(tool.path, places)
    except Unfit as reason:
        raise Refused(INVALID_PARAMS, f"Invalid params: {reason}") from None
    origin, begin = _begin(tool.base)
    written = "&".join([*filter(None, (more, whole)), *(f"{name}={value}" for name, value in query)])
    target = f"{begin}{path}?{written}" if written else f"{begin}{path}"
    if len(target) > _LONGEST_TARGET:
        raise Refused(INVALID_PARAMS, "Invalid params: the arguments are too long for an address")
    if body is None and tool.method in ("POST", "PUT", "PATCH"):
        body = b""
    return Request(tool.method, origin, target, headers, body)


@lru_cache(1024)
def _begin(base: str) -> tuple[str, str]:
    """The origin of a base URL, and what every path begins with."""
    parts = urlsplit(base)
    return f"{parts.scheme}://{parts.netloc}", quote(parts.path, safe="/:@!$&()*+,;=~%")


def _add(headers: dict[str, tuple[str, str]], name: str, value: str) -> None:
    """Add a header of the client's.

    Raises:
        Refused: -32602: its value has characters no header may have.
    """
    if value and header_problem(name, value):
        raise _invalid(name, "it goes to a header, and has characters none may have")
    if value:
        headers[name.lower()] = (name, value)


def _form(value: Any) -> styles.Pairs:
    """A value that is the whole query, as its pairs.

    Raises:
        Unfit: It is no object.
    """
    if not isinstance(value, dict):
        raise Unfit("it is a form: expected an object")
    return [pair for name, item in value.items() for pair in bodies.pairs_of(name, item, bodies.PLAIN)]


def _written(found: styles.Pairs, parameter: Parameter, more: styles.Pairs, fixed: bool) -> styles.Pairs:
    """Pairs with more of them, which if they are fixed are the only ones of their names."""
    if not fixed:
        return found + more
    taken = {quote(parameter.name, safe=""), *(name for name, _ in more)}
    return [pair for pair in found if pair[0] not in taken] + more


def _replaced(found: styles.Pairs, more: Mapping[str, Secret], write: Any) -> styles.Pairs:
    """Pairs, with those that the configuration sets in place of any of their names."""
    if not more:
        return found
    added = {quote(name, safe=""): write(value.reveal()) for name, value in more.items()}
    return [pair for pair in found if pair[0] not in added] + list(added.items())


def _invalid(argument: str, reason: str) -> Refused:
    return Refused(INVALID_PARAMS, f"Invalid params: {argument!r}: {reason}")
