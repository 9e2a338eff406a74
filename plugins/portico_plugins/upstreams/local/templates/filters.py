"""The filters templates have: named as those of Jinja, but each is paid for before it does anything.

Those of Jinja are not used: several of them can be made to take as much time or memory as one wants.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Undefined

from portico_plugins.upstreams.local.templates.budget import SCALARS, spend, weighed, weight

MAX_INTEGER: Final = 2**63
"""Integers are smaller than this, either side of 0."""

_MAX_WIDTH: Final = 200
_MAX_DIGITS: Final = 400


class Unfit(ValueError):
    """A value a filter cannot do anything with."""


def text_of(value: Any) -> str:
    """A value as text; none of those that hold others is one."""
    if isinstance(value, Undefined):
        return str(value)  # strict ones raise
    if not isinstance(value, SCALARS):
        raise Unfit("only text and numbers can be put out; lists are joined with `|join`")
    return "" if value is None else str(value)


def _items(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value)
    if not isinstance(value, list | tuple | str):
        raise Unfit("expected a list")
    return list(value)


def each(value: Any, turn: int) -> list[Any]:
    """What a loop goes through; all its turns, of so much each, are paid for."""
    found = _items(value)
    spend(len(found) * (turn + 16))
    return found


def scalar(value: Any) -> Any:
    """An item of a list that is written out: were it a list itself, nesting could double it at every step."""
    if isinstance(value, Undefined):
        str(value)
    if not isinstance(value, SCALARS):
        raise Unfit("the items of a list that a template writes are text and numbers")
    return value


def concatenated(values: Iterable[Any]) -> str:
    """The `~` operator."""
    parts = [text_of(one) for one in values]
    spend(sum(map(len, parts)))
    return "".join(parts)


def join(value: Any, d: Any = "") -> str:
    """The items with `d` between them."""
    between = text_of(d)
    parts = [text_of(one) for one in _items(value)]
    spend(sum(map(len, parts)) + len(between) * len(parts))
    return between.join(parts)


def split(value: Any, d: str | None = None) -> list[str]:
    """The parts of a text between each `d`, by default between white space."""
    return text_of(value).split(d)


def lines(value: Any) -> list[str]:
    """The lines of a text."""
    return text_of(value).splitlines()


def replace(value: Any, old: str, new: str) -> str:
    """The text with another text for each `old`."""
    text = text_of(value)
    if not old:
        raise Unfit("`replace` needs a text to look for")
    old, new = text_of(old), text_of(new)
    spend(len(text) + text.count(old) * len(new))
    return text.replace(old, new)


def indent(value: Any, width: int = 4, first: bool = False) -> str:
    """The text with its lines moved to the right, the first one only if wanted."""
    if not isinstance(width, int) or not 0 <= width <= _MAX_WIDTH:
        raise Unfit(f"`indent` takes a width of 0 to {_MAX_WIDTH}")
    found = text_of(value).splitlines(keepends=True)
    spend(len(found) * width)
    return "".join(
        " " * width + line if line.strip() and (number or first) else line
        for number, line in enumerate(found)
    )


def truncate(value: Any, length: int = 255, end: str = "...") -> str:
    """The text, shortened to `length` characters with `end` as the last of them."""
    text = text_of(value)
    return text if len(text) <= length else text[: max(length - len(end), 0)] + end


def tojson(value: Any) -> str:
    """The value as JSON."""
    return json.dumps(value, ensure_ascii=False, default=text_of)


def urlencode(value: Any) -> str:
    """The text as it may stand in a URI."""
    return quote(text_of(value), safe="")


def escape(value: Any) -> str:
    """The text as it may stand in HTML and XML."""
    text = text_of(value)
    for char, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&#34;"), ("'", "&#39;")):
        text = text.replace(char, entity)
    return text


def _of_text(method: Callable[[str], Any]) -> Callable[..., Any]:
    return lambda value: method(text_of(value))


def trim(value: Any, chars: str | None = None) -> str:
    """The text without white space, or these characters, at both ends."""
    return text_of(value).strip(chars)


def items(value: Any) -> list[Any]:
    """The keys of a table with their values."""
    return list(value.items()) if isinstance(value, Mapping) else []


def reverse(value: Any) -> Any:
    """The text or list from its end."""
    return text_of(value)[::-1] if isinstance(value, str) else _items(value)[::-1]


def unique(value: Any) -> list[Any]:
    """Each item once."""
    return list(dict.fromkeys(map(scalar, _items(value))))


def sort(value: Any, reverse: bool = False) -> list[Any]:
    """The items in order; of texts, whatever their case."""
    found = _items(value)
    spend(weight(found) * 4)
    return sorted(found, key=lambda one: one.lower() if isinstance(one, str) else one, reverse=reverse)


def first(value: Any) -> Any:
    """The first item, or nothing."""
    return next(iter(_items(value)), "")


def last(value: Any) -> Any:
    """The last item, or nothing."""
    found = _items(value)
    return found[-1] if found else ""


def default(value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    """Another value where there is none; with `boolean`, also where it is empty."""
    return default_value if isinstance(value, Undefined) or (boolean and not value) else value


def _number(value: Any) -> int | float:
    if isinstance(value, Undefined) or not isinstance(value, int | float):
        raise Unfit(f"expected a number, not {text_of(value)[:40]!r}; `|int` and `|float` make one of text")
    return value


def bounded(value: Any) -> Any:
    """The number, if it is no integer that is too large to calculate with.

    Raises:
        Unfit: It is.
    """
    if isinstance(value, int) and abs(value) >= MAX_INTEGER:
        raise Unfit("a number becomes too large")
    return value


def integer(value: Any, default: int = 0) -> int:
    """The text or number as an integer; `default` where it is none."""
    try:
        return int(bounded(int(value if isinstance(value, int | float) else text_of(value)[:_MAX_DIGITS])))
    except (ValueError, OverflowError):
        return default


def decimal(value: Any, default: float = 0.0) -> float:
    """The text or number as a number; `default` where it is none."""
    try:
        return float(value if isinstance(value, int | float) else text_of(value)[:_MAX_DIGITS])
    except (ValueError, OverflowError):
        return default


def rounded(value: Any, precision: int = 0) -> float:
    """The number with so many digits after the point."""
    if not isinstance(precision, int) or not 0 <= precision <= 15:
        raise Unfit("`round` takes 0 to 15 digits")
    return round(float(_number(value)), precision)


def length(value: Any) -> int:
    """How many characters or items there are."""
    return len(value) if isinstance(value, str | list | tuple | Mapping) else len(_items(value))


def total(value: Any) -> Any:
    """The numbers of a list together."""
    return bounded(sum(_number(one) for one in _items(value)))


def _charged(function: Callable[..., Any]) -> Callable[..., Any]:
    def charged(value: Any, *args: Any, **named: Any) -> Any:
        spend(weight(value))
        made = function(value, *args, **named)
        if made is not value:
            spend(weight(made))
        return made

    return charged


_PLAIN: Final[dict[str, Callable[..., Any]]] = {
    "abs": lambda value: abs(_number(value)),
    "capitalize": _of_text(str.capitalize),
    "count": length,
    "d": default,
    "default": default,
    "e": escape,
    "escape": escape,
    "first": first,
    "float": decimal,
    "indent": indent,
    "int": integer,
    "items": items,
    "join": join,
    "last": last,
    "length": length,
    "lines": lines,
    "list": _items,
    "lower": _of_text(str.lower),
    "max": lambda value: max(_items(value), default=""),
    "min": lambda value: min(_items(value), default=""),
    "replace": replace,
    "reverse": reverse,
    "round": rounded,
    "sort": sort,
    "split": split,
    "string": text_of,
    "sum": total,
    "title": _of_text(str.title),
    "tojson": tojson,
    "trim": trim,
    "truncate": truncate,
    "unique": unique,
    "upper": _of_text(str.upper),
    "urlencode": urlencode,
    "wordcount": lambda value: len(text_of(value).split()),
}

EACH: Final = "(each)"
SCALAR: Final = "(scalar)"
CONCATENATED: Final = "(concatenated)"
WEIGHED: Final = "(weighed)"
"""Filters that are put into templates where they are checked; no template can write such names."""

FILTERS: Final[dict[str, Callable[..., Any]]] = {
    name: _charged(function) for name, function in _PLAIN.items()
}
"""What a template may use, by name."""

INTERNAL: Final[dict[str, Callable[..., Any]]] = {
    EACH: each,
    SCALAR: scalar,
    CONCATENATED: concatenated,
    WEIGHED: weighed,
}

TESTS: Final[dict[str, Callable[..., Any]]] = {
    "defined": lambda value: not isinstance(value, Undefined),
    "undefined": lambda value: isinstance(value, Undefined),
    "none": lambda value: value is None,
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int | float),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "mapping": lambda value: isinstance(value, Mapping),
    "sequence": lambda value: isinstance(value, str | list | tuple),
    "odd": lambda value: _number(value) % 2 == 1,
    "even": lambda value: _number(value) % 2 == 0,
    "divisibleby": lambda value, by: _number(value) % _number(by) == 0,
    "in": lambda value, there: value in _items(there),
}
"""The tests a template may use; `==` and its like are there without."""
