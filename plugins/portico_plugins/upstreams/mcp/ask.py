"""A request of a server's, being answered: what becomes of it when the call it belongs to is over."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .call import Call

_AFTERWARDS: Final = 60.0
"""Seconds a client may still take to answer what seemed to be asked in the course of a call that is over."""


class Ask:
    """A request of the server's that is being answered.

    Args:
        call: The call it belongs to, or None.
        certain: It does belong to that call; else that is a guess.
    """

    __slots__ = ("_timer", "answered", "call", "certain", "given_up", "task")

    def __init__(self, call: Call | None, certain: bool) -> None:
        self.call = call
        self.certain = certain
        self.given_up = False
        self.answered = False
        self.task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Answer it in a task of its own."""
        self.task = asyncio.create_task(work)
        self.task.add_done_callback(self._done)
        if self.call is not None:
            self.call.asks.add(self)
        return self.task

    def _done(self, _: asyncio.Task[None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.call is not None:
            self.call.asks.discard(self)

    def give_up(self) -> None:
        """Stop asking; the server is told so."""
        if self.task is not None and not self.given_up and not self.answered:
            self.given_up = True
            self.task.cancel()

    def outlive(self) -> None:
        """The call is over: what certainly belongs to it is given up, all else may take its time."""
        if self.certain:
            self.give_up()
        else:
            self._timer = asyncio.get_running_loop().call_later(_AFTERWARDS, self.give_up)
