"""What an error of the SDK's is for an MCP client: the tool's own error, or one of Portico's codes."""

from __future__ import annotations

from typing import Any, Final

import attrs
import grpc
import msgspec
from a2a.client.errors import A2AClientError, A2AClientTimeoutError
from a2a.utils.errors import JSON_RPC_ERROR_CODE_MAP, A2AError, InternalError, MethodNotFoundError

from portico.api import OVERLOADED, UPSTREAM_UNAVAILABLE, Json, Refused, Result
from portico_plugins.failures import About, bad_response, error_text, failed, of_http, timed_out, unavailable
from portico_plugins.http1 import HttpError
from portico_plugins.upstreams.grpc_client.status import refusal, status_of

from .http_json import NO_SUCH_PATH
from .web import BadStatus, TooLarge

_MAX_MESSAGE: Final = 4000
_RPC_ERROR: Final = "JSON-RPC Error "


@attrs.frozen
class Said:
    """An error that is the agent's own answer.

    Attributes:
        code: What it is called.
        message: What the agent says.
        data: More of that; None for nothing.
    """

    code: str
    message: str
    data: Any = None

    def result(self) -> Result:
        """The tool's own error, for the model."""
        said: Json = {"code": self.code[:64], "message": self.message[:_MAX_MESSAGE]}
        if self.data:
            text = msgspec.json.encode(self.data)
            if len(text) <= _MAX_MESSAGE:
                said["data"] = msgspec.Raw(text)
        return error_text(msgspec.json.encode(said).decode())


def failure_of(error: Exception, upstream: str, about: About = None) -> Refused | Said:
    """What a failed request is for whoever made it.

    Of what an agent says only its own errors are quoted, since all else may have addresses in it.

    Args:
        error: As the SDK, or what is below it, raised it.
        upstream: The upstream's name.
        about: What was to be done.
    """
    if isinstance(error, Refused):
        return error  # of a credential that was to give others
    if isinstance(error, HttpError):
        return of_http(error, upstream, about)
    if isinstance(error, TooLarge):
        return Said("INVALID_ARGUMENT", str(error))
    if isinstance(error, A2AClientTimeoutError):
        return timed_out(upstream, about)
    cause = error.__cause__
    if isinstance(cause, grpc.aio.AioRpcError) and isinstance(error, A2AClientError):
        status = status_of(cause, None)
        return refusal(status, upstream, about) or Said(status.code, status.message)
    if isinstance(cause, BadStatus) and (isinstance(error, A2AClientError) or is_no_path(error)):
        return _of_status(cause, upstream, about)
    if isinstance(error, InternalError):
        return Said("Internal", "The agent failed.")  # what it says of its inside is not for others
    if isinstance(error, A2AError) and type(error) in JSON_RPC_ERROR_CODE_MAP:
        return Said(type(error).__name__.removesuffix("Error"), error.message, error.data)
    if isinstance(error, A2AClientError) and error.message.startswith(_RPC_ERROR):
        code, _, said = error.message.removeprefix(_RPC_ERROR).partition(": ")
        return Said(code, said)
    return bad_response(upstream, "malformed_message", about)


def is_no_path(error: Exception) -> bool:
    """Whether it is a page that is not there: that is called a method, and the SDK names its URL."""
    return isinstance(error, MethodNotFoundError) and error.message.startswith(NO_SUCH_PATH)


def _of_status(bad: BadStatus, upstream: str, about: About) -> Refused | Said:
    status, said = bad.status, bad.later
    if status in (401, 403):
        return unavailable(upstream, "upstream_unauthorized", about, retryable=False)
    later = float(said) if said.isascii() and said.isdigit() and len(said) < 6 else None
    if status in (429, 503):
        code = OVERLOADED if status == 429 else UPSTREAM_UNAVAILABLE
        return failed(code, "upstream_exhausted", upstream, about, retry_after=later)
    return Said(f"HTTP {status}", "The agent did not take the message.")
