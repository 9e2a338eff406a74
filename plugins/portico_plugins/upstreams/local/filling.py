"""Filling in templates: at once where that is quick, one after the other in a thread where it is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from portico.api import INTERNAL_ERROR, INVALID_PARAMS, Refused
from portico_plugins.upstreams.local import templates
from portico_plugins.upstreams.local.templates.budget import Budget, TooMuch

T = TypeVar("T")
Fill = Callable[[str], str]
"""Fills in one template."""

_QUICK: Final = 20_000
"""Work done in about a millisecond: less than it is worth to go to a thread for."""

_SPARE: Final = 1_000_000

_THREAD: Final = ThreadPoolExecutor(1, "templates")
"""One for all: it takes turns with the event loop, and several would leave that few."""


async def filling(what: str, values: Mapping[str, str], max_size: int, make: Callable[[Fill], T]) -> T:
    """Have something made of filled-in templates.

    Args:
        what: What it is, for messages.
        values: What they fill in; never read as templates.
        max_size: The most characters they may come to together.
        make: Makes it; may be called twice.

    Raises:
        Refused: -32602 when it becomes too long or takes too long; -32603 when a template cannot do with the
            values what it wants to.
    """

    def attempt(work: int) -> T:
        budget = Budget(work, max_size)
        return make(lambda text: templates.render(text, values, budget))

    most = 4 * max_size + _SPARE
    try:
        if sum(map(len, values.values())) < _QUICK:
            try:
                return attempt(min(_QUICK, most))
            except TooMuch:
                pass
        return await asyncio.get_running_loop().run_in_executor(_THREAD, attempt, most)
    except TooMuch as error:
        raise Refused(INVALID_PARAMS, f"Invalid params: {what} cannot be filled in: {error}") from None
    except templates.Failed as error:
        raise Refused(INTERNAL_ERROR, f"The template of {what} failed: {error}") from None
