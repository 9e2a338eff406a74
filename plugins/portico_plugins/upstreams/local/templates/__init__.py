"""Templates: sandboxed Jinja, bounded in what it can reach, and in the time and memory it can take."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from portico_plugins.upstreams.local.templates.budget import Budget
    from portico_plugins.upstreams.local.templates.rendering import Compiled

MAX_TEMPLATE: Final = 65_536
"""The most characters a template may have."""


class Failed(Exception):
    """A rendering came to something that cannot be done with the values it has; says the line."""


_MARKS: Final = ("{{", "{%", "{#")


def problem(text: str, names: Iterable[str]) -> str:
    """What is wrong with a template, with its line; "" when nothing is.

    Args:
        text: The template.
        names: What there will be to fill in.
    """
    if len(text) > MAX_TEMPLATE:
        return f"expected at most {MAX_TEMPLATE} characters, got {len(text)}"
    made = _template(text, tuple(names))
    return made if isinstance(made, str) else ""


def render(text: str, values: Mapping[str, str], budget: Budget) -> str:
    """Fill in a template.

    Args:
        text: A template `problem` has nothing to say of.
        values: By name; never read as templates.
        budget: What it may cost. One budget may be for several templates.

    Raises:
        TooMuch: It would cost more.
        Failed: A value does not fit what is done with it.
    """
    made = _template(text, tuple(values))
    if made is None:
        budget.put_out(len(text))
        return text
    if isinstance(made, str):
        raise ValueError(made)
    return made.render(values, budget)


class _Kept:
    """Templates that were made last: checking one and filling it in take what was made of it at first.

    Bounded by the text they have, as some are long, and candidates that nobody keeps are among them.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._made: OrderedDict[tuple[str, tuple[str, ...]], Compiled | str] = OrderedDict()
        self._lock = threading.Lock()  # some are filled in by threads

    def get(self, text: str, names: tuple[str, ...]) -> Compiled | str:
        """The template, or what is wrong with it."""
        key = (text, names)
        with self._lock:
            if key in self._made:
                self._made.move_to_end(key)
                return self._made[key]
        from portico_plugins.upstreams.local.templates.rendering import compiled  # Jinja, where it is used

        made = compiled(text, names)
        with self._lock:
            if key not in self._made:
                self._size += len(text)
                self._made[key] = made
            while self._size > self._most:
                (other, _), _ = self._made.popitem(last=False)
                self._size -= len(other)
        return made


_KEPT: Final = _Kept(2_000_000)


def _template(text: str, names: tuple[str, ...]) -> Compiled | str | None:
    """The template, or what is wrong with it; None where nothing is to be filled in."""
    return _KEPT.get(text, names) if any(mark in text for mark in _MARKS) else None


__all__ = ["MAX_TEMPLATE", "Failed", "problem", "render"]
