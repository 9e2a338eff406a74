"""What may be sent to which client: notifications by token, level and era, questions by capability."""

from __future__ import annotations

from typing import Final

from portico._core.contracts.exchange import Era, Exchange
from portico._core.contracts.json import Json
from portico._core.errors import METHOD_NOT_FOUND, MISSING_CAPABILITY, Refused
from portico._core.protocol.eras import ASK_CAPABILITY, LOG_LEVELS

_MODERN_FRAMES: Final = frozenset({"notifications/progress", "notifications/message"})


def admit(exchange: Exchange, method: str, params: Json) -> Json | None:
    """The params of a notification as this client may get it; None when it may not.

    Progress needs the client's token, log messages its level; a modern response stream carries nothing else
    (2026-07-28, streamable HTTP).
    """
    if method == "notifications/progress":
        return (
            None if exchange.progress_token is None else {**params, "progressToken": exchange.progress_token}
        )
    if method == "notifications/message":
        wanted = LOG_LEVELS.get(exchange.log_level or "")
        rank = LOG_LEVELS.get(str(params.get("level")), 0)
        if wanted is None:
            # A legacy client that never set a level gets what the server likes (2025-11-25, logging).
            return params if exchange.era is Era.LEGACY else None
        return params if rank >= wanted else None
    return params if exchange.era is Era.LEGACY or method in _MODERN_FRAMES else None


def check_ask(capabilities: Json, method: str, params: Json) -> None:
    """Whether a client that declared `capabilities` may be asked this.

    Raises:
        Refused: -32021 with `data.requiredCapabilities`; -32601 for what no client can be asked.
    """
    name = ASK_CAPABILITY.get(method)
    if name is None:
        raise Refused(METHOD_NOT_FOUND, "Method not found")
    declared = capabilities.get(name)
    needed: Json = {name: {}}
    met = isinstance(declared, dict)
    if name == "elicitation":
        mode = str(params.get("mode", "form"))
        needed = {name: {mode: {}}}
        if isinstance(declared, dict):
            # `elicitation: {}` is what form-only clients of every revision send.
            met = mode in declared or (mode == "form" and "url" not in declared)
    if not met:
        raise Refused(
            MISSING_CAPABILITY,
            f"The client did not declare the capability {name!r} that this needs",
            {"requiredCapabilities": needed},
        )


class _Nobody:
    """Stands in for the client before a call takes the exchange over, and after it is over."""

    async def notify(self, method: str, params: Json) -> None:
        """Nobody listens."""

    def progress(self, params: bytes) -> bool:
        """Nobody listens."""
        return False

    async def ask(self, method: str, params: Json) -> Json:
        """Nobody can be asked."""
        raise Refused(METHOD_NOT_FOUND, f"Nobody to ask: {ASK_CAPABILITY.get(method, method)}")

    def poll(self, retry_ms: int) -> None:
        """Nobody to send away."""


NOBODY: Final = _Nobody()
