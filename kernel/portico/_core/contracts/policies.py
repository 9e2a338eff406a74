"""What policies implement."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, runtime_checkable

from portico._core.contracts.exchange import Exchange
from portico._core.contracts.result import Result

Next = Callable[[Exchange], Awaitable[Result]]
"""The rest of the pipeline."""


@runtime_checkable
class Policy(Protocol):
    """Stands around an exchange. Keeps no per-request state on itself: `exchange.scratch` is for that.

    Optional attributes, read once when the pipeline is compiled:

    * `methods: frozenset[str]`: the methods it cares for; without it, every one.
    * `tap(exchange, method, params) -> params | None`: sees each notification on its way to the client,
      synchronously; returns it, another, or None to drop it.
    * `admit(exchange)`: for a policy that only says, at once, whether an exchange may go on: it raises
      `Refused` or returns, and is not async. Called in place of `__call__`, which must amount to the same;
      where no other policy stands around it, that saves the frame.
    """

    async def __call__(self, exchange: Exchange, call_next: Next) -> Result:
        """Return a result, usually `await call_next(exchange)`; or raise `Refused`."""
        ...
