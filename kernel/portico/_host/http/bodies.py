"""Bodies that are still to come: how large they may be, and how long they may take."""

from __future__ import annotations

import asyncio

import attrs
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from portico._host.http.refusals import TOO_LARGE, TOO_SLOW, answer


@attrs.define(eq=False)
class Body:
    """One request whose body is still to come: counts it, and gives it a deadline with a single timer."""

    _scope: Scope
    _receive: Receive
    _send: Send
    _left: int
    _seconds: float
    _started: bool = False  # the application has begun its answer
    _answered: bool = False  # we have, in its place
    _done: bool = False  # nothing of the body is left to come
    _waiting: bool = False
    _expired: bool = False
    _task: asyncio.Task[object] | None = None
    _timer: asyncio.TimerHandle | None = None

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Have the application serve the request."""
        self._task = task = asyncio.current_task()
        try:
            await app(scope, self.receive, self.send)
        except asyncio.CancelledError:
            if not self._expired or task is None or task.uncancel() > 0:
                raise  # somebody else's cancellation
        except Exception:
            if not self._answered:
                raise
        finally:
            self._finish()
        if self._expired and not self._started:
            await answer(self._scope, self._send, TOO_SLOW)

    async def receive(self) -> Message:
        """The next of the body, for the application."""
        if self._answered:
            return {"type": "http.disconnect"}
        if self._done:
            return await self._receive()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._expire)
        self._waiting = True
        try:
            message = await self._receive()
        finally:
            self._waiting = False
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            self._finish()
            self._answered = True
            if not self._started:
                await answer(self._scope, self._send, TOO_LARGE)
            return {"type": "http.disconnect"}
        if not message.get("more_body", False):
            self._finish()
        return message

    def _finish(self) -> None:
        self._done = True
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self) -> None:
        if self._waiting and self._task is not None:
            # Nothing but a cancellation gets the application out of `receive`.
            self._expired = True
            self._task.cancel()
        else:
            # It was the application that took its time; what has arrived by now may still be read.
            self._timer = None
            self._seconds = 1.0

    async def send(self, message: Message) -> None:
        """Send what the application answers, unless the answer has been given."""
        if not self._answered:
            self._started = True
            await self._send(message)
