"""The words of configuration messages: places, types, wrong values and nearest names."""

from __future__ import annotations

import enum
import functools
import os
import re
import stat
import types
import typing
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin

import attrs

from portico._core.contracts.config import Ref, Secret
from portico._core.specs import KINDS

Place = tuple[str | int, ...]
What = Literal["file", "folder", "either"]
"""What is expected at a path."""

ARRAYS: Final[dict[Any, Any]] = {
    list: list, tuple: tuple, set: set, frozenset: frozenset,
    Sequence: tuple, Collection: tuple, Iterable: tuple, AbstractSet: frozenset,
}  # fmt: skip
"""The array types a field may have -> what they are made as."""

SCALARS: Final[dict[Any, str]] = {
    bool: "a boolean", int: "an integer", float: "a number", str: "a string",
    Path: "a path", Secret: "a secret",
}  # fmt: skip

_EXPECTED: Final[dict[str, str]] = {"file": "a file", "folder": "a folder", "either": "a file or folder"}
_MOST_NAMES: Final = 5000
"""Of a folder, when a name like the wrong one is looked for."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Wrong(ValueError):
    """A value does not fit. `problems` has `(place below the value, message)` pairs."""

    def __init__(self, problems: Sequence[tuple[Place, str]]) -> None:
        super().__init__("; ".join(message for _, message in problems))
        self.problems = list(problems)


class Text(str):
    """A string from outside the document; `origin` says where from. Fields of other types may parse it."""

    __slots__ = ("origin",)
    origin: str

    def __new__(cls, text: str, origin: str) -> typing.Self:
        """Remember where it is from."""
        self = super().__new__(cls, text)
        self.origin = origin
        return self


def dotted(place: Place) -> str:
    """A place in dotted TOML notation: `upstreams.time.command[0]`."""
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            quoted = (
                step
                if _BARE_KEY.fullmatch(step)
                else '"' + step.replace("\\", "\\\\").replace('"', '\\"') + '"'
            )
            text += f".{quoted}" if text else quoted
    return text


def nearest(name: str, names: Iterable[str], known: str = "") -> str:
    """The end of an "unknown ..." message: the nearest of the right names, or all of them.

    Args:
        name: The wrong name.
        names: The right ones.
        known: What to call the list of right names when none is near; "" for saying nothing then.
    """
    choices = sorted(set(names))
    import difflib  # for a mistake only

    near = difflib.get_close_matches(name, choices, 1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; {known}: {', '.join(choices) or 'none'}" if known else ""


@functools.cache
def hints_of(cls: type) -> dict[str, Any]:
    """The resolved types of a class's fields.

    Raises:
        Wrong: A type cannot be resolved, usually because it is imported for type checkers only.
    """
    try:
        return typing.get_type_hints(cls)
    except NameError as exc:
        raise Wrong(
            [((), f"the plugin's {cls.__qualname__} has a field whose type cannot be resolved: {exc}")]
        ) from exc


def type_text(hint: Any) -> str:
    """What a person calls a type: "a number", "an array of strings" and the like."""
    origin, args = get_origin(hint), get_args(hint)
    if hint in SCALARS:
        return SCALARS[hint]
    if ref := ref_kind(hint):
        return f"the name of a configured {KINDS[ref].noun}"
    if origin in (Union, types.UnionType):
        return " or ".join(type_text(arg) for arg in args if arg is not types.NoneType)
    if choices := _choices(hint):
        return choices if ", " not in choices else f"one of {choices}"
    if origin in ARRAYS or hint in ARRAYS:
        return f"an array of {_plural(args[0])}" if args else "an array"
    if origin in (dict, Mapping):
        return f"a table of {_plural(args[1])}"
    return "a table" if attrs.has(hint) or hint in (dict, Mapping) else "anything"


def _plural(hint: Any) -> str:
    text = type_text(hint)
    article, _, noun = text.partition(" ")
    return f"{noun}s" if article in {"a", "an"} and " " not in noun else text


def ref_kind(hint: Any) -> str | None:
    """The kind (config table) the `Ref[...]` inside a type names; None where there is none."""
    if get_origin(hint) is Ref:
        contract = get_args(hint)[0]
        return next((table for table, kind in KINDS.items() if kind.contract is contract), None)
    return next((kind for arg in get_args(hint) if (kind := ref_kind(arg))), None)


def _choices(hint: Any) -> str:
    values = get_args(hint) if get_origin(hint) is Literal else members(hint)
    return ", ".join(repr(value) for value in values)


def members(hint: Any) -> list[Any]:
    return [member.value for member in list[Any](hint)] if isinstance(hint, enum.EnumMeta) else []


def shown(value: Any) -> str:
    """A wrong value as messages show it; never one from outside, which may be a secret in the wrong place."""
    if isinstance(value, Text):
        return f"text from {value.origin}"
    if isinstance(value, str):
        return f"the string {value!r}" if len(value) <= 64 else "a long string"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return f"the number {value!r}"
    return (
        "an array"
        if isinstance(value, list | tuple)
        else "a table"
        if isinstance(value, Mapping)
        else repr(value)
    )


def absence(path: Path, what: What = "file") -> str:
    """Why a file or folder that a configuration names cannot be used; "" when it can.

    Args:
        path: Where it should be, absolute.
        what: What it should be.
    """
    expected = _EXPECTED[what]
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return f"expected {expected}, but {_missing(path)}"
    except OSError as error:
        return f"expected {expected}, but {path} cannot be looked at: {error.strerror}"
    except ValueError:
        return f"expected {expected}, but this is no name that files have"
    folder = stat.S_ISDIR(found.st_mode)
    if what != "either" and folder is not (what == "folder"):
        return f"expected {expected}, but {path} is a {'folder' if folder else 'file'}"
    if not os.access(path, os.R_OK | (os.X_OK if folder else 0)):
        return f"expected {expected}, but {path} may not be read"
    return ""


def _missing(path: Path) -> str:
    """What there is not: the path itself, or the first folder on its way."""
    first = path
    while not first.parent.is_dir() and first.parent != first:
        first = first.parent
    try:
        with os.scandir(first.parent) as entries:
            names = [entry.name for entry in islice(entries, _MOST_NAMES)]
    except OSError:
        names = []
    names = [name for name in names if nearest(first.stem, [Path(name).stem])]  # not for a suffix alone
    of = "" if first == path else f" (for {path.relative_to(first.parent)})"
    return f"there is no {first}{of}{nearest(first.name, names)}"
