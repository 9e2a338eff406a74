"""The operations of an agent that calls of tools need."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Coroutine
from typing import Any, Final

from portico.api import Host, Json

from .link import Link
from .operations import CANCEL, GET, SEND, STREAM, Context, Transport

_CANCELLING: Final = 5.0
"""Seconds to cancel a task in, whatever becomes of it."""


class Agent:
    """The agent behind an upstream.

    Args:
        link: The connection.
        host: The upstream's host.

    Attributes:
        streams: Whether its card says that it does.
    """

    def __init__(self, link: Link, host: Host) -> None:
        self.streams = False
        self._link = link
        self._host = host
        self._work: set[asyncio.Task[None]] = set()

    @property
    def paths(self) -> bool:
        """Whether the ids of tasks are parts of the paths of requests."""
        return self._link.paths

    @property
    def transport(self) -> Transport:
        """How it is spoken to at this time."""
        assert self._link.transport is not None
        return self._link.transport

    async def send(self, message: Json, context: Context) -> Json:
        """Send a message, and have the first that comes of it: `{"task"}` or `{"message"}`."""
        request: Json = {"message": message, "configuration": {"returnImmediately": True}}
        return await self.transport.call(SEND, request, context)

    def stream(self, message: Json, context: Context) -> AsyncGenerator[Json]:
        """Send a message, and have all that comes of it."""
        return self.transport.stream(STREAM, {"message": message}, context)

    async def task(self, ident: str, context: Context) -> Json:
        """A task as it is now, without its history."""
        return await self.transport.call(GET, {"id": ident, "historyLength": 0}, context)

    async def cancel(self, ident: str, context: Context) -> Json:
        """Have a task cancelled."""
        return await self.transport.call(CANCEL, {"id": ident}, context)

    def give_up(self, ident: str | Awaitable[str], headers: dict[str, str]) -> None:
        """Have a task cancelled that nobody waits for any more, beside everything else.

        Args:
            ident: Its id, or what it becomes known by; "" for none.
            headers: Of the request.
        """
        self._beside(self._given_up(ident, headers))

    async def _given_up(self, ident: str | Awaitable[str], headers: dict[str, str]) -> None:
        try:
            async with asyncio.timeout(_CANCELLING):
                known = ident if isinstance(ident, str) else await ident
                if known and self._link.transport is not None:
                    await self.cancel(known, Context(headers, _CANCELLING))
        except Exception as error:  # it is over, or cannot be cancelled, or the agent is away: nobody waits
            self._host.log.debug("a2a_cancel_failed", error=type(error).__name__)

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def close(self) -> None:
        """Wait a moment for what is done beside everything else."""
        if self._work:
            _, late = await asyncio.wait(self._work, timeout=1.0)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
