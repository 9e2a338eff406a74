"""The call of a modern client: frames and questions in turns, and parking in between."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from typing import Any, Final

import attrs

from portico._core.contracts.exchange import Exchange
from portico._core.contracts.json import Json
from portico._core.protocol.audience import admit, check_ask
from portico._core.protocol.call import Call, OnFault, Outcome, Run
from portico._core.protocol.jsonrpc import notification_frame, progress_frame
from portico._core.protocol.stream import DEFAULT_UNREAD

_GATHER: Final = 0.02
"""Seconds to wait after a question for others: questions put side by side belong in one round, and each round
costs the client a request, but they reach us one message at a time."""


@attrs.frozen
class Frames:
    """Notifications to write, in order."""

    frames: list[bytes]


@attrs.frozen
class Asking:
    """The client must be asked: `{key: {"method", "params"}}`."""

    requests: Json


@attrs.define(eq=False)
class _Ask:
    method: str
    params: Json
    answer: asyncio.Future[Json]
    told: bool = False


class ModernCall(Call):
    """A modern client's call. Whoever serves the request takes turns: frames, questions, then the outcome."""

    __slots__ = (
        "_asked", "_asks", "_bytes", "_follower", "_frames", "_room", "_waiter", "_waiting", "unread",
    )  # fmt: skip

    def __init__(self, exchange: Exchange, run: Run, on_fault: OnFault) -> None:
        self._frames: list[bytes] = []
        self._bytes = 0
        self._asks: dict[str, _Ask] = {}
        self._asked = 0.0
        self._waiter: asyncio.Future[None] | None = None
        self._follower: Callable[[], None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._waiting: asyncio.Task[None] | None = None
        self.unread = DEFAULT_UNREAD  # how far behind the client may be before the upstream is held back
        super().__init__(exchange, run, on_fault)

    async def notify(self, method: str, params: Json) -> None:
        """Queue a frame; waits while the client is `unread` behind.

        While the call is parked no stream can carry frames: they are dropped.
        """
        shaped = admit(self.exchange, method, params)
        if shaped is None or self._parked():
            return
        frame = notification_frame(method, shaped)
        while not self._take(frame):
            if self._room is None:
                self._room = self._loop.create_future()
            await asyncio.shield(self._room)

    def progress(self, params: bytes) -> bool:
        """Queue progress as it is, unless the client is that far behind."""
        if self.exchange.progress_token is None or self._parked():
            return False
        return self._take(progress_frame(params))

    def _take(self, frame: bytes) -> bool:
        """Queue a frame, if there is room for it. Frames that come together are written together."""
        frames = self._frames
        if len(frames) >= self.unread.frames or (frames and self._bytes > self.unread.bytes):
            self._wake()  # whoever serves the request may not have had its turn yet
            if frames is self._frames:
                return False
        if not self._frames:
            self._loop.call_soon(self._wake)
        self._frames.append(frame)
        self._bytes += len(frame)
        return True

    async def ask(self, method: str, params: Json) -> Json:
        """Have the client asked by `input_required`; its retry brings the answer."""
        check_ask(self.exchange.capabilities, method, params)
        self.exchange.asked = True
        # Ids and completion notices of url elicitation are gone from the modern era, as are task requests.
        shown = {k: v for k, v in params.items() if k not in ("elicitationId", "task", "_meta")}
        key = f"ask-{secrets.token_hex(6)}"
        self._asked = self._loop.time()
        ask = self._asks[key] = _Ask(method, shown, self._loop.create_future())
        self._wake()
        try:
            return await ask.answer
        finally:
            self._asks.pop(key, None)

    def _parked(self) -> bool:
        return bool(self._asks) and any(ask.told for ask in self._asks.values())

    def _wake(self) -> None:
        if self._follower is not None:
            self._follower()
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _settled(self) -> None:
        self._wake()

    def follow(self, follower: Callable[[], None] | None) -> None:
        """Have `follower` called whenever `next` may have something; None for nobody."""
        self._follower = follower

    def follow_after(self, ready: Coroutine[Any, Any, None]) -> None:
        """Call the follower once more when `ready` is done, unless it waits for that already."""
        if self._waiting is not None:
            ready.close()
            return

        def over(_: asyncio.Task[None]) -> None:
            self._waiting = None
            self._wake()

        self._waiting = self._loop.create_task(ready)
        self._waiting.add_done_callback(over)

    def next(self, *, hold: bool = False) -> Frames | Asking | Outcome | None:
        """The next thing to tell the client, if there is one now.

        Args:
            hold: The client is slow: keep frames, and all that comes after them, until later.
        """
        if self._frames:
            if hold:
                return None
            frames, self._frames, self._bytes = self._frames, [], 0
            if self._room is not None:
                if not self._room.done():
                    self._room.set_result(None)
                self._room = None
            return Frames(frames)
        if self.outcome is not None:
            return self.outcome
        if all(ask.told for ask in self._asks.values()):
            return None
        due = self._asked + _GATHER
        if self._loop.time() < due:
            self._loop.call_at(due, self._wake)
            return None
        for ask in self._asks.values():
            ask.told = True
        return Asking({k: {"method": a.method, "params": a.params} for k, a in self._asks.items()})

    async def turn(self, seconds: float) -> Frames | Asking | Outcome:
        """Wait for the next thing to tell the client; no frames after `seconds` of nothing."""
        deadline = self._loop.time() + seconds
        while (turn := self.next()) is None:
            if self._loop.time() >= deadline:
                return Frames([])
            timer = self._loop.call_at(deadline, self._wake)
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                timer.cancel()
        return turn

    def resume(self, retry: Exchange, answers: Json) -> None:
        """Go on with a parked call on behalf of the client's retry.

        Answers nobody asked for are ignored; questions without an answer are put again (2026-07-28, MRTR).
        """
        exchange = self.exchange
        exchange.capabilities = retry.capabilities
        exchange.progress_token = retry.progress_token
        exchange.log_level = retry.log_level
        exchange.headers = retry.headers
        exchange.deadline = retry.deadline
        self.arm()
        for key, ask in list(self._asks.items()):
            ask.told = False
            answer = answers.get(key)
            if isinstance(answer, dict) and not ask.answer.done():
                ask.answer.set_result(answer)
                del self._asks[key]  # at once: what is answered is neither asked again nor holds frames back

    def abandon(self) -> None:
        """Nobody came back with the answers."""
        self.cancel()
