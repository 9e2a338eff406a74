"""What another worker answers to a request that was passed on to it, taken message by message."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from portico.api import SseParser

_UNREAD: Final = 64


class Taken:
    """The part of a `Reply` that does not depend on what is answered: `send` and `lost` are others' to add.

    Attributes:
        on_gone: Called when nobody wants the answer any more.
    """

    def __init__(self) -> None:
        self.on_gone: Callable[[], object] | None = None
        self._parser = SseParser(sys.maxsize)  # what workers send each other has been measured already
        self._messages: deque[bytes] = deque()
        self._over = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def _next(self) -> bytes | None:
        """The next message, None when that was all."""
        while not self._messages and not self._over:
            self._news.clear()
            await self._news.wait()
        if not self._messages:
            return None
        message = self._messages.popleft()
        self._room.set()
        return message

    def start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Take the head of a stream of events."""

    def write(self, data: bytes) -> None:
        """Take a piece of it."""
        if not self._over:
            self._messages.extend(event.data.encode() for event in self._parser.feed(data) if event.data)
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
        return len(self._messages) > _UNREAD and not self._over

    async def room(self) -> None:
        """Return when it is not, any more."""
        while self.full:
            self._room.clear()
            await self._room.wait()
