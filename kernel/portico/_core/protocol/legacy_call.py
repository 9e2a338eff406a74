"""The call of a legacy client: frames and questions as messages on its stream."""

from __future__ import annotations

from typing import Protocol

from portico._core.contracts.exchange import Exchange
from portico._core.contracts.json import Json
from portico._core.protocol.audience import admit, check_ask
from portico._core.protocol.call import Call, OnFault, Run
from portico._core.protocol.jsonrpc import Id, notification_frame, progress_frame
from portico._core.protocol.stream import Sink


class Asker(Protocol):
    """What a legacy call belongs to: its session."""

    async def ask_on(self, method: str, params: Json, sink: Sink) -> Json:
        """Ask the client on a stream."""
        ...

    def settled(self, call: LegacyCall) -> None:
        """The call is over."""
        ...


class LegacyCall(Call):
    """A legacy client's call: frames and questions travel on its stream, as ordinary messages.

    Args:
        exchange: What it carries out.
        run: Does it.
        on_fault: Told of what nobody meant.
        ident: The request's id.
        sink: The stream of the request.
        asker: Puts questions to the client, and hears when the call is over.
    """

    __slots__ = ("_asker", "ident", "sink")

    def __init__(
        self, exchange: Exchange, run: Run, on_fault: OnFault, ident: Id, sink: Sink, asker: Asker
    ) -> None:
        self.ident = ident
        self.sink = sink
        self._asker = asker
        super().__init__(exchange, run, on_fault)

    async def notify(self, method: str, params: Json) -> None:
        """Put a frame on the stream; waits while its reader is far behind."""
        shaped = admit(self.exchange, method, params)
        if shaped is not None:
            await self.sink.put(notification_frame(method, shaped))

    def progress(self, params: bytes) -> bool:
        """Put progress on the stream as it is, unless its reader is far behind."""
        if self.exchange.progress_token is None:
            return False
        return self.sink.offer(progress_frame(params))

    async def ask(self, method: str, params: Json) -> Json:
        """Send the client a request on the stream and wait for its response."""
        check_ask(self.exchange.capabilities, method, params)
        return await self._asker.ask_on(method, params, self.sink)

    def poll(self, retry_ms: int) -> None:
        """Send the client away from an SSE stream, to come back with `Last-Event-ID`."""
        poll = getattr(self.sink, "poll", None)
        if poll is not None:
            poll(retry_ms)

    def _settled(self) -> None:
        self._asker.settled(self)
