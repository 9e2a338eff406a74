"""A2A 1.0 as JSON-RPC (section 9 of its specification)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any, Final

import msgspec
from a2a.client.errors import A2AClientError
from a2a.utils.errors import JSON_RPC_ERROR_CODE_MAP, A2AError

from portico.api import Json, SseEvent
from portico_plugins.http1 import Answer

from .operations import Operation
from .over_http import OverHttp, bad_status, decoded, error_info, metadata_of
from .web import is_json

_ERRORS: Final[Mapping[int, type[A2AError]]] = {code: kind for kind, code in JSON_RPC_ERROR_CODE_MAP.items()}
_SHUT_OUT: Final = frozenset({401, 403})
_encode = msgspec.json.Encoder().encode


class JsonRpc(OverHttp):
    """The binding."""

    _numbers = count(1)

    def request(self, operation: Operation, request: Json) -> tuple[str, str, bytes]:
        """See `OverHttp`."""
        body = b'{"jsonrpc":"2.0","id":"%d","method":"%b","params":%b}' % (
            next(self._numbers),
            operation.name.encode(),
            _encode(request),
        )
        return "POST", self._url, body

    def of_answer(self, answer: Answer) -> Any:
        """See `OverHttp`; the status does not matter where there is an answer of JSON-RPC."""
        is_answer = is_json(answer) and answer.status not in _SHUT_OUT and b'"jsonrpc"' in answer.body
        if not is_answer and not 200 <= answer.status < 300:
            raise A2AClientError(f"HTTP Error {answer.status}") from bad_status(answer)
        return _result(decoded(answer.body))

    def of_event(self, event: SseEvent) -> Any:
        """See `OverHttp`."""
        result = _result(decoded(event.data))
        if event.event == "error":
            raise A2AClientError("The stream ended with an error")
        return result


def _result(said: Any) -> Any:
    if not isinstance(said, dict):
        raise A2AClientError("The answer is not one of JSON-RPC")
    error = said.get("error")
    if error:
        raise _error(error)
    if "result" not in said:
        raise A2AClientError("The answer is not one of JSON-RPC")
    return said["result"]


def _error(error: Any) -> A2AError:
    if not isinstance(error, dict):
        return A2AClientError("The answer is not one of JSON-RPC")
    code, message = error.get("code"), error.get("message")
    message = message if isinstance(message, str) else ""
    kind = _ERRORS.get(code) if isinstance(code, int) else None
    if kind is None:
        return A2AClientError(f"JSON-RPC Error {code}: {message}")
    return kind(message, metadata_of(error_info(error.get("data"))))
