"""Retries of calls that are parked at another worker: passed on to it, and its answer taken as frames."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Final

import attrs
import msgspec

from portico.api import (
    INTERNAL_ERROR,
    PROXIED,
    Credentials,
    Endpoint,
    Id,
    Message,
    Principal,
    Scope,
    SseParser,
    error_frame,
    failure,
    used_up,
)

_UNREAD: Final = 64


class _Response(msgspec.Struct):
    jsonrpc: str


class Elsewhere:
    """What another worker answers to one request. Implements `Reply`.

    Args:
        ident: Of the request.
    """

    def __init__(self, ident: Id) -> None:
        self.on_gone: Callable[[], object] | None = None
        self._ident = ident
        self._parser = SseParser(sys.maxsize)  # what workers send each other has been measured already
        self._frames: deque[bytes] = deque()
        self._over = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def frames(self) -> AsyncGenerator[bytes]:
        """The messages, in order."""
        while True:
            while not self._frames and not self._over:
                self._news.clear()
                await self._news.wait()
            if not self._frames:
                return
            frame = self._frames.popleft()
            self._room.set()
            yield frame

    def cancel(self) -> None:
        """Nobody wants the answer any more: closing tells the other worker."""
        if not self._over:
            self._frames.clear()
            self.end()
            if self.on_gone is not None:
                self.on_gone()

    def lost(self, begun: bool) -> None:
        """There is no such worker any more, or it knows nothing of the call."""
        if self._over:
            return
        gone = failure(
            INTERNAL_ERROR, "The worker that carried out the request has gone", reason="worker_gone"
        )
        self._frames.append(error_frame(self._ident, (gone if begun else used_up()).body()))
        self.end()

    def send(self, status: int, headers: Sequence[tuple[bytes, bytes]], *body: bytes) -> None:
        """Take a whole answer."""
        frame = b"".join(body)
        try:
            msgspec.json.decode(frame, type=_Response)
        except msgspec.DecodeError:  # words of HTTP: its virtual server is another, or who may come in
            self.lost(False)
        else:
            self._frames.append(frame)
            self.end()

    def start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Take the head of a stream of events."""

    def write(self, data: bytes) -> None:
        """Take a piece of it."""
        if not self._over:
            self._frames.extend(event.data.encode() for event in self._parser.feed(data) if event.data)
            self._news.set()

    def end(self) -> None:
        """That was all."""
        self._over = True
        self._news.set()
        self._room.set()

    def cut(self) -> None:
        """That was all, too."""
        self.end()

    @property
    def full(self) -> bool:
        """Whether the client is behind."""
        return len(self._frames) > _UNREAD and not self._over

    async def room(self) -> None:
        """Return when it is not, any more."""
        while self.full:
            self._room.clear()
            await self._room.wait()


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
        """Have the worker answer that has the parked call a request goes on with; None if there is none.

        Args:
            message: The request.
            data: The same as it came.
            headers: Those it came with, names in lower case.
        """
        owners, state = self.endpoint.owners, message.params.get("requestState")
        if owners is None or state is None:
            return None
        answer = Elsewhere(message.id)
        scope = self._scope(headers)
        passed = owners.elsewhere("parked", state, self.principal, scope, data, answer, answer.lost)
        return answer if passed else None

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
