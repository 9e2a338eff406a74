"""One exchange being carried out, whatever the era of its client: its task, its deadline, its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from portico._core.contracts.exchange import Exchange
from portico._core.contracts.json import Json
from portico._core.contracts.result import Result
from portico._core.errors import (
    INTERNAL_ERROR,
    SHUTTING_DOWN,
    UPSTREAM_TIMEOUT,
    Refused,
    failure,
)
from portico._core.protocol.audience import NOBODY
from portico._core.timers import Timer, timers

Run = Callable[[Exchange], Awaitable[Result]]
Outcome = Result | Refused
OnFault = Callable[[Exchange, BaseException], None]


class Call:
    """Runs an exchange in a task of its own, so that it may outlive the request that began it.

    Subclasses are the exchange's `client`: they say how notifications and questions travel.

    Attributes:
        exchange: What it carries out.
        task: Does it.
        outcome: The result, or the refusal to answer with; None while it runs.
        unwanted: It was cancelled by who wanted it, and not ended for another reason.
    """

    __slots__ = (
        "_begun",
        "_loop",
        "_on_fault",
        "_refusal",
        "_timer",
        "exchange",
        "outcome",
        "task",
        "unwanted",
    )

    def __init__(self, exchange: Exchange, run: Run, on_fault: OnFault) -> None:
        self.exchange = exchange
        self.outcome: Outcome | None = None
        self.unwanted = False
        self._on_fault = on_fault
        self._refusal: Refused | None = None  # what it is ended with, if it is
        self._begun = False
        self._loop = loop = asyncio.get_running_loop()
        exchange.client = self
        self._timer: Timer | None = timers().at(exchange.deadline, self._expire)
        self.task: asyncio.Task[None] = loop.create_task(self._carry_out(run))

    async def notify(self, method: str, params: Json) -> None:
        """Send a notification (see `contracts.Client`)."""
        raise NotImplementedError

    def progress(self, params: bytes) -> bool:
        """Send progress at once (see `contracts.Client`)."""
        raise NotImplementedError

    async def ask(self, method: str, params: Json) -> Json:
        """Ask the client (see `contracts.Client`)."""
        raise NotImplementedError

    def poll(self, retry_ms: int) -> None:
        """Nothing to do where a client cannot be sent away."""

    def arm(self) -> None:
        """Start the clock of the deadline."""
        self.disarm()
        self._timer = timers().at(self.exchange.deadline, self._expire)

    def disarm(self) -> None:
        """Stop the clock: nobody waits for the upstream now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def cancel(self) -> None:
        """Nobody wants the answer any more."""
        self.unwanted = self._refusal is None
        self._stop()

    def shut_down(self) -> None:
        """The gateway ends; the answer is that."""
        self._end(SHUTTING_DOWN, "The gateway is shutting down", "shutting_down")

    def _expire(self) -> None:
        self._end(UPSTREAM_TIMEOUT, "The call took too long", "upstream_timeout")

    def _end(self, code: int, text: str, reason: str) -> None:
        if self._refusal is None:
            self.unwanted = False
            self._refusal = failure(code, text, reason=reason, request_id=self.exchange.id)
        self._stop()

    def _stop(self) -> None:
        self.task.cancel()
        if not self._begun and self.outcome is None:
            self._begun = True
            self._loop.call_soon(
                self._settle, _cancelled()
            )  # a task cancelled before its first step never runs

    async def _carry_out(self, run: Run) -> None:
        self._begun = True
        outcome: Outcome
        try:
            outcome = await run(self.exchange)
        except Refused as refusal:
            outcome = refusal.with_traceback(None)  # which would hold on to this very frame
        except asyncio.CancelledError:
            outcome = _cancelled()
        except Exception as error:
            if self._refusal is None:
                self._on_fault(self.exchange, error)
            ident = self.exchange.id
            outcome = failure(INTERNAL_ERROR, "Internal error", reason="internal_error", request_id=ident)
        self._settle(outcome)

    def _settle(self, outcome: Outcome) -> None:
        """It is over. Nothing it refers to is to refer to it any more: cycles are work for the collector."""
        self.outcome = self._refusal or outcome
        self.disarm()
        self.exchange.client = NOBODY
        self._settled()

    def _settled(self) -> None:
        """Tell whoever waits for the outcome."""
        raise NotImplementedError


def _cancelled() -> Refused:
    return Refused(INTERNAL_ERROR, "The request was cancelled")
