"""What the other workers ask of this one: requests whose handles are ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from portico._core.contracts.direct import Direct, Scope
from portico._core.contracts.log import Log
from portico._core.requests.owners import FORWARDED, PROXIED
from portico._host.forwarding.forward import Request, Start, Whole, socket_path
from portico._host.forwarding.frames import DATA, END, REQUEST, START, WHOLE, Framed

_encode = msgspec.msgpack.Encoder().encode
_request = msgspec.msgpack.Decoder(Request).decode


class Peers:
    """Answers other workers on a Unix socket. Whoever can open it is this user: its folder is private.

    Args:
        folder: Where the socket goes.
        node: This worker's name.
        directs: What answers, by path.
        log: The kernel's.
    """

    def __init__(self, folder: Path, node: str, directs: Mapping[str, Direct], log: Log) -> None:
        self._path = socket_path(folder, node)
        self._directs = directs
        self._log = log
        self._server: asyncio.Server | None = None
        self._open: set[_Caller] = set()
        self._closed = False

    async def open(self) -> None:
        """Take requests from now on.

        Raises:
            OSError: The socket cannot be made.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(self._caller, str(self._path))

    def _caller(self) -> _Caller:
        return _Caller(self._serve, self._open)

    def _serve(self, scope: Scope, body: bytes, reply: _Answer) -> None:
        handle = self._directs.get(scope["path"])
        if handle is None:  # the configuration has just changed
            reply.send(404, [(b"content-type", b"application/json")], b'{"error":"not found"}')
            return
        try:
            handle(scope, body, reply)
        except Exception as error:
            self._log.error("http.fault", path=scope["path"], exc_info=error)
            reply.fail()

    def close(self) -> None:
        """Take no more requests: to the other workers, this one's handles are gone. Answers go on."""
        self._closed = True
        self._path.unlink(missing_ok=True)
        if self._server is not None:
            self._server.close()
        for caller in list(self._open):
            caller.close_when_idle()

    def abort(self) -> None:
        """End the answers, too."""
        self.close()
        for caller in list(self._open):
            caller.transport.abort()


class _Caller(Framed):
    """A connection from another worker."""

    def __init__(self, serve: Callable[[Scope, bytes, _Answer], None], among: set[_Caller]) -> None:
        super().__init__()
        self._serve = serve
        self._among = among
        self._answer: _Answer | None = None
        self._closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        self._among.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The other worker, or the client it asked for, has gone."""
        super().connection_lost(exc)
        self._among.discard(self)
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.leave()

    def frame(self, kind: int, payload: bytes) -> None:
        """Answer a request."""
        if kind != REQUEST or self._answer is not None:
            self.transport.abort()
            return
        request = _request(payload)
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": request.http_version,
            "method": request.method,
            "scheme": request.scheme,
            "path": request.path,
            "raw_path": request.raw_path,
            "query_string": request.query_string,
            "root_path": "",
            "headers": request.headers,
            "client": request.client,
            "server": None,
            "state": {},
            FORWARDED: True,
            PROXIED: request.proxied,
        }
        self._answer = answer = _Answer(self)
        self._serve(scope, request.body, answer)

    def over(self) -> None:
        """An answer has ended."""
        self._answer = None
        if self._closing:
            self.transport.close()

    def close_when_idle(self) -> None:
        """Close, after the answer that is under way."""
        self._closing = True
        if self._answer is None:
            self.transport.close()


class _Answer:
    """The way back of one request. Implements `Reply`."""

    def __init__(self, caller: _Caller) -> None:
        self._caller = caller
        self._over = False
        self.on_gone: Callable[[], object] | None = None

    def send(self, status: int, headers: Sequence[tuple[bytes, bytes]], *body: bytes) -> None:
        """Send a whole answer."""
        self._put(WHOLE, _encode(Whole(status, list(headers), b"".join(body))), last=True)

    def start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Send the head of an answer whose length is not known."""
        self._put(START, _encode(Start(status, list(headers))))

    def write(self, data: bytes) -> None:
        """Send a piece of it."""
        self._put(DATA, data)

    def end(self) -> None:
        """It is complete."""
        self._put(END, b"", last=True)

    def cut(self) -> None:
        """End it at once: the other worker sees that there will be no more."""
        if not self._over:
            self.leave()
            self._caller.transport.abort()

    def _put(self, kind: int, payload: bytes, *, last: bool = False) -> None:
        if self._over:
            return
        self._over = last
        self._caller.put(kind, payload)
        if last:
            self._caller.over()

    @property
    def full(self) -> bool:
        """Whether the client is behind."""
        return not self._over and self._caller.full

    async def room(self) -> None:
        """Return when the client has caught up, or has gone."""
        while self.full:
            await self._caller.room()

    def leave(self) -> None:
        """Nobody waits for the answer any more."""
        if not self._over:
            self._over = True
            if self.on_gone is not None:
                self.on_gone()

    def fail(self) -> None:
        """There will be no answer."""
        self._over = True
        self._caller.transport.abort()
