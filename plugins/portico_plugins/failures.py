"""How calls of upstreams fail: the code and the words of every failure, once for all kinds.

Nothing of what a server says is in them: it has addresses in it.
"""

from __future__ import annotations

from typing import Final

from portico.api import (
    UPSTREAM_BAD_RESPONSE,
    UPSTREAM_TIMEOUT,
    UPSTREAM_UNAVAILABLE,
    Exchange,
    Refused,
    Result,
    failure,
)
from portico_plugins.http1 import Broken, HttpError, Unreachable, Unusable

About = Exchange | str | None
"""The exchange a failure is of, or its id; None for what the gateway does for itself."""

_NOT_STARTED: Final = "The upstream could not be started."
_BY_CODE: Final = {
    UPSTREAM_BAD_RESPONSE: "The upstream's answer could not be used.",
    UPSTREAM_TIMEOUT: "The upstream did not answer in time.",
    UPSTREAM_UNAVAILABLE: "The upstream is not available.",
}
_BY_REASON: Final = {
    "command_not_found": _NOT_STARTED,
    "command_not_runnable": _NOT_STARTED,
    "cwd_not_found": _NOT_STARTED,
    "document_timeout": "The document did not come in time.",
    "handshake_timeout": "The upstream does not answer the handshake.",
    "process_exited": "The upstream's process ended.",
    "restart_budget": "The upstream's process keeps ending.",
    "too_many_sessions": "The upstream has as many sessions as it may have.",
    "upstream_exhausted": "The upstream has more to do than it can.",
    "unsupported_protocol_version": "The upstream speaks no protocol revision that the gateway knows.",
}
"""Where more can be said."""


def failed(
    code: int,
    reason: str,
    upstream: str,
    about: About = None,
    *,
    retryable: bool | None = None,
    retry_after: float | None = None,
) -> Refused:
    """A failure of one of Portico's own codes.

    Args:
        code: One of Portico's codes.
        reason: A stable word; more may follow it in parentheses.
        upstream: The upstream's name.
        about: What it is a failure of.
        retryable: Whether trying again may help; by default what the code implies.
        retry_after: In how many seconds, where that is known.
    """
    return failure(
        code,
        _BY_REASON.get(reason) or _BY_CODE[code],
        reason=reason,
        upstream=upstream,
        request_id=about.id if isinstance(about, Exchange) else about,
        retryable=retryable,
        retry_after=retry_after,
    )


def unavailable(upstream: str, reason: str, about: About = None, *, retryable: bool | None = None) -> Refused:
    """The failure of a request that has not come about."""
    return failed(UPSTREAM_UNAVAILABLE, reason, upstream, about, retryable=retryable)


def bad_response(upstream: str, reason: str, about: About = None) -> Refused:
    """The failure of an answer that is of no use."""
    return failed(UPSTREAM_BAD_RESPONSE, reason, upstream, about)


def timed_out(upstream: str, about: About = None, reason: str = "call_timeout") -> Refused:
    """The failure of what took too long."""
    return failed(UPSTREAM_TIMEOUT, reason, upstream, about)


def of_http(error: HttpError, upstream: str, about: About = None) -> Refused:
    """The failure that there is no HTTP answer, or only a part of one."""
    if isinstance(error, Unusable):
        return bad_response(upstream, error.reason, about)
    if isinstance(error, Unreachable):
        forbidden = error.reason.startswith("address_not_allowed")
        return unavailable(upstream, error.reason, about, retryable=False if forbidden else None)
    if isinstance(error, Broken) and error.begun:
        return bad_response(upstream, "answer_cut_short", about)
    # The request may have arrived, so trying again is not safe in general.
    reason = error.reason if isinstance(error, Broken) else "connection_lost"
    return unavailable(upstream, reason, about, retryable=False)


def reason_of(refusal: Refused) -> str:
    """The reason of one of Portico's own failures, "" for others."""
    gateway = refusal.data.get("gateway") if isinstance(refusal.data, dict) else None
    return str(gateway.get("reason", "")) if isinstance(gateway, dict) else ""


def error_text(text: str) -> Result:
    """A tool's own error: a result that says what went wrong."""
    return Result(value={"content": [{"type": "text", "text": text}], "isError": True})
