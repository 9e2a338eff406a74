"""Requests about another worker's parked calls and tasks: passed on to it, and its answer taken as frames."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence

import attrs
import msgspec

from portico.api import PROXIED, Credentials, Endpoint, Id, Message, Principal, Scope, error_frame, used_up
from portico_plugins.transports.over_http.taken import Taken
from portico_plugins.transports.over_http.wire import worker_gone


class _Response(msgspec.Struct):
    jsonrpc: str


class Elsewhere(Taken):
    """What another worker answers to one request. Implements `Reply`.

    Args:
        ident: Of the request.
        here: Whether it is for this worker to answer when the other one is gone.

    Attributes:
        left: The other is gone, and this one is to answer.
    """

    def __init__(self, ident: Id, here: bool = False) -> None:
        super().__init__()
        self.left = False
        self._here = here
        self._ident = ident

    async def frames(self) -> AsyncGenerator[bytes]:
        """The messages, in order."""
        while (frame := await self._next()) is not None:
            yield frame

    def cancel(self) -> None:
        """Nobody wants the answer any more: closing tells the other worker."""
        if not self._over:
            self._messages.clear()
            self.end()
            if self.on_gone is not None:
                self.on_gone()

    def lost(self, begun: bool) -> None:
        """There is no such worker any more, or it knows nothing of the call."""
        if self._over:
            return
        if self._here and not begun:
            self.left = True
            self.end()
            return
        frame = worker_gone(self._ident) if begun else error_frame(self._ident, used_up().body())
        self._messages.append(frame)
        self.end()

    def send(self, status: int, headers: Sequence[tuple[bytes, bytes]], *body: bytes) -> None:
        """Take a whole answer."""
        frame = b"".join(body)
        try:
            msgspec.json.decode(frame, type=_Response)
        except msgspec.DecodeError:  # words of HTTP: its virtual server is another, or who may come in
            self.lost(False)
        else:
            self._messages.append(frame)
            self.end()


@attrs.frozen
class Onward:
    """The way of one client's retries to the workers that have their calls.

    Attributes:
        endpoint: The virtual server.
        principal: Who the client is.
        credentials: How it has come.
        path: Where the other workers take them.
    """

    endpoint: Endpoint
    principal: Principal
    credentials: Credentials
    path: str

    def pass_on(self, message: Message, data: bytes, headers: Mapping[str, str]) -> Elsewhere | None:
        """Have the worker answer whose parked call, or task, a request is about; None if it is nobody else's.

        Args:
            message: The request.
            data: The same as it came.
            headers: Those it came with, names in lower case.
        """
        owners, state = self.endpoint.owners, message.params.get("requestState")
        task = message.params.get("taskId") if state is None else None
        if owners is None or (state is None and task is None):
            return None
        answer, scope = Elsewhere(message.id, here=state is None), self._scope(headers)
        rest = self.principal, scope, data, answer, answer.lost
        if state is None:
            return answer if owners.elsewhere("task", task, *rest) else None
        return answer if owners.elsewhere("parked", state, *rest) else None

    def _scope(self, headers: Mapping[str, str]) -> Scope:
        peer = self.credentials.peer
        scope: Scope = {
            "type": "http",
            "method": "POST",
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": b"",
            "scheme": "https" if self.credentials.secure else "http",
            "http_version": "1.1",
            "client": (peer, 0) if peer else None,
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
        }
        if self.credentials.proxied:
            scope[PROXIED] = True
        return scope
