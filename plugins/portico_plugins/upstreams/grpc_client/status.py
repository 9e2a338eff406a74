"""What a gRPC status is for an MCP client: the tool's own error, or one of Portico's codes."""

from __future__ import annotations

import base64
from typing import Any, Final

import attrs
import grpc
import msgspec
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2

from portico.api import OVERLOADED, UPSTREAM_TIMEOUT, UPSTREAM_UNAVAILABLE, Json, Refused, Result
from portico_plugins.failures import About, bad_response, error_text, failed

_DETAILS: Final = "grpc-status-details-bin"
_MAX_MESSAGE: Final = 4000
_MAX_DETAILS: Final = 16 * 1024
_RETRY_INFO: Final = "google.rpc.RetryInfo"
_DEBUG_INFO: Final = "google.rpc.DebugInfo"
_TOO_LARGE: Final = ("larger than max", "exceeds hard limit", "exceeds soft limit", "metadata size exceeds")
_MADE_UP: Final = frozenset({"INTERNAL", "UNKNOWN", "UNIMPLEMENTED", "PERMISSION_DENIED"})
"""Codes gRPC itself gives to answers that are none."""
_BROKEN: Final = (
    ("Received http2 header with status", "not_grpc"),
    ("Stream removed", "answer_cut_short"),
    ("Received RST_STREAM", "answer_cut_short"),
    ("Decompression failed", "bad_compression"),
    ("Internal error from Core", "answer_cut_short"),  # it ended while a stream was sent, nobody knows how
)
"""How gRPC says so, and in a word."""
_DEFAULT: Final = error_details_pb2.DESCRIPTOR.pool


@attrs.frozen
class Status:
    """How a call failed.

    Attributes:
        code: The name of the status code, `INVALID_ARGUMENT` among others.
        message: What came with it.
        details: `google.rpc.Status` details as JSON; without stack traces.
        retry_after: Seconds the server wants to be left alone, or None.
    """

    code: str
    message: str
    details: tuple[Json, ...] = ()
    retry_after: float | None = None


def status_of(error: grpc.aio.AioRpcError, pool: DescriptorPool | None) -> Status:
    """The status of a failed call.

    Args:
        error: As gRPC raised it.
        pool: Where messages in the details are looked up, beside the usual ones.
    """
    code, message = error.code().name, (error.details() or "")[:_MAX_MESSAGE]
    raw = next((value for key, value in error.trailing_metadata() or () if key == _DETAILS), None)
    if not isinstance(raw, bytes):
        return Status(code, message)
    try:
        found = status_pb2.Status.FromString(raw)
    except DecodeError:
        return Status(code, message)
    details: list[Json] = []
    retry_after = None
    for each in found.details:
        name = each.type_url.rpartition("/")[2]
        if name == _DEBUG_INFO:
            continue  # stack traces
        if name == _RETRY_INFO:
            retry_after = _seconds(each.value)
        if len(each.value) <= _MAX_DETAILS:
            details.append(_detail(each, name, pool))
    return Status(code, message, tuple(details[:20]), retry_after)


def _seconds(raw: bytes) -> float | None:
    try:
        delay = error_details_pb2.RetryInfo.FromString(raw).retry_delay
    except DecodeError:
        return None
    seconds = float(delay.seconds) + delay.nanos / 1e9
    return seconds if 0 <= seconds <= 86_400 else None


def _detail(any_: Any, name: str, pool: DescriptorPool | None) -> Json:
    """A detail as ProtoJSON writes an `Any`; in base64, if nobody knows its type."""
    for each in (_DEFAULT, pool):
        if each is None:
            continue
        try:
            message = GetMessageClass(each.FindMessageTypeByName(name)).FromString(any_.value)
            value = MessageToDict(message, descriptor_pool=each)
        except (DecodeError, KeyError, TypeError, ValueError, AttributeError, RecursionError):
            continue
        said = value if isinstance(value, dict) else {"value": value}
        return {"@type": any_.type_url[:200], **said}
    return {"@type": any_.type_url[:200], "value": base64.b64encode(any_.value).decode()}


def tool_error(status: Status, **more: Any) -> Result:
    """The tool's own error, for the model."""
    said: Json = {"code": status.code, "message": status.message}
    if status.details:
        said["details"] = list(status.details)
    return error_text(msgspec.json.encode({**said, **more}).decode())


def refusal(status: Status, upstream: str, about: About = None) -> Refused | None:
    """The error of a call that has not come about; None when the status is the method's own answer.

    Of what the server or gRPC says nothing is quoted: it has addresses in it.
    """

    def said(code: int, reason: str, retryable: bool | None = None) -> Refused:
        return failed(code, reason, upstream, about, retryable=retryable, retry_after=status.retry_after)

    if status.code == "UNAVAILABLE":
        reason = unreachable(status.message)
        # Only what never left is safe to send again whatever it does.
        safe = reason not in ("connection_lost", "tls_failed", "not_grpc")
        return said(UPSTREAM_UNAVAILABLE, reason, safe)
    if status.code == "UNAUTHENTICATED":
        return said(UPSTREAM_UNAVAILABLE, "upstream_unauthorized", False)
    if status.code == "DEADLINE_EXCEEDED":
        return said(UPSTREAM_TIMEOUT, "call_timeout")
    if status.code in _MADE_UP:
        reason = next((reason for words, reason in _BROKEN if status.message.startswith(words)), "")
        if reason:
            return bad_response(upstream, reason, about)
    if status.code == "RESOURCE_EXHAUSTED":
        if any(words in status.message for words in _TOO_LARGE):
            return bad_response(upstream, "message_too_large", about)
        return said(OVERLOADED, "upstream_exhausted")
    return None


def unreachable(said: str) -> str:
    """Why a server was not available, in a word, from what gRPC says."""
    text = said.lower()
    if "timed out" in text:
        return "connect_timeout"
    if "http1" in text or "http2 header with status" in text or "settings frame" in text:
        return "not_grpc"
    if any(word in text for word in ("ssl", "tls", "certificate", "handshake", "verification")):
        return "tls_failed"
    if "failed to connect" in text or "connection refused" in text:
        return "connection_refused"
    if any(word in text for word in ("socket closed", "reset", "goaway", "broken pipe", "stream removed")):
        return "connection_lost"
    return "upstream_unavailable"
