"""A `Reply` over ASGI, for servers that know no other way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from starlette.types import Message, Receive, Send

HIGH: Final = 64 * 1024
MOST: Final = 1


class AsgiReply:
    """Takes an answer at once and passes it on to `send` as fast as the client reads."""

    def __init__(self) -> None:
        self.on_gone: Callable[[], object] | None = None
        self._messages: list[Message] = []
        self._bytes = 0  # that `send` has not taken yet
        self._pieces = 0
        self._over = False
        self._gone = False
        self._pumping: asyncio.Task[None] | None = None
        self._cut = False
        self._wake: asyncio.Event = asyncio.Event()
        self._room: asyncio.Event = asyncio.Event()

    def send(self, status: int, headers: Sequence[tuple[bytes, bytes]], *body: bytes) -> None:
        """Send a whole answer."""
        whole = b"".join(body)
        length = (b"content-length", b"%d" % len(whole))
        self._put({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        self._over = True
        self._put({"type": "http.response.body", "body": whole})

    def start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Send the head of a stream."""
        self._put({"type": "http.response.start", "status": status, "headers": [*headers]})

    def write(self, data: bytes) -> None:
        """Send a piece of it."""
        self._bytes += len(data)
        self._pieces += 1
        self._put({"type": "http.response.body", "body": data, "more_body": True})

    def end(self) -> None:
        """It is complete."""
        self._over = True
        self._put({"type": "http.response.body", "body": b"", "more_body": False})

    def cut(self) -> None:
        """End it at once: the application returns before its answer is whole."""
        if self._gone or (self._over and not self._messages):
            return
        self._cut = True
        self._leave()
        if self._pumping is not None:
            self._pumping.cancel()

    @property
    def full(self) -> bool:
        """Whether more than `HIGH` bytes or `MOST` pieces wait."""
        return (self._bytes > HIGH or self._pieces > MOST) and not self._gone

    async def room(self) -> None:
        """Return when what waited is on its way, or the client has gone."""
        while self.full:
            self._room.clear()
            await self._room.wait()

    def _put(self, message: Message) -> None:
        if not self._gone:
            self._messages.append(message)
            self._wake.set()

    def _leave(self) -> None:
        if self._gone or (self._over and not self._messages):
            return
        self._gone = True
        self._wake.set()
        self._room.set()
        if self.on_gone is not None:
            self.on_gone()

    async def pump(self, receive: Receive, send: Send) -> None:
        """Pass the answer on until it ends or the client has gone.

        Leaving early, however it comes about, counts as the client's going.
        """
        self._pumping = asyncio.current_task()
        watch = asyncio.get_running_loop().create_task(_gone(receive))
        watch.add_done_callback(lambda task: None if task.cancelled() else self._leave())
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                messages, self._messages = self._messages, []
                bytes_, pieces = self._bytes, self._pieces
                for message in messages:
                    await send(message)
                self._bytes -= bytes_
                self._pieces -= pieces
                self._room.set()
                if self._gone or (self._over and not self._messages):
                    return
        except asyncio.CancelledError:
            if not self._cut or self._pumping is None:
                raise
            self._pumping.uncancel()
        finally:
            watch.cancel()
            self._pumping = None
            if not self._over or self._messages:
                self._leave()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
