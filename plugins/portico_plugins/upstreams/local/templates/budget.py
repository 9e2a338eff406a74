"""What one rendering may cost: every step a template takes is charged before it is taken."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final

MAX_SECONDS: Final = 1.0
"""Of a processor. A second guard: the work runs out first, unless the machine is very slow."""

STEP: Final = 8
"""What a step costs besides the characters and items it looks at or makes."""

SCALARS: Final = (str, int, float, bool, type(None))


class TooMuch(Exception):
    """A rendering would take too long, or become too large."""


class Budget:
    """What is left of the work a rendering may do: characters and items looked at or made, and steps.

    Because everything that a template makes is charged with its size, this bounds memory as well as time.

    Made by the thread that does the rendering.

    Args:
        work: How much there is.
        output: How many characters may be put out.
    """

    __slots__ = ("output", "until", "work")

    def __init__(self, work: int, output: int) -> None:
        self.work, self.output = work, output
        self.until = time.thread_time() + MAX_SECONDS

    def spend(self, work: int) -> None:
        """Pay for a step that looks at or makes this much.

        Raises:
            TooMuch: There is not enough left, or no time.
        """
        self.work -= work + STEP
        if self.work < 0 or time.thread_time() > self.until:
            raise TooMuch("it takes too long")

    def put_out(self, size: int) -> None:
        """Pay for text that is put out.

        Raises:
            TooMuch: It would become too long.
        """
        self.spend(size)
        self.output -= size
        if self.output < 0:
            raise TooMuch("it becomes too long")


BUDGET: ContextVar[Budget] = ContextVar("budget")
"""Of the rendering that runs in this context; Jinja gives attribute look-ups no other way to it."""


def spend(work: int = 0) -> None:
    """Pay for a step of the rendering that runs here.

    Raises:
        TooMuch: It cannot be paid.
    """
    BUDGET.get().spend(work)


def weight(value: Any) -> int:
    """How much a value is: characters and items, also of the values in it. Values are never nested deeply."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list | tuple):
        return len(value) + sum(map(weight, value))
    if isinstance(value, Mapping):
        return len(value) + sum(weight(key) + weight(each) for key, each in value.items())
    return 1


def weighed(value: Any) -> Any:
    """The value, paid for."""
    spend(weight(value))
    return value
