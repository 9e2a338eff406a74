"""A bounded event log for the legacy transport, so that a broken stream can be resumed."""

from __future__ import annotations

from collections import OrderedDict

import attrs
from mcp.server.streamable_http import EventCallback, EventId, EventMessage, EventStore, StreamId
from mcp.types import JSONRPCMessage

KEEP = 10_000
"""Events kept; the oldest go first."""


@attrs.define
class EventLog(EventStore):
    """Every event of every stream in the order it was sent; ids are positions in that order."""

    _next: int = 1
    _events: OrderedDict[EventId, tuple[StreamId, JSONRPCMessage | None]] = attrs.field(factory=OrderedDict)

    async def store_event(self, stream_id: StreamId, message: JSONRPCMessage | None) -> EventId:
        """Keep one event; None is the priming event that only carries an id."""
        event_id = str(self._next)
        self._next += 1
        self._events[event_id] = (stream_id, message)
        if len(self._events) > KEEP:
            self._events.popitem(last=False)
        return event_id

    async def replay_events_after(
        self, last_event_id: EventId, send_callback: EventCallback
    ) -> StreamId | None:
        """Send what came after an event on its stream; None when the event is not known."""
        known = self._events.get(last_event_id)
        if known is None:
            return None
        stream = known[0]
        later = [
            EventMessage(message, event_id)
            for event_id, (owner, message) in self._events.items()
            if owner == stream and int(event_id) > int(last_event_id) and message is not None
        ]
        for event in later:
            await send_callback(event)
        return stream
