"""What an error of the SDK's is for an MCP client: the tool's own error, or one of Portico's codes."""

from __future__ import annotations

from typing import Any, Final

import attrs
import grpc
import httpx
import msgspec
from a2a.client.errors import A2AClientError, A2AClientTimeoutError
from a2a.utils.errors import JSON_RPC_ERROR_CODE_MAP, A2AError, InternalError, MethodNotFoundError

from portico.api import (
    OVERLOADED,
    UPSTREAM_BAD_RESPONSE,
    UPSTREAM_TIMEOUT,
    UPSTREAM_UNAVAILABLE,
    Json,
    Refused,
    Result,
    failure,
)
from portico_plugins.http1 import Broken, HttpError, Unreachable, Unusable
from portico_plugins.upstreams.grpc_client.dial import Unreachable as NoAddress
from portico_plugins.upstreams.grpc_client.status import refusal, status_of

from .web import TooLarge

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


class Failures:
    """Errors of one upstream's requests.

    Args:
        upstream: Its name.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream

    def of(self, error: Exception, request_id: str | None) -> Refused | Said:
        """What a failed request is for whoever made it.

        Of what an agent says only its own errors are quoted, since all else may have addresses in it.

        Args:
            error: As the SDK, or what is below it, raised it.
            request_id: The gateway's id of the request.
        """
        if isinstance(error, Refused):
            return error  # of a credential that was to give another
        if isinstance(error, HttpError | NoAddress):
            return self._http(error, request_id)
        if isinstance(error, TooLarge):
            return Said("INVALID_ARGUMENT", str(error))
        if isinstance(error, A2AClientTimeoutError):
            return self.timed_out(request_id)
        cause = error.__cause__
        if isinstance(cause, grpc.aio.AioRpcError) and isinstance(error, A2AClientError):
            status = status_of(cause, None)
            return refusal(status, self._upstream, request_id) or Said(status.code, status.message)
        if isinstance(cause, httpx.HTTPStatusError) and (
            isinstance(error, A2AClientError)
            or (isinstance(error, MethodNotFoundError) and error.message.startswith("Resource not found"))
        ):
            return self._status(cause.response, request_id)
        if isinstance(error, InternalError):
            return Said("Internal", "The agent failed.")  # what it says of its inside is not for others
        if isinstance(error, A2AError) and type(error) in JSON_RPC_ERROR_CODE_MAP:
            return Said(type(error).__name__.removesuffix("Error"), error.message, error.data)
        if isinstance(error, A2AClientError) and error.message.startswith(_RPC_ERROR):
            code, _, said = error.message.removeprefix(_RPC_ERROR).partition(": ")
            return Said(code, said)
        return self.bad("malformed_message", request_id)

    def _http(self, error: Exception, request_id: str | None) -> Refused:
        if isinstance(error, Unusable):
            return self.bad(error.reason, request_id)
        if isinstance(error, Unreachable | NoAddress):
            forbidden = error.reason.startswith("address_not_allowed")
            return self.unavailable(error.reason, request_id, False if forbidden else None)
        if isinstance(error, Broken) and error.begun:
            return self.bad("answer_cut_short", request_id)
        # The message may have arrived, so trying again is not safe in general.
        return self.unavailable("connection_lost", request_id, False)

    def _status(self, response: httpx.Response, request_id: str | None) -> Refused | Said:
        status = response.status_code
        if status in (401, 403):
            return self.unavailable("upstream_unauthorized", request_id, False)
        said = response.headers.get("retry-after", "")
        later = float(said) if said.isascii() and said.isdigit() and len(said) < 6 else None
        if status in (429, 503):
            code = OVERLOADED if status == 429 else UPSTREAM_UNAVAILABLE
            return failure(
                code,
                "The upstream has more to do than it can.",
                reason="upstream_exhausted",
                upstream=self._upstream,
                request_id=request_id,
                retry_after=later,
            )
        return Said(f"HTTP {status}", "The agent did not take the message.")

    def unavailable(self, reason: str, request_id: str | None, retryable: bool | None = None) -> Refused:
        """The failure of a request that has not come about."""
        return failure(
            UPSTREAM_UNAVAILABLE,
            "The upstream is not available.",
            reason=reason,
            upstream=self._upstream,
            request_id=request_id,
            retryable=retryable,
        )

    def bad(self, reason: str, request_id: str | None) -> Refused:
        """The failure of an answer that is of no use."""
        return failure(
            UPSTREAM_BAD_RESPONSE,
            "The upstream's answer could not be used.",
            reason=reason,
            upstream=self._upstream,
            request_id=request_id,
        )

    def timed_out(self, request_id: str | None) -> Refused:
        """The failure of a call that took too long."""
        return failure(
            UPSTREAM_TIMEOUT,
            "The upstream did not answer in time.",
            reason="call_timeout",
            upstream=self._upstream,
            request_id=request_id,
        )


def error_text(text: str) -> Result:
    """A result that says what went wrong."""
    return Result(value={"content": [{"type": "text", "text": text}], "isError": True})
