"""A pipe many calls share: answers are matched by id, everything else by the best guess there is."""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from portico.api import Host, Refused
from portico_plugins.failures import bad_response

from . import wire
from .backchannel import Backchannel
from .call import Call
from .session import Wire


class Multiplex(Wire):
    """A wire whose server has one stream for everything (stdio, HTTP+SSE).

    Args:
        host: The upstream's host.
        backchannel: Makes the backchannel, given how to respond.
    """

    def __init__(self, host: Host, backchannel: Callable[[Any], Backchannel]) -> None:
        super().__init__()
        self._host = host
        self._back = backchannel(self.post)
        self._loose: set[asyncio.Task[None]] = set()

    @abc.abstractmethod
    async def write(self, body: bytes) -> None:
        """Write one frame; waits while the other side is slow."""

    async def post(self, body: bytes) -> None:
        """Send a notification or a response."""
        if self.lost.is_set():
            raise wire.again(self.why) if self.why else bad_response(self._host.name, "closed")
        await self.write(body)

    async def perform(self, call: Call, body: bytes) -> bytes:
        """Send a request and wait for its answer."""
        if self.lost.is_set():
            raise wire.again(self.why) if self.why else bad_response(self._host.name, "closed")
        self._back.calls[call.id] = call
        try:
            await self.write(body)
            while True:
                try:
                    result = await self._back.heard(await call.take(), call)
                except wire.Garbled:
                    raise bad_response(self._host.name, "malformed_message", call.exchange) from None
                if result is not None:
                    return result
        except asyncio.CancelledError:
            call.finish(cancelled=True)
            if call.method != "initialize" and not self.lost.is_set():
                self.background(self._cancelled(call))
            raise
        finally:
            self._back.calls.pop(call.id, None)
            call.finish()

    async def _cancelled(self, call: Call) -> None:
        try:
            await self.post(wire.notification("notifications/cancelled", {"requestId": call.id}))
        except Refused as refusal:
            self._host.log.debug("upstream_cancel_lost", reason=refusal.message)

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something nobody waits for, for as long as the wire lives."""
        task = asyncio.create_task(work)
        self._loose.add(task)
        task.add_done_callback(self._loose.discard)

    def received(self, data: bytes | str) -> None:
        """Take one frame from the server.

        Raises:
            Garbled: It is not JSON-RPC.
        """
        for message in wire.messages(data):
            if not message.method:
                ident = message.request_id
                call = self._back.calls.get(ident) if ident is not None else None
            else:
                call = self._back.related(message)
            if call is not None and not (message.method and bytes(message.id)):
                call.put(message)
            elif message.method and bytes(message.id):
                self._back.asked(message, call, certain=False)
            elif message.method:
                self.background(self._told(message))

    async def _told(self, message: wire.Message) -> None:
        try:
            await self._back.told(message, None)
        except wire.Garbled:
            self._host.log.debug("upstream_notification_garbled", method=message.method)

    def lose(self, why: Refused) -> None:
        """The pipe is gone; so are the calls on it."""
        super().lose(why)
        self._back.close(why)
        for task in tuple(self._loose):
            task.cancel()
