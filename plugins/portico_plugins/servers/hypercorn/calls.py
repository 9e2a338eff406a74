"""The application calls of one connection: their tasks, and the queue each reads its request from."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from hypercorn.config import Config
from hypercorn.typing import AppWrapper, ASGIReceiveEvent, ASGISendEvent, Scope
from starlette.types import ASGIApp, Message

from portico.api import Log

_QUEUED: Final = 8
_FAILED: Final = b'{"error": "internal error"}'


class Inbox:
    """What the server has for one call. A full one holds the socket back; a disconnect is never held back."""

    __slots__ = ("_closed", "_gone", "_messages", "_read", "_written")

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._read = asyncio.Event()
        self._written = asyncio.Event()
        self._gone: Message | None = None
        self._closed = False

    async def put(self, message: ASGIReceiveEvent) -> None:
        """Hand a message over, once there is room for it."""
        item = cast("Message", message)
        if item["type"] in ("http.disconnect", "websocket.disconnect"):
            self._gone = item
            if len(self._messages) >= _QUEUED:
                self._messages.clear()  # nobody needs the rest of the body any more
            self._read.set()
        else:
            while len(self._messages) >= _QUEUED and not self._closed and self._gone is None:
                self._read.clear()
                await self._read.wait()
            if self._closed or self._gone is not None:
                return
            self._messages.append(item)
        self._written.set()

    async def receive(self) -> Message:
        """ASGI `receive`: messages in order, then the disconnect as often as it is asked for."""
        while not self._messages:
            if self._gone is not None:
                return self._gone
            self._written.clear()
            await self._written.wait()
        message = self._messages.popleft()
        self._read.set()
        return message

    def close(self) -> None:
        """The call is over: whatever else comes is dropped."""
        self._closed = True
        self._messages.clear()
        self._read.set()


class Calls:
    """What Hypercorn's protocols take for their task group.

    Args:
        app: The application.
        limit: How many tasks one connection may have.
        draining: Set when answers are to carry `Connection: close`.
        log: Where failures of the application go.
    """

    def __init__(self, app: ASGIApp, limit: int, draining: asyncio.Event, log: Log) -> None:
        self._app = app
        self._limit = limit
        self._draining = draining
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = False

    @property
    def full(self) -> bool:
        """Whether the connection has as many calls as it may, those of reset streams included."""
        return len(self._tasks) >= self._limit

    def spawn(self, func: Callable[..., Any], *args: Any) -> None:
        """Run `func(*args)` until the connection ends."""
        task = asyncio.get_running_loop().create_task(func(*args))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._log.error("server.task_failed", error=type(task.exception()).__name__)

    async def spawn_app(
        self,
        app: AppWrapper,
        config: Config,
        scope: Scope,
        send: Callable[[ASGISendEvent | None], Awaitable[None]],
    ) -> Callable[[ASGIReceiveEvent], Awaitable[None]]:
        """Start a call; gives the function that feeds it."""
        inbox = Inbox()
        self.spawn(
            self._call, cast("dict[str, Any]", scope), inbox, cast("Callable[[Any], Awaitable[None]]", send)
        )
        return inbox.put

    async def _call(
        self, scope: dict[str, Any], inbox: Inbox, send: Callable[[Message | None], Awaitable[None]]
    ) -> None:
        started = False
        http1 = scope["http_version"] in ("1.1", "1.0")

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                if http1 and self._draining.is_set():
                    headers = [*message.get("headers", ()), (b"connection", b"close")]
                    message = {**message, "headers": headers}
            await send(message)

        try:
            await self._app(scope, inbox.receive, answer)
        except (Exception, asyncio.CancelledError) as error:
            if self._ended:
                raise
            self._log.error("server.app_failed", error=type(error).__name__, exc_info=error)
            if not started and scope["type"] == "http":  # Hypercorn closes a WebSocket
                headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_FAILED))]
                await answer({"type": "http.response.start", "status": 500, "headers": headers})
                await answer({"type": "http.response.body", "body": _FAILED})
        finally:
            inbox.close()
        await send(None)

    async def wait(self) -> None:
        """Return when every task has ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def cancel(self) -> None:
        """Cancel every task, and wait for that."""
        self._ended = True
        for task in self._tasks:
            task.cancel()
        await self.wait()
