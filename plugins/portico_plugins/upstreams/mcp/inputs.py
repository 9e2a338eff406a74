"""What tasks of 2025-11-25 ask of clients that come back for the questions (SEP-2663, `inputRequests`)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final

import attrs

from portico.api import METHOD_NOT_FOUND, OVERLOADED, Exchange, Json, Refused, failure

from .call import ASKABLE, Call
from .session import SessionExpired

_MOST: Final = 64
"""Tasks of one session that may have questions at one time."""
_LONGEST: Final = 3600.0
"""Seconds a task may wait for an answer."""
_SOON: Final = 2.0
"""Seconds in which a server puts its questions when it is ready to hear the answers."""


class _Open:
    """A task whose server has been told to put its questions: the client of a request for its result.

    Attributes:
        work: Waits for the result; the questions come meanwhile.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.work: asyncio.Task[None] | None = None
        self.heard = asyncio.Event()
        self._capabilities = exchange.capabilities
        self._asked: dict[str, tuple[Json, asyncio.Future[Json]]] = {}

    async def notify(self, method: str, params: Json) -> None:
        """Nobody listens."""

    def progress(self, params: bytes) -> bool:
        """Nobody listens."""
        return False

    def poll(self, retry_ms: int) -> None:
        """Nobody to send away."""

    async def ask(self, method: str, params: Json) -> Json:
        """Keep a question until the client has come for it, and has answered."""
        if ASKABLE.get(method) not in self._capabilities:
            raise Refused(METHOD_NOT_FOUND, "Method not found")
        key = f"ask-{secrets.token_hex(6)}"
        answer: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        shown = {name: value for name, value in params.items() if name not in ("elicitationId", "task")}
        self._asked[key] = {"method": method, "params": shown}, answer
        self.heard.set()
        try:
            return await answer
        finally:
            self._asked.pop(key, None)

    def answer(self, answers: Json) -> None:
        """Take answers; those nobody asked for are ignored."""
        for key, answer in answers.items():
            asked = self._asked.get(key)
            if asked is not None and isinstance(answer, dict) and not asked[1].done():
                asked[1].set_result(answer)
                del self._asked[key]
        if not self._asked:
            self.heard.clear()

    def requests(self) -> Json:
        """What waits for an answer."""
        return {key: request for key, (request, _) in self._asked.items()}


class Inputs:
    """The questions of one session's tasks.

    Args:
        result: Asks for a task's result with a call.
        pin: Told +1 and -1, while the session has to stay for a task.
    """

    def __init__(self, result: Callable[[str, Call], Awaitable[bytes]], pin: Callable[[int], Any]) -> None:
        self._result = result
        self._pin = pin
        self._open: dict[str, _Open] = {}

    async def asked(self, own: str, exchange: Exchange) -> Json:
        """What a task that requires input asks, by keys of ours; `{}` when it has not said yet.

        Raises:
            Refused: 50302: too many tasks have questions.
        """
        opened = self._open.get(own)
        if opened is None:
            if len(self._open) >= _MOST:
                raise failure(OVERLOADED, "Too many tasks wait for your answers", reason="task_limit")
            opened = self._open[own] = _Open(exchange)
            opened.work = asyncio.create_task(self._listen(own, opened, exchange))
        try:
            async with asyncio.timeout(_SOON):
                await opened.heard.wait()
        except TimeoutError:
            return {}
        return opened.requests()

    async def _listen(self, own: str, opened: _Open, exchange: Exchange) -> None:
        self._pin(1)
        try:
            async with asyncio.timeout(_LONGEST):
                call = Call("tasks/result", attrs.evolve(exchange, client=opened, progress_token=None))
                await self._result(own, call)
        except (Refused, SessionExpired, TimeoutError):
            pass  # whatever is wrong with the task, who asks for it is told
        finally:
            self._pin(-1)
            opened.heard.set()
            if self._open.get(own) is opened:
                del self._open[own]

    def answer(self, own: str, answers: Json) -> None:
        """Give a task the answers to its questions."""
        opened = self._open.get(own)
        if opened is not None:
            opened.answer(answers)

    def drop(self, own: str) -> None:
        """The task is over: it is asked nothing more."""
        opened = self._open.pop(own, None)
        if opened is not None and opened.work is not None:
            opened.work.cancel()

    def drop_all(self) -> list[asyncio.Task[None]]:
        """The session is over; gives what has to end."""
        works = [opened.work for opened in self._open.values() if opened.work is not None]
        self._open.clear()
        return works
