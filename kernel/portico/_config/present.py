"""Whether what a configuration names is on this machine: files, folders, packages, programs.

Nothing is started, connected to or imported for it. A gateway that serves finds out by itself, piece by
piece; this is for who asks beforehand (`gateway check`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from portico._config.components import Component
from portico._config.wording import Place, What, Wrong, absence


def absent(component: Component, base: Path) -> Iterator[tuple[Place, str]]:
    """What a component's config names that is not there, by the place below its table.

    Args:
        component: What is configured.
        base: The folder relative paths are relative to.
    """
    said: set[Place] = set()
    for place, path, what in _named(component.config, ()):
        if text := absence(base / path, what):
            said.add(place)
            yield place, text
    if component.factory.check is None:
        return
    try:
        found = [*component.factory.check(component.config, base)]
    except Wrong as wrong:
        found = wrong.problems
    except Exception as error:
        found = [((), f"the plugin could not check it: {type(error).__name__}: {error}")]
    yield from ((place, text) for place, text in found if place not in said)


def _named(config: Any, place: Place) -> Iterator[tuple[Place, Path, What]]:
    """The paths in a config whose fields say that they have to be there, tables within tables included."""
    for field in attrs.fields(type(config)):
        value = getattr(config, field.name)
        yield from _paths(value, field.metadata.get("exists"), (*place, field.name))


def _paths(value: Any, what: What | None, place: Place) -> Iterator[tuple[Place, Path, What]]:
    if isinstance(value, Path):
        if what is not None:
            yield place, value, what
    elif attrs.has(type(value)):
        yield from _named(value, place)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _paths(item, what, (*place, str(key)))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _paths(item, what, (*place, index))
