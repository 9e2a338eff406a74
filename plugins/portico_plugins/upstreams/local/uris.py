"""URI templates of resources (RFC 6570): which there may be, and what a URI says the variables are.

The kernel knows only whether a URI can be of a template. Here its parts are told apart, from left to right
and without going back: a variable ends where the text after it first stands.
"""

from __future__ import annotations

import functools
import re
from typing import Final
from urllib.parse import parse_qsl, unquote_to_bytes

import attrs

MAX_VARIABLES: Final = 16
MAX_VALUE: Final = 1024
"""The most characters the value of a variable may have."""

_EXPRESSION: Final = re.compile(r"\{([^{}]*)\}")
_INSIDE: Final = re.compile(r"([+#./?]?)([A-Za-z][A-Za-z0-9_]*(?:,[A-Za-z][A-Za-z0-9_]*)*)")
_FORMS: Final = "{name}, {+name}, {#name}, {.name}, {/name} and, at the end, {?name,other}"
_BEGINS: Final = {"": "", "+": "", "#": "#", ".": ".", "/": "/"}
_BETWEEN: Final = {"": ",", "+": ",", "#": ",", ".": ".", "/": "/"}
_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s\x00-\x20\x7f]+")


def is_template(uri: str) -> bool:
    """Whether a URI has variables."""
    return "{" in uri or "}" in uri


@attrs.frozen
class Place:
    """A variable with the text before it.

    Attributes:
        before: That text.
        name: Of the variable.
        reserved: Whether its value may have `/`, `?` and `#` in it.
    """

    before: str
    name: str
    reserved: bool


@attrs.frozen
class Pattern:
    """A URI template.

    Attributes:
        places: Its variables in their order.
        tail: The text after the last.
        query: The variables of the query; any of them may be absent.
    """

    places: tuple[Place, ...]
    tail: str
    query: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All its variables."""
        return (*(place.name for place in self.places), *self.query)

    def values(self, uri: str) -> dict[str, str] | None:
        """What a URI says the variables are; None when it is none of this template."""
        rest, mark, query = uri.partition("?") if self.query else (uri, "", "")
        out: dict[str, str] = {}
        for at, place in enumerate(self.places):
            if not rest.startswith(place.before):
                return None
            rest = rest[len(place.before) :]
            after = self.places[at + 1].before if at + 1 < len(self.places) else None
            end = rest.find(after) if after is not None else len(rest) - len(self.tail)
            if end <= 0:
                return None
            value = _value(rest[:end], reserved=place.reserved)
            if value is None:
                return None
            out[place.name], rest = value, rest[end:]
        if rest != self.tail:
            return None
        asked = _asked(query) if mark else {}
        if asked is None or not asked.keys() <= set(self.query):
            return None
        return {**out, **{name: asked.get(name, "") for name in self.query}}


def _value(text: str, *, reserved: bool) -> str | None:
    """The value that stands in a URI as this; None when none does."""
    if not reserved and any(char in text for char in "/?#"):
        return None
    try:
        value = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        return None
    return value if _fit(value) else None


def _fit(value: str) -> bool:
    return len(value) <= MAX_VALUE and value.isprintable()


def _asked(query: str) -> dict[str, str] | None:
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=bool(query), errors="strict", max_num_fields=64
        )
    except ValueError:  # a UnicodeDecodeError is one
        return None
    out = dict(pairs)
    return out if len(out) == len(pairs) and all(map(_fit, out.values())) else None


@functools.lru_cache(2048)
def pattern(uri: str) -> Pattern:
    """A URI template.

    Raises:
        ValueError: It is none, or of a form that is not possible here.
    """
    places: list[Place] = []
    query: tuple[str, ...] = ()
    at, before = 0, ""
    for match in _EXPRESSION.finditer(uri):
        before += uri[at : match.start()]
        at = match.end()
        inside = _INSIDE.fullmatch(match[1])
        if inside is None or query:
            raise ValueError(f"{match[0]} is not possible here; there are {_FORMS}")
        operator, names = inside[1], tuple(inside[2].split(","))
        if operator == "?":
            query = names
            continue
        for number, name in enumerate(names):
            before += _BETWEEN[operator] if number else _BEGINS[operator]
            if places and not before:
                raise ValueError(f"there is nothing between {{{places[-1].name}}} and {{{name}}}")
            places.append(Place(before, name, operator in ("+", "#")))
            before = ""
    tail = before + uri[at:]
    if query and not uri.endswith("}"):
        raise ValueError("nothing stands behind {?...}")
    made = Pattern(tuple(places), tail, query)
    literal = "".join(place.before for place in places) + tail
    if "{" in literal or "}" in literal:
        raise ValueError("a brace stands alone")
    if len(made.names) > MAX_VARIABLES or len(set(made.names)) < len(made.names):
        raise ValueError(f"expected at most {MAX_VARIABLES} variables, each of them once")
    return made


def names(uri: str) -> tuple[str, ...]:
    """The variables of a URI template; none of a URI, or of what is neither."""
    try:
        return pattern(uri).names if is_template(uri) else ()
    except ValueError:
        return ()


def problem(uri: str) -> str:
    """What is wrong with the URI or URI template of a resource; "" when nothing is."""
    if not _ABSOLUTE.fullmatch(uri) or uri.startswith("{"):
        return f"expected a URI with its scheme, got {uri[:128]!r}"
    if is_template(uri):
        try:
            pattern(uri)
        except ValueError as error:
            return str(error)
    return ""
