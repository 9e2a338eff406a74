"""A `Reply` for whoever wants the whole answer of another worker as a value."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from portico.api import Json
from portico_plugins.a2a.protojson import BadJson


class Collected:
    """Collects a JSON answer. Implements `Reply`."""

    full = False

    def __init__(self) -> None:
        self.on_gone: Callable[[], object] | None = None
        self._over: asyncio.Future[Json | None] = asyncio.get_running_loop().create_future()

    async def whole(self) -> Json | None:
        """The answer; None when there is no such worker, or nothing at that path.

        Raises:
            BadJson: It has answered with an error.
        """
        return await self._over

    def leave(self) -> None:
        """Nobody waits for it any more."""
        if not self._over.done():
            self._over.cancel()
            if self.on_gone is not None:
                self.on_gone()

    def lost(self, begun: bool) -> None:
        """There will be no answer."""
        self._settle(None)

    def send(self, status: int, headers: Sequence[tuple[bytes, bytes]], *body: bytes) -> None:
        """Take a whole answer."""
        if status == 200:
            self._settle(msgspec.json.decode(b"".join(body), type=dict))
        elif status == 404:
            self._settle(None)
        elif not self._over.done():
            self._over.set_exception(BadJson(f"status {status}"))

    def start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """A stream is none."""
        self._settle(None)

    def write(self, data: bytes) -> None:
        """Nothing: it is a stream."""

    def end(self) -> None:
        """Nothing: it is a stream."""

    def cut(self) -> None:
        """Nothing: it is a stream."""

    async def room(self) -> None:
        """There always is."""

    def _settle(self, answer: Json | None) -> None:
        if not self._over.done():
            self._over.set_result(answer)
