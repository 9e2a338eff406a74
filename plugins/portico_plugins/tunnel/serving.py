"""The channels of one connection, each a conversation with the virtual server."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import msgspec

from portico.api import (
    UPSTREAM_BAD_RESPONSE,
    Endpoint,
    Host,
    Json,
    Principal,
    Unread,
    error_frame,
    failure,
)
from portico_plugins.transports.talking.outbox import Bounds, Outbox
from portico_plugins.transports.talking.talk import Talk

from .channel import Channel, ChannelLost, TooLong

_BOUNDS: Final = Bounds(Unread(64, 1 << 20), 1 << 16, 1 << 28)
"""A gateway that is slow is waited for; its channels are no reason to give up its connection."""

_LAST_WORDS: Final = 1.0
"""Seconds for answers to what is under way when it is to end."""


class Conversation:
    """One channel.

    Args:
        channel: It.
        endpoint: The virtual server.
        principal: Whose it is.
    """

    def __init__(self, channel: Channel, endpoint: Endpoint, principal: Principal) -> None:
        self._channel = channel
        self._outbox = Outbox(_BOUNDS)
        self._inbox: asyncio.Queue[bytes] = asyncio.Queue()
        self._over = asyncio.Event()
        self._talk = Talk(endpoint, principal, self._outbox, on_end=self._over.set)
        channel.received = self._inbox.put_nowait  # bounded by the credit that is not given back
        channel.on_lost = lambda why: self._over.set()

    async def run(self) -> None:
        """Carry it until either side ends it."""
        reading = asyncio.create_task(self._read())
        writing = asyncio.create_task(self._write())
        over = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait([reading, writing, over], return_when=asyncio.FIRST_COMPLETED)
            reading.cancel()
            if not self._channel.lost:
                await self._talk.finish(_LAST_WORDS)
                self._outbox.close()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LAST_WORDS):
                        await writing
                        await self._channel.flush()
        finally:
            for task in (reading, writing, over):
                task.cancel()
            self._outbox.close()
            await self._talk.close()
            self._channel.close()
            await asyncio.gather(reading, writing, over, return_exceptions=True)

    async def _read(self) -> None:
        while True:
            message = await self._inbox.get()
            self._talk.receive(message)
            await self._outbox.room()
            self._channel.consumed(message)

    async def _write(self) -> None:
        with contextlib.suppress(ChannelLost):
            while (frames := await self._outbox.take()) is not None:
                for frame in frames:
                    try:
                        await self._channel.send(frame)
                    except TooLong:
                        await self._channel.send(_instead(frame))


class _Answer(msgspec.Struct):
    id: str | int | None = None
    method: str = ""


def _instead(frame: bytes) -> bytes:
    """The error that an answer becomes that is too long for the gateway.

    Raises:
        ChannelLost: It is a request or a notification, for which there is nothing instead.
    """
    found = msgspec.json.decode(frame, type=_Answer)
    if found.method:
        raise ChannelLost("message_too_large")
    text = "The upstream's answer is longer than the gateway takes."
    refusal = failure(UPSTREAM_BAD_RESPONSE, text, reason="message_too_large")
    return error_frame(found.id, refusal.body())


class Conversations:
    """All channels of one connection.

    Args:
        host: The transport's host.
        server: The virtual server.
        most: How many there may be.
    """

    def __init__(self, host: Host, server: str, most: int) -> None:
        self._host = host
        self._server = server
        self._most = most
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, channel: Channel, said: Json) -> None:
        """Serve a channel that the gateway has opened."""
        endpoint = self._host.wiring.endpoints.get(self._server)
        if endpoint is None or len(self._running) >= self._most:
            channel.close("too_many_channels" if endpoint is not None else "no_server")
            return
        # Who it is, is the gateway's to say: it differs for each of its callers, and tells nothing of them.
        owner = said.get("owner")
        principal = Principal(owner[:64] if isinstance(owner, str) and owner else "gateway", self._host.name)
        task = asyncio.create_task(Conversation(channel, endpoint, principal).run())
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._host.log.error("tunnel_conversation_failed", exc_info=error)

    async def finish(self, seconds: float) -> None:
        """Wait a while for those that are about to end."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)

    async def close(self) -> None:
        """End all of them."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)
