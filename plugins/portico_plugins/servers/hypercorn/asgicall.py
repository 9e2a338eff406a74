"""An ASGI call on the fast lane: the application in a task, its request read from the connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from starlette.types import Message

from portico.api import Scope

if TYPE_CHECKING:
    from portico_plugins.servers.hypercorn.answer import Answer
    from portico_plugins.servers.hypercorn.requests import Requests

_BREATH: Final = 64 * 1024


class AsgiCall:
    """One request given to the application.

    Args:
        connection: What it came on.
        scope: Its scope.
        answer: Where its answer goes.
    """

    __slots__ = ("_answer", "_connection", "_ended", "_news", "_scope", "_written")

    def __init__(self, connection: Requests, scope: Scope, answer: Answer) -> None:
        self._connection = connection
        self._scope = scope
        self._answer = answer
        self._news = asyncio.Event()
        self._ended = False  # the application has had the end of the body
        self._written = 0

    def poke(self) -> None:
        """Something has come, or the client has gone."""
        self._news.set()

    async def run(self) -> None:
        """Call the application; an error of its own is a short 500, if it is not too late for one."""
        connection, answer = self._connection, self._answer
        try:
            await connection.service.app(self._scope, self._receive, self._send)
        except (Exception, asyncio.CancelledError) as error:
            if connection.ended:
                raise
            connection.failed(answer, error)
        else:
            if connection.half_closed and not answer.over:
                connection.break_off(answer)  # it has been told that the client is gone
            else:
                answer.fail()

    async def _receive(self) -> Message:
        connection = self._connection
        while True:
            if self._answer.over or connection.gone:
                return {"type": "http.disconnect"}
            if not self._ended:
                body = connection.take(self._answer)
                if body is None:
                    return {"type": "http.disconnect"}
                more = not connection.complete
                if body or not more:
                    self._ended = not more
                    return {"type": "http.request", "body": body, "more_body": more}
                if connection.half_closed:
                    return {"type": "http.disconnect"}
            self._news.clear()
            await self._news.wait()

    async def _send(self, message: Message) -> None:
        answer = self._answer
        if answer.over:
            await asyncio.sleep(0)  # an application that never stops sending must not starve the others
            return
        kind = message["type"]
        if kind == "http.response.start" and not answer.begun:
            answer.start(int(message["status"]), _pairs(message.get("headers", ())))
        elif kind == "http.response.body" and answer.begun:
            body = bytes(message.get("body", b""))
            if body:
                answer.write(body)
                self._written += len(body)
            if not message.get("more_body", False):
                answer.end()
            elif answer.full:
                self._written = 0
                await answer.room()
            elif self._written > _BREATH:
                self._written = 0
                await asyncio.sleep(0)
        else:
            raise RuntimeError(f"unexpected ASGI message {kind}")


def _pairs(headers: Any) -> list[tuple[bytes, bytes]]:
    return [(bytes(name).strip().lower(), bytes(value).strip()) for name, value in headers]
