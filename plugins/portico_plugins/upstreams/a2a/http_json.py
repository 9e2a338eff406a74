"""A2A 1.0 as HTTP and JSON (section 11 of its specification)."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from a2a.client.errors import A2AClientError
from a2a.utils.errors import A2A_REASON_TO_ERROR, A2AError, MethodNotFoundError, TaskNotFoundError

from portico.api import Json, SseEvent
from portico_plugins.http1 import Answer

from .handles import is_plain
from .operations import SUBSCRIBE, Operation
from .over_http import OverHttp, bad_status, decoded, error_info, metadata_of

NO_SUCH_PATH: Final = "Resource not found"
"""What the error of a page begins with that is not there; the SDK's goes on with its URL."""
_MEMBERS: Final = re.compile(r"\{(\w+)\}")
_encode = msgspec.json.Encoder().encode


class HttpJson(OverHttp):
    """The binding."""

    def request(self, operation: Operation, request: Json) -> tuple[str, str, bytes]:
        """See `OverHttp`.

        Raises:
            TaskNotFoundError: An id would lead elsewhere; no agent gives such ids.
        """
        inside = _MEMBERS.findall(operation.path)
        if not all(is_plain(request.get(name, "")) for name in inside):
            raise TaskNotFoundError
        tenant = f"/{self._tenant}" if self._tenant else ""
        url = f"{self._url.removesuffix('/')}{tenant}{operation.path.format_map(request)}"
        if operation.verb == "POST":
            return "POST", url, b"" if operation is SUBSCRIBE else _encode(request)
        asked = {name: value for name, value in request.items() if name != "tenant" and name not in inside}
        return operation.verb, f"{url}?{_query(asked)}" if asked else url, b""

    def of_answer(self, answer: Answer) -> Any:
        """See `OverHttp`."""
        if not 200 <= answer.status < 300:
            raise _failed(answer) from bad_status(answer)
        return decoded(answer.body) if answer.body else {}

    def of_event(self, event: SseEvent) -> Any:
        """See `OverHttp`."""
        said = decoded(event.data)
        if event.event == "error":
            raise _error(said) or A2AClientError("The stream ended with an error")
        return said


def _query(asked: Json) -> str:
    plain = {name: str(value).lower() if isinstance(value, bool) else value for name, value in asked.items()}
    return urlencode(plain, quote_via=quote)


def _failed(answer: Answer) -> A2AError:
    try:
        error = _error(decoded(answer.body))
    except A2AClientError:
        error = None
    if error is None and answer.status == 404:
        return MethodNotFoundError(NO_SUCH_PATH)
    return error or A2AClientError(f"HTTP Error {answer.status}")


def _error(answer: Any) -> A2AError | None:
    """The error of A2A in a `google.rpc.Status`, if it is one."""
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        return None
    info = error_info(error.get("details"))
    reason, message = info.get("reason"), error.get("message")
    kind = A2A_REASON_TO_ERROR.get(reason) if isinstance(reason, str) else None
    return (
        kind(message if isinstance(message, str) else None, metadata_of(info)) if kind is not None else None
    )
