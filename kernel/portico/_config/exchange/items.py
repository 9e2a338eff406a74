"""What an import brings, whatever its format: items to be made records of, and notes on the rest."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, Literal

import attrs

from portico._core.contracts.json import Json

OnConflict = Literal["skip", "overwrite", "rename", "fail"]
Action = Literal["create", "overwrite", "skip", "conflict"]

ORDER: Final = ("upstreams", "resources", "prompts", "servers", "overrides", "pins")
"""The kinds that are exchanged, each after what it may refer to. Values of secrets never are."""

_ILLEGAL: Final = re.compile(r"[^a-zA-Z0-9_-]+")
_ENV: Final = re.compile(r"(?<!\$)\$\{env:([^}]*?)(?::-([^}]*))?\}")
_SECRET: Final = re.compile(r"(?<!\$)\$\{secret:([^}]+)\}")
_MOST: Final = 48
_NONE: Final[Mapping[str, Json]] = {}


@attrs.frozen
class Item:
    """Something to make a record of; `about` and `made` as the management API takes them."""

    kind: str
    name: str
    config: Json
    about: Json = attrs.field(factory=dict)
    made: Json = attrs.field(factory=dict)


@attrs.frozen
class Taken:
    """What was found in a document.

    Attributes:
        items: To make records of.
        notes: `(place, message)` for everything that could not be taken or had to be changed.
    """

    items: list[Item]
    notes: list[tuple[str, str]]


@attrs.frozen
class Planned:
    """What is to become of one item.

    Attributes:
        item: The item.
        action: What is to be done.
        was: Its name before it was given another, "" if it keeps it.
        same: Whether what is there is just the same.
    """

    item: Item
    action: Action
    was: str = ""
    same: bool = False


def fitting(text: str, default: str = "server") -> str:
    """A name made to fit `[a-zA-Z0-9][a-zA-Z0-9_-]*` in at most 48 characters."""
    return _ILLEGAL.sub("-", text).strip("-_")[:_MOST].strip("-_") or default


def unused(stem: str, taken: Collection[str]) -> str:
    """The name, with a number after it if it is in use."""
    name, number = stem, 2
    while name in taken:
        tail = f"-{number}"
        name, number = stem[: _MOST - len(tail)] + tail, number + 1
    return name


def without_environment(items: Iterable[Item]) -> Taken:
    """The items with `${env:NAME}` made `${secret:NAME}`: records see no environment.

    `${env:NAME:-default}` becomes its default. Both are noted.
    """
    notes: list[tuple[str, str]] = []
    found: list[Item] = []
    for item in items:
        said: dict[str, None] = {}

        def substitute(match: re.Match[str], said: dict[str, None] = said) -> str:
            name, default = match.groups()
            if default is not None:
                said[f"{match[0]} became its default: records see no environment variables"] = None
                return str(default)
            said[f"{match[0]} became ${{secret:{name}}}: records see no environment variables"] = None
            return f"${{secret:{name}}}"

        config = strings(item.config, lambda text, sub=substitute: _ENV.sub(sub, text))
        found.append(attrs.evolve(item, config=config))
        notes += [(f"{item.kind}.{item.name}", message) for message in said]
    return Taken(found, notes)


def secrets_of(node: Any) -> set[str]:
    """The names that `${secret:NAME}` mentions."""
    names: set[str] = set()

    def look(text: str) -> str:
        names.update(_SECRET.findall(text))
        return text

    strings(node, look)
    return names


def strings(node: Any, change: Any) -> Any:
    """A copy of a JSON value with every string changed; keys stay."""
    if isinstance(node, Mapping):
        return {key: strings(value, change) for key, value in node.items()}
    if isinstance(node, list):
        return [strings(value, change) for value in node]
    return change(node) if isinstance(node, str) else node


def plan(
    items: Iterable[Item],
    existing: Collection[tuple[str, str]],
    on_conflict: OnConflict,
    pins: Mapping[str, Json] = _NONE,
) -> list[Planned]:
    """What is to become of each item, in the order in which they are to be made.

    Who is renamed takes along what refers to it: servers that name an upstream, overrides of its tools, its
    pins. Those come first: an upstream that is there before them would be pinned as it is now.

    Args:
        items: Those of a document.
        existing: `(kind, name)` of what there is.
        on_conflict: What to do with an item whose name is in use.
        pins: What the pins hold that there are, by name. A gateway makes them by itself, of upstreams that
            its own file has, too: those that are just the same are in no conflict.
    """
    taken = {kind: {name for each, name in existing if each == kind} for kind in ORDER}
    names = {kind: set(used) for kind, used in taken.items()}
    for item in items:
        names[item.kind].add(item.name)
    moved: Moved = {}
    planned: list[Planned] = []
    for item in sorted(items, key=lambda each: ORDER.index(each.kind)):
        item = _following(item, moved)
        if item.name not in taken[item.kind]:
            planned.append(Planned(item, "create"))
        elif on_conflict == "rename" and item.kind not in _NAMED_AFTER:
            name = unused(item.name, names[item.kind])
            names[item.kind].add(name)
            moved[item.kind, item.name] = name
            planned.append(Planned(attrs.evolve(item, name=name), "create", item.name))
        elif item.kind == "pins" and pins.get(item.name) == item.config:
            planned.append(Planned(item, "skip", same=True))
        elif on_conflict == "overwrite":
            planned.append(Planned(item, "overwrite"))
        else:
            planned.append(Planned(item, "conflict" if on_conflict == "fail" else "skip"))
    return sorted(planned, key=lambda each: each.item.kind != "pins")


_NAMED_AFTER: Final = ("overrides", "pins")
"""Kinds whose records have their names from what they are about: they cannot have others."""


Moved = dict[tuple[str, str], str]
"""Kind and name -> the name it is given."""


def _following(item: Item, moved: Moved) -> Item:
    """With what it refers to by the names that are given."""

    def now(kind: str, name: Any) -> Any:
        return moved.get((kind, str(name)), name)

    if item.kind == "servers":
        upstreams = item.config.get("upstreams")
        if isinstance(upstreams, list):
            config = {**item.config, "upstreams": [now("upstreams", name) for name in upstreams]}
            return attrs.evolve(item, config=config)
    if item.kind == "prompts" and isinstance(item.config.get("messages"), list):
        messages = [
            {**each, "source": now("resources", each["source"])}
            if isinstance(each, Mapping) and "source" in each
            else each
            for each in item.config["messages"]
        ]
        return attrs.evolve(item, config={**item.config, "messages": messages})
    if item.kind in _NAMED_AFTER:
        upstream, slash, rest = item.name.partition("/")
        return attrs.evolve(item, name=f"{now('upstreams', upstream)}{slash}{rest}")
    return item
