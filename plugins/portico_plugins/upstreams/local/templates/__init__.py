"""Templates: sandboxed Jinja, bounded in what it can reach, and in the time and memory it can take."""

from __future__ import annotations

import functools
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


@functools.lru_cache(2048)
def _template(text: str, names: tuple[str, ...]) -> Compiled | str | None:
    """The template, or what is wrong with it; None where nothing is to be filled in."""
    if not any(mark in text for mark in _MARKS):
        return None
    from portico_plugins.upstreams.local.templates.rendering import compiled  # Jinja, where it is used

    return compiled(text, names)


__all__ = ["MAX_TEMPLATE", "Failed", "problem", "render"]
