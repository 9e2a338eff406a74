"""Strict structuring: plain data from a config file to attrs classes, with every problem and its place.

Plain cattrs would turn `"false"` into True and `"7"` into 7, and stop at constructor errors. Here only a
value from outside the document (environment, file, flag) may be parsed, because it can only be text.
"""

from __future__ import annotations

import enum
import functools
import math
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin

import attrs

from portico._config.wording import (
    ARRAYS,
    SCALARS,
    Place,
    Text,
    Wrong,
    hints_of,
    members,
    nearest,
    shown,
    type_text,
)
from portico._core.contracts.config import Ref, Secret

if TYPE_CHECKING:
    from cattrs import Converter

T = TypeVar("T")
Hook = Callable[[Any, Any], Any]

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def structured(value: Any, cls: type[T], base: Path) -> T:
    """Turn plain data into an instance of an attrs class.

    Args:
        value: What the config file has there.
        cls: The attrs class.
        base: The folder relative paths are relative to; `Path` fields come out absolute, `~` expanded.

    Raises:
        Wrong: With every problem there is.
    """
    result: T = _converter(base).structure(value, cls)
    return result


def _wrong(expected: str, value: Any, hint: str = "") -> Wrong:
    return Wrong([((), f"expected {expected}, got {shown(value)}{hint}")])


def _scalar(value: Any, hint: Any) -> Any:
    """A boolean, integer, number or string, or whatever subclass of these (an enum) the type is."""
    if isinstance(hint, enum.EnumMeta):
        return hint(_choice(value, members(hint), hint))
    name = SCALARS[hint]
    if hint is str:
        if isinstance(value, str):
            return str(value)
    elif isinstance(value, Text):
        try:
            value = _BOOLEANS[value.strip().lower()] if hint is bool else hint(value)
        except (KeyError, ValueError):
            raise _wrong(name, value) from None
    if type(value) is hint or (hint is float and type(value) is int):
        if hint is float and not math.isfinite(value):
            raise _wrong("a finite number", value)
        return hint(value)
    raise _wrong(name, value)


def _choice(value: Any, choices: Sequence[Any], hint: Any) -> Any:
    for choice in choices:
        if choice == value and (type(choice) is type(value) or isinstance(value, Text)):
            return choice
        if (
            isinstance(value, Text)
            and not isinstance(choice, str)
            and repr(choice).lower() == value.strip().lower()
        ):
            return choice
    near = nearest(value, [c for c in choices if isinstance(c, str)]) if isinstance(value, str) else ""
    raise _wrong(type_text(hint), value, near)


def _literal(hint: Any, _: Converter) -> Hook:
    return lambda value, _: _choice(value, get_args(hint), hint)


def _secret(value: Any, _: Any) -> Secret:
    if not isinstance(value, str):
        raise Wrong([((), "expected a string (a secret)")])
    return Secret(str(value))


def _ref(value: Any, hint: Any) -> Ref[Any]:
    if not isinstance(value, str):
        raise _wrong(type_text(hint), value)
    return Ref(str(value))


def _plain(value: Any, _: Any = None) -> Any:
    """Anything, as long as it is JSON: whoever takes it need not know that TOML has more."""
    found: list[tuple[Place, str]] = []

    def copied(item: Any, place: Place) -> Any:
        if isinstance(item, Mapping):
            return {str(key): copied(each, (*place, key)) for key, each in item.items()}
        if isinstance(item, list | tuple):
            return [copied(each, (*place, index)) for index, each in enumerate(item)]
        if isinstance(item, float) and not math.isfinite(item):
            found.append((place, f"expected a finite number, got {shown(item)}"))
        elif isinstance(item, date | time):
            found.append((place, f"expected what JSON has, got {shown(item)}; write it as a string"))
        return str(item) if isinstance(item, Text) else item

    plain = copied(value, ())
    if found:
        raise Wrong(found)
    return plain


def _each(items: Iterable[tuple[str | int, Any]], hint: Any, c: Converter) -> list[Any]:
    found: list[tuple[Place, str]] = []
    done: list[Any] = []
    for step, item in items:
        try:
            done.append(c.structure(item, hint))
        except Wrong as exc:
            found += [((step, *place), message) for place, message in exc.problems]
    if found:
        raise Wrong(found)
    return done


def _array(hint: Any, c: Converter) -> Hook:
    make = ARRAYS[get_origin(hint) or hint]
    args = get_args(hint) or (Any,)

    def hook(value: Any, _: Any) -> Any:
        if isinstance(value, Text):  # an array cannot be written otherwise where only text can: A,B
            value = [Text(part.strip(), value.origin) for part in value.split(",") if part.strip()]
        if not isinstance(value, list | tuple):
            raise _wrong(type_text(hint), value)
        if make is not tuple or len(args) == 1 or args[-1] is ...:
            return make(_each(enumerate(value), args[0], c))
        if len(value) != len(args):
            raise Wrong([((), f"expected {len(args)} values, got {len(value)}")])
        return tuple(_each([(i, item)], args[i], c)[0] for i, item in enumerate(value))

    return hook


def _mapping(hint: Any, c: Converter) -> Hook:
    key_hint, item_hint = get_args(hint) or (str, Any)

    def hook(value: Any, _: Any) -> Any:
        if not isinstance(value, Mapping):
            raise _wrong(type_text(hint), value)
        keys = _each(((key, key) for key in value), key_hint, c)
        return dict(zip(keys, _each(value.items(), item_hint, c), strict=True))

    return hook


def _union(hint: Any, c: Converter) -> Hook:
    members = [arg for arg in get_args(hint) if arg is not types.NoneType]

    def hook(value: Any, _: Any) -> Any:
        if value is None and types.NoneType in get_args(hint):
            return None
        wrongs: list[Wrong] = []
        for member in members:
            try:
                return c.structure(value, member)
            except Wrong as exc:
                wrongs.append(exc)
        inside = [wrong for wrong in wrongs if any(place for place, _ in wrong.problems)]
        raise (inside or wrongs)[0] if inside or len(wrongs) == 1 else _wrong(type_text(hint), value)

    return hook


def _class(cls: type, c: Converter) -> Hook:
    """A table: unknown keys, missing keys, each field, then each validator, all reported at once."""
    fields = {field.name: field for field in attrs.fields(cls) if field.init}

    def hook(value: Any, _: Any) -> Any:
        hints = hints_of(cls)
        if not isinstance(value, Mapping):
            raise _wrong("a table", value)
        found: list[tuple[Place, str]] = [
            ((key,), f"unknown key{nearest(key, fields, 'known keys')}") for key in value if key not in fields
        ]
        done: dict[str, Any] = {}
        absent = {name: field for name, field in fields.items() if name not in value}
        for name, field in fields.items():
            if name in value:
                try:
                    done[name] = c.structure(value[name], hints[name])
                except Wrong as exc:
                    found += [((name, *place), message) for place, message in exc.problems]
            elif field.default is attrs.NOTHING:
                found.append(((name,), f"required, but missing; expected {type_text(hints[name])}"))
        if not found:
            try:
                return cls(**{fields[name].alias or name: item for name, item in done.items()})
            except Wrong as exc:
                found = _invalid(cls, done, absent) or list(exc.problems)
            except Exception as exc:
                found = _invalid(cls, done, absent) or [((), _reason(exc))]
        else:
            found += _invalid(cls, done, absent)
        raise Wrong(found)

    return hook


def _defaults(fields: Mapping[str, attrs.Attribute[Any]]) -> dict[str, Any]:
    """The defaults of fields that have one of their own."""
    out: dict[str, Any] = {}
    for name, field in fields.items():
        default: Any = field.default
        if not isinstance(default, attrs.Factory):  # type: ignore[arg-type]
            out[name] = default
        elif not default.takes_self:
            out[name] = default.factory()
    return {name: default for name, default in out.items() if default is not attrs.NOTHING}


def _invalid(
    cls: type, done: Mapping[str, Any], absent: Mapping[str, attrs.Attribute[Any]]
) -> list[tuple[Place, str]]:
    """What each validator says of each value by itself; attrs alone would stop at the first.

    Args:
        cls: The class.
        done: The values that are given.
        absent: The fields that have none.
    """
    stand_in: object = object.__new__(cls)
    for name, item in {**_defaults(absent), **done}.items():
        object.__setattr__(stand_in, name, item)
    found: list[tuple[Place, str]] = []
    for field in attrs.fields(cls):
        if field.validator is not None and field.name in done:
            try:
                field.validator(stand_in, field, done[field.name])
            except AttributeError:
                continue  # looks at a field that has a problem of its own
            except Wrong as exc:
                found += [((field.name, *place), message) for place, message in exc.problems]
            except Exception as exc:
                found.append(((field.name,), _reason(exc)))
    return found


def _reason(exc: Exception) -> str:
    text = str(exc.args[0]) if exc.args else type(exc).__name__
    return text if isinstance(exc, ValueError | TypeError) else f"{type(exc).__name__}: {text}"


@functools.lru_cache(8)
def _converter(base: Path) -> Converter:
    import cattrs  # late: `portico.api` is imported by every plugin and needs none of it

    def path(value: Any, _: Any) -> Path:
        if not isinstance(value, str) or not value:
            raise _wrong("a path", value)
        try:
            return base / Path(str(value)).expanduser()
        except RuntimeError:
            raise _wrong("a path", value, ", whose home directory nobody knows") from None

    c = cattrs.Converter()
    for scalar in (bool, int, float, str):
        c.register_structure_hook(scalar, _scalar)
    c.register_structure_hook(Path, path)

    def rule(fits: Callable[[Any], bool], make: Callable[[Any, Converter], Hook]) -> None:
        c.register_structure_hook_factory(fits, lambda hint: make(hint, c))

    rule(attrs.has, _class)
    rule(lambda hint: hint is Any, lambda *_: _plain)
    rule(lambda hint: _family(hint) in (dict, Mapping), _mapping)
    rule(lambda hint: _family(hint) in ARRAYS, _array)
    rule(lambda hint: _family(hint) in (Union, types.UnionType), _union)
    rule(lambda hint: _family(hint) is Literal, _literal)
    rule(lambda hint: isinstance(hint, enum.EnumMeta), lambda *_: _scalar)
    rule(lambda hint: _family(hint) is Ref, lambda *_: _ref)
    rule(lambda hint: hint is Secret, lambda *_: _secret)
    return c


def _family(hint: Any) -> Any:
    return get_origin(hint) or hint
