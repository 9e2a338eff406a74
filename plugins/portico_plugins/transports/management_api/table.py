"""The route table: operations, what they take, and how a request finds its own."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import attrs
import msgspec

from portico.api import Author, Host, Json, Principal
from portico_plugins.transports.management_api.problems import Problem, unknown

PREFIX: Final = "/api/v1"
JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
REPLAYED: Final = {"idempotency-replayed": "true"}
"""The header of an answer to a request that had been carried out before."""
ETAGS: Final = r"""^(\*|(W/)?"[!#-~]*"( ?, ?(W/)?"[!#-~]*")*)$"""
"""What `If-Match` and `If-None-Match` hold (RFC 9110, 13.1)."""

_BOOLEANS: Final = {"true": True, "false": False}
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f]{1,512}")


@attrs.frozen
class Query:
    """A query parameter.

    Attributes:
        name: Its name.
        doc: What it does.
        type: `string`, `boolean` or `integer`.
        most: Of an integer, or the length of a string.
        least: Of an integer.
        choices: The only strings it may be, if any.
        many: Whether it may be repeated.
    """

    name: str
    doc: str
    type: str = "string"
    most: int = 512
    least: int = 0
    choices: tuple[str, ...] = ()
    many: bool = False

    def read(self, text: str) -> Any:
        """Its value.

        Raises:
            Problem: 400.
        """
        if self.type == "boolean" and text in _BOOLEANS:
            return _BOOLEANS[text]
        if self.type == "integer" and re.fullmatch(r"\d{1,18}", text, re.ASCII):
            number = int(text)
            if self.least <= number <= self.most:
                return number
        if self.type == "string" and len(text) <= self.most and (not self.choices or text in self.choices):
            return text
        raise Problem(
            400, "bad-query", "A query parameter is wrong", [(self.name, f"expected {self._expected()}")]
        )

    def _expected(self) -> str:
        if self.type == "boolean":
            return "true or false"
        if self.type == "integer":
            return f"a whole number from {self.least} to {self.most}"
        return f"one of {', '.join(self.choices)}" if self.choices else f"at most {self.most} characters"


@attrs.define(eq=False)
class Call:
    """One request, read and judged.

    Attributes:
        host: What the plugin was given.
        principal: Who is calling.
        author: How changes of theirs are signed.
        name: The record's name in the path, "" where there is none.
        query: Parameters by name; those not given are absent, those that may be repeated lists.
        headers: By name in lower case.
        body: Decoded JSON; None without a body.
        since: Seconds since 1970 from which on a request sent again is the same one.
    """

    host: Host
    principal: Principal
    author: Author
    name: str
    query: Mapping[str, Any]
    headers: Mapping[str, str]
    body: Any = None
    since: float = 0.0

    @property
    def dry_run(self) -> bool:
        """Whether it is only to be checked."""
        return bool(self.query.get("dry_run", False))

    @property
    def conditional(self) -> bool:
        """Whether it names the version it is based on."""
        return "if-match" in self.headers or "if-none-match" in self.headers


@attrs.frozen
class Answer:
    """What a request is answered.

    Attributes:
        status: The HTTP status.
        value: A struct; None for no content.
        headers: Besides those every answer has.
    """

    status: int
    value: msgspec.Struct | None
    headers: Mapping[str, str] = attrs.field(factory=dict)


Handler = Callable[[Call], Awaitable[Answer]]


@attrs.frozen
class Operation:
    """One method of one path.

    Attributes:
        method: The HTTP method.
        path: Below `PREFIX`; `{name}` stands for one segment.
        id: Its `operationId`.
        summary: One sentence.
        handler: Carries it out.
        answers: Status -> the struct it is answered with, None for none.
        query: What its query may have.
        body: The struct its body is; None for none.
        kind: The kind of record it is about, "" for several.
        problems: The statuses of its problems besides those any may have.
        conditional: Which of `if-match` and `if-none-match` it heeds.
        idempotent: Whether it heeds `Idempotency-Key`.
        media: The media types its body may have.
    """

    method: str
    path: str
    id: str
    summary: str
    handler: Handler
    answers: Mapping[int, type[msgspec.Struct] | None]
    query: tuple[Query, ...] = ()
    body: type[msgspec.Struct] | None = None
    kind: str = ""
    problems: tuple[int, ...] = ()
    conditional: tuple[str, ...] = ()
    idempotent: bool = False
    media: tuple[str, ...] = (JSON,)

    @property
    def segments(self) -> tuple[str, ...]:
        """The parts of its path."""
        return tuple(self.path.strip("/").split("/"))


def find(operations: Sequence[Operation], method: str, raw_path: bytes) -> tuple[Operation, str]:
    """The operation a request is for, and the name in its path.

    Literal paths come before those with a name in them. `HEAD` is `GET` without its body.

    Args:
        operations: The table.
        method: The HTTP method.
        raw_path: Percent-encoded, so that a name may have slashes in it.

    Raises:
        Problem: 404; 405 with `Allow`; 400 for a name that is none.
    """
    parts = raw_path.decode("latin-1").removeprefix(f"{PREFIX}/").split("/")
    matching = [each for each in operations if _fits(each.segments, parts)]
    if not matching:
        heads = {each.segments[0] for each in operations}
        raise Problem(404, "not-found", f"There is nothing here: {unknown('path', parts[0], heads)}")
    wanted = "GET" if method == "HEAD" else method
    found = [each for each in matching if each.method == wanted]
    if not found:
        allowed = {each.method for each in matching}
        allow = ", ".join(sorted(allowed | ({"HEAD"} if "GET" in allowed else set())))
        raise Problem(405, "method", f"{method[:32]} is not allowed here", headers={"allow": allow})
    operation = min(found, key=lambda each: "{name}" in each.segments)
    if "{name}" not in operation.segments:
        return operation, ""
    try:
        name = unquote(parts[operation.segments.index("{name}")], errors="strict")
    except UnicodeDecodeError:
        name = ""
    if not _NAME.fullmatch(name):
        raise Problem(
            400, "bad-name", "A name is UTF-8 text of 1 to 512 characters, without control characters"
        )
    return operation, name


def _fits(segments: Sequence[str], parts: Sequence[str]) -> bool:
    return len(segments) == len(parts) and all(
        segment in ("{name}", part) and part != "" for segment, part in zip(segments, parts, strict=True)
    )


def check_preconditions(operation: Operation, headers: Mapping[str, str]) -> None:
    """Whether the preconditions of a request are well-formed, and heeded by the operation.

    Raises:
        Problem: 400; one that is overlooked would be a change nobody wanted.
    """
    for name in ("if-match", "if-none-match"):
        text = headers.get(name)
        if text is None:
            continue
        if name in operation.conditional and not re.fullmatch(ETAGS, text):
            raise Problem(400, "bad-header", f'{name.title()} is * or entity tags in quotes, such as "3"')
        if name not in operation.conditional and operation.method != "GET":
            raise Problem(400, "bad-header", f"{name.title()} has no meaning here")


def read_query(operation: Operation, text: bytes) -> Json:
    """The query parameters by name.

    Raises:
        Problem: 400 with everything that is wrong.
    """
    known = {each.name: each for each in operation.query}
    out: Json = {}
    wrong: list[tuple[str, str]] = []
    try:
        pairs = parse_qsl(
            text.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=64,
            strict_parsing=bool(text),
        )
    except ValueError:
        raise Problem(400, "bad-query", "The query is not well-formed: name=value&..., UTF-8") from None
    for name, value in pairs:
        parameter = known.get(name)
        if parameter is None:
            wrong.append((name[:64], unknown("query parameter", name, known)))
        elif parameter.many:
            out.setdefault(name, []).append(parameter.read(value))
        elif name in out:
            wrong.append((name, "stands more than once"))
        else:
            try:
                out[name] = parameter.read(value)
            except Problem as problem:
                wrong += problem.errors
    if wrong:
        raise Problem(400, "bad-query", "A query parameter is wrong", wrong)
    return out
