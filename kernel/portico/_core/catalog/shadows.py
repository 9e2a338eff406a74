"""Names of one upstream that people or models could take for another's."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Final, Literal

from portico._core.catalog.view import View
from portico._core.contracts.definitions import Conflict
from portico._core.contracts.exchange import Target

_ALIKE: Final = str.maketrans("авеорсухѕіјԁһкмтԛԝαβγεικνορτυχ", "abeopcyxsijdhkmtqwabyeikvoptux")
"""Cyrillic and Greek letters that look like a Latin one."""

_INVISIBLE: Final = re.compile(
    "[\xad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)

_SEVERAL: Final = 100
"""As many names are looked at between two pauses."""


def conflicts(server: str, view: View, separator: str) -> Iterator[Conflict]:
    """All of a virtual server; see `searched`."""
    return (each for each in searched(server, view, separator) if each is not None)


def searched(server: str, view: View, separator: str) -> Iterator[Conflict | None]:
    """All of a virtual server, with a None now and then, so that one can pause however few there are.

    Args:
        server: Its name.
        view: What it shows.
        separator: Between a prefix and a name.
    """
    for kind, name, kept, lost in view.conflicts:
        if kept != lost:
            yield Conflict(server, kind, name, lost, kept, "left_out")
    prefixes = {skeleton(upstream): upstream for upstream in view.upstreams}
    for kind, targets in (("tools", view.tools), ("prompts", view.prompts), ("resources", view.resources)):
        yield from _alike(server, kind, targets)
        if kind != "resources":
            for number, target in enumerate(targets.values()):
                if number % _SEVERAL == 0:
                    yield None
                other = _mimicked(target.name, separator, prefixes)
                if other is not None and other != target.upstream:
                    yield Conflict(server, kind, target.name, target.upstream, other, "mimics")


def _alike(server: str, kind: str, targets: Mapping[str, Target]) -> Iterator[Conflict | None]:
    first: dict[str, Target] = {}
    for number, target in enumerate(targets.values()):
        if number % _SEVERAL == 0:
            yield None
        # URIs are for programs: what looks alike is another.
        look = target.name if kind == "resources" else skeleton(target.name)
        known = first.setdefault(look, target)
        if known.upstream != target.upstream:
            why: Literal["same", "similar"] = "same" if known.name == target.name else "similar"
            yield Conflict(server, kind, target.name, target.upstream, known.upstream, why)


def _mimicked(name: str, separator: str, prefixes: Mapping[str, str]) -> str | None:
    at = name.find(separator)
    while at > 0:
        found = prefixes.get(skeleton(name[:at]))
        if found is not None:
            return found
        at = name.find(separator, at + 1)
    return None


def skeleton(name: str) -> str:
    """The same for names that look the same: NFKC, casefolded, without what is not seen, in Latin letters."""
    if name.isascii():
        return name.lower()
    text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", name)).casefold()
    return text.translate(_ALIKE)
