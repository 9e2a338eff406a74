"""Start order: `Ref[...]` fields of configs are the edges, the order of kinds decides the rest."""

from __future__ import annotations

import graphlib
import heapq
from collections.abc import Iterable, Mapping

from portico._config.components import Component, Key, metadata
from portico._config.wording import dotted, nearest
from portico._core.errors import ConfigError
from portico._core.specs import KINDS


def dangling(
    components: Mapping[Key, Component], configured: Mapping[str, Iterable[str]]
) -> list[tuple[str, str]]:
    """The `(path, message)` of every reference to something that is not configured.

    Args:
        components: By key.
        configured: Config table -> the names in it.
    """
    problems = []
    for key, component in components.items():
        for place, kind, ref in component.refs:
            names = list(configured.get(kind, ()))
            if ref.name not in names:
                hint = nearest(ref.name, names, "configured")
                message = f"no {KINDS[kind].noun} {ref.name!r} is configured{hint}"
                problems.append((dotted((*key, *place)), message))
    return problems


def lacking(components: Mapping[Key, Component]) -> list[tuple[str, str]]:
    """The `(path, message)` of every reference to something that cannot be used there, for what it lacks.

    Args:
        components: By key.
    """
    problems = []
    for key, component in components.items():
        for place, kind, ref in component.refs:
            found = components.get((kind, ref.name))
            if found is None or not (left := found.left_open):
                continue
            given = metadata(component.config, place).get("gives", ())
            for name in left:
                if name not in given:
                    message = (
                        f"{KINDS[kind].noun} {ref.name!r} has no `{name}`, which nothing else says here: "
                        f"set {dotted((kind, ref.name, name))}"
                    )
                    problems.append((dotted((*key, *place)), message))
    return problems


def stages(components: Mapping[Key, Component]) -> list[list[Key]]:
    """What to start, in order: one component at a time, except that upstreams in a row start together.

    Raises:
        ConfigError: Components need each other in a circle.
    """
    needs = {
        key: {(kind, ref.name) for _, kind, ref in component.refs} for key, component in components.items()
    }
    sorter = graphlib.TopologicalSorter(needs)
    try:
        sorter.prepare()
    except graphlib.CycleError as exc:
        circle = [".".join(key) for key in reversed(exc.args[1])]
        raise ConfigError([(circle[0], f"these need each other: {' -> '.join(circle)}")]) from None
    kinds = list(KINDS)
    rank = {key: (kinds.index(key[0]), index) for index, key in enumerate(components)}
    ready: list[tuple[tuple[int, int], Key]] = []
    order: list[list[Key]] = []
    while sorter.is_active():
        for key in sorter.get_ready():
            heapq.heappush(ready, (rank[key], key))
        key = heapq.heappop(ready)[1]
        sorter.done(key)
        together = order and key[0] == "upstreams" == order[-1][0][0] and not needs[key] & set(order[-1])
        if together:
            order[-1].append(key)
        else:
            order.append([key])
    return order


def cycle(components: Mapping[Key, Component]) -> list[tuple[str, str]]:
    """The circle of components that need each other, as a problem; empty when there is none."""
    # Most need none, and those are in no circle.
    needing = {key: component for key, component in components.items() if component.refs}
    needed = {(kind, ref.name) for component in needing.values() for _, kind, ref in component.refs}
    try:
        stages({key: component for key, component in components.items() if key in needing or key in needed})
    except ConfigError as exc:
        return exc.problems
    return []
