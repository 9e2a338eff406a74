"""Requests for other workers' handles: over their Unix sockets, and the answers streamed back.

A connection carries one request at a time and is kept for the next. A worker closes its end only when it ends
itself, so whatever breaks means that the owner of the handle has gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from portico._core.contracts.direct import Reply, Scope
from portico._core.contracts.log import Log
from portico._core.requests.owners import PROXIED, Lost
from portico._host.control import FILE
from portico._host.forwarding.frames import DATA, END, REQUEST, START, WHOLE, Framed

Headers = list[tuple[bytes, bytes]]

_KEPT: Final = 16
_encode = msgspec.msgpack.Encoder().encode


class Request(msgspec.Struct, array_like=True):
    """A request on its way to the worker that can answer it."""

    method: str
    path: str
    raw_path: bytes
    query_string: bytes
    scheme: str
    http_version: str
    client: tuple[str, int] | None
    headers: Headers
    body: bytes
    proxied: bool


class Whole(msgspec.Struct, array_like=True):
    """A whole answer."""

    status: int
    headers: Headers
    body: bytes


class Start(msgspec.Struct, array_like=True):
    """The head of an answer."""

    status: int
    headers: Headers


_whole = msgspec.msgpack.Decoder(Whole).decode
_start = msgspec.msgpack.Decoder(Start).decode


def socket_path(folder: Path, node: str) -> Path:
    """Where a worker takes the others' requests."""
    return folder / f"{node}.sock"


class Forwarder:
    """The way from this worker to the others. Implements `owners.Forward`.

    Args:
        folder: Where their sockets are.
        log: The kernel's.

    Attributes:
        count: Requests forwarded so far.
        gone: How many of them found their owner gone, or lost it before they had their answer.
    """

    def __init__(self, folder: Path, log: Log) -> None:
        self._folder = folder
        self._log = log
        self._idle: dict[str, list[_Line]] = {}
        self._connecting: set[asyncio.Task[None]] = set()
        self.count = 0
        self.gone = 0

    def nodes(self) -> Sequence[str]:
        """The workers that take the others' requests; this one among them."""
        return [path.stem for path in self._folder.glob("*.sock") if path.name != FILE]

    def __call__(self, node: str, scope: Scope, body: bytes, reply: Reply, lost: Lost) -> None:
        """Send a request to a worker and its answer to `reply`."""
        self.count += 1
        lost = partial(self._lost, lost)
        client = scope.get("client")
        request = Request(
            scope["method"],
            scope["path"],
            scope.get("raw_path") or b"",
            scope["query_string"],
            scope["scheme"],
            scope["http_version"],
            None if client is None else (client[0], client[1]),
            [(bytes(name), bytes(value)) for name, value in scope["headers"]],
            body,
            bool(scope.get(PROXIED)),
        )
        idle = self._idle.get(node)
        while idle:
            line = idle.pop()
            if not line.lost:
                line.begin(_encode(request), reply, lost)
                return
        task = asyncio.get_running_loop().create_task(self._connect(node, request, reply, lost))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        reply.on_gone = task.cancel

    def _lost(self, tell: Lost, begun: bool) -> None:
        self.gone += 1
        tell(begun)

    async def _connect(self, node: str, request: Request, reply: Reply, lost: Lost) -> None:
        def free(line: _Line) -> None:
            kept = self._idle.setdefault(node, [])
            if len(kept) < _KEPT:
                kept.append(line)
            else:
                line.transport.close()

        def over(line: _Line) -> None:
            kept = self._idle.get(node, [])
            if line in kept:
                kept.remove(line)
            if not kept:
                self._idle.pop(node, None)

        loop = asyncio.get_running_loop()
        line = _Line(free, over)
        try:
            await loop.create_unix_connection(lambda: line, str(socket_path(self._folder, node)))
        except OSError as error:
            self._log.debug("forward.owner_gone", node=node, error=type(error).__name__)
            reply.on_gone = None
            lost(False)
            return
        line.begin(_encode(request), reply, lost)

    def close(self) -> None:
        """Give up on all that is under way."""
        for task in self._connecting:
            task.cancel()
        for lines in list(self._idle.values()):
            for line in list(lines):
                line.transport.abort()


class _Line(Framed):
    """A connection to another worker."""

    def __init__(self, free: Callable[[_Line], None], over: Callable[[_Line], None]) -> None:
        super().__init__()
        self._free = free
        self._over = over
        self._reply: Reply | None = None
        self._lost: Lost | None = None
        self._begun = False
        self._waiting: asyncio.Task[None] | None = None

    def begin(self, request: bytes, reply: Reply, lost: Lost) -> None:
        """Send a request; its answer goes to `reply`."""
        self._reply, self._lost, self._begun = reply, lost, False
        reply.on_gone = self._gone
        self.put(REQUEST, request)

    def _gone(self) -> None:
        """The client has left: closing tells the owner."""
        self._reply = None
        self.transport.abort()

    def frame(self, kind: int, payload: bytes) -> None:
        """Pass a piece of the answer on."""
        reply = self._reply
        if reply is None:
            return
        if kind == DATA:
            reply.write(payload)
            if reply.full and self._waiting is None:
                self.transport.pause_reading()
                self._waiting = asyncio.get_running_loop().create_task(self._catch_up(reply))
        elif kind == START:
            head = _start(payload)
            self._begun = True
            reply.start(head.status, head.headers)
        else:
            self._reply = None
            reply.on_gone = None
            self._free(self)
            if kind == WHOLE:
                whole = _whole(payload)
                reply.send(whole.status, whole.headers, whole.body)
            elif kind == END:
                reply.end()

    async def _catch_up(self, reply: Reply) -> None:
        await reply.room()
        self._waiting = None
        if not self.lost:
            self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The owner has gone."""
        super().connection_lost(exc)
        self._over(self)
        reply, self._reply = self._reply, None
        if reply is not None and self._lost is not None:
            reply.on_gone = None
            self._lost(self._begun)
