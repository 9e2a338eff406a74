"""A configured component, and the other components that its config refers to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs

from portico._config.wording import Place, dotted, hints_of, ref_kind
from portico._core.contracts.config import Ref
from portico._core.contracts.definitions import OnChange
from portico._core.contracts.factory import Factory

Key = tuple[str, str]
"""A component's config table and name."""


@attrs.frozen
class Component:
    """One configured component: what to create, and with which config."""

    kind: str
    name: str
    use: str
    config: Any
    factory: Factory[Any, Any]
    plugin: str
    on_change: OnChange | None = attrs.field(default=None, eq=False)
    """Of an upstream: what becomes of definitions that it changes. Nothing is started anew for it."""
    health_interval: float | None = attrs.field(default=None, eq=False)
    """Likewise: seconds between probes of it."""
    enabled: bool = True
    """Of a transport: whether it is there at all."""

    @property
    def key(self) -> Key:
        """Its config table and name."""
        return self.kind, self.name

    @cached_property
    def refs(self) -> tuple[tuple[Place, str, Ref[Any]], ...]:
        """What its config refers to; see `refs`."""
        return tuple(refs(self.config))

    @property
    def left_open(self) -> list[str]:
        """What its config leaves for those who refer to it to say; they do not always."""
        fields = attrs.fields(type(self.config))
        needed = [field.name for field in fields if field.metadata.get("needed")]
        return [name for name in needed if not getattr(self.config, name)]


Look = Callable[[Component, Path], Iterable[tuple[Place, str]]]
"""Looks at a component and the folder its relative paths are relative to; gives what is wrong."""


def refs(config: Any) -> Iterator[tuple[Place, str, Ref[Any]]]:
    """Every `Ref` in a config, defaults included: where it is, which kind it names, and it."""
    cls: type = type(config)
    hints = hints_of(cls)
    for field in attrs.fields(cls):
        yield from _refs(getattr(config, field.name), hints[field.name], (field.name,))


def _refs(value: Any, hint: Any, place: Place) -> Iterator[tuple[Place, str, Ref[Any]]]:
    if isinstance(value, Ref):
        kind = ref_kind(hint)
        if kind is None:
            raise TypeError(f"{dotted(place)} must be typed Ref[...] of a kind of component, not {hint!r}")
        yield place, kind, value
    elif attrs.has(type(value)):
        yield from (((*place, *below), kind, ref) for below, kind, ref in refs(value))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _refs(item, hint, (*place, str(key)))
    elif isinstance(value, list | tuple | set | frozenset):
        for index, item in enumerate(value):
            yield from _refs(item, hint, (*place, index))


def metadata(config: Any, place: Place) -> Mapping[Any, Any]:
    """The metadata of the field that a place in a config is in."""
    found: Mapping[Any, Any] = {}
    for step in place:
        if attrs.has(type(config)):
            found = attrs.fields_dict(type(config))[str(step)].metadata
            config = getattr(config, str(step))
        else:
            config = config[step]
    return found


def resolve(config: Any, ref: Ref[Any]) -> Key:
    """Which component a `Ref` of this config names (two kinds may use the same name).

    Raises:
        LookupError: It is no `Ref` of this config.
    """
    found = [(kind, one) for _, kind, one in refs(config) if one == ref]
    for kind, one in found:
        if one is ref or len({kind for kind, _ in found}) == 1:
            return kind, ref.name
    raise LookupError(f"{ref!r} is not a field of {type(config).__qualname__}")
