"""What access logs and observers are told of a call that has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from portico._core.contracts.exchange import Era, Exchange
from portico._core.contracts.observers import Event

CallRecord = tuple[str, str, str, str | None, str, Any, str, str, float]
"""What is told of a call that has ended; what each member is, `CALL_FACTS` says."""

CALL_FACTS: Final = (
    "request_id", "principal", "server", "upstream", "method", "name", "era", "outcome", "ms",
)  # fmt: skip

Report = Callable[[Exchange, str, float], None]
"""Tells of a call: what it was, what came of it, the seconds it took."""


def reporter(
    server: str, on_call: Callable[[CallRecord], None] | None, observe: Callable[[Event], None] | None
) -> Report | None:
    """What to call when a call of a virtual server has ended; None when nobody wants to hear of it.

    Args:
        server: Its name.
        on_call: The access log.
        observe: The observers.
    """
    if on_call is None and observe is None:
        return None

    def report(exchange: Exchange, outcome: str, seconds: float) -> None:
        target = exchange.target
        record = (
            exchange.id,
            exchange.principal.subject,
            server,
            target.upstream if target else None,
            exchange.method,
            exchange.params.get("name") or exchange.params.get("uri"),
            "modern" if exchange.era is Era.MODERN else "legacy",
            outcome,
            round(seconds * 1000, 2),
        )
        if on_call is not None:
            on_call(record)
        if observe is not None:
            observe(Event("call.finished", dict(zip(CALL_FACTS, record, strict=True))))

    return report
