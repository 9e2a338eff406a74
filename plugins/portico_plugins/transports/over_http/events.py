"""Streams poured into replies as server-sent events."""

from __future__ import annotations

import asyncio

from portico.api import Reply, Stream, sse_event, sse_events, sse_numbered
from portico_plugins.transports.over_http.wire import KEEP_ALIVE, start_events


async def pour(
    stream: Stream,
    reply: Reply,
    keep_alive: float,
    *,
    at: int = 0,
    numbered: bool = False,
    retry: int | None = None,
    patience: float = 30.0,
) -> None:
    """Send what comes on a stream until it ends, or its reader is sent away, replaced or cancelled.

    Args:
        stream: What to send; its reader is attached already, and is detached by whoever did that.
        reply: Where to.
        keep_alive: Seconds of silence before a comment.
        at: The number of the last frame the client has.
        numbered: Whether events carry ids, so that the client can come back for what it missed.
        patience: Seconds the client may take nothing before it is cut off.
        retry: Milliseconds to prime the client with: an id before any event (2025-11-25, resumability).
    """
    mine = stream.reader
    try:
        start_events(reply)
        if retry is not None:
            reply.write(sse_event(b"", id=f"{stream.ident}-{at}", retry=retry))
        while stream.reader is mine:
            if reply.full:
                stream.stalled = True
                try:
                    async with asyncio.timeout(patience):
                        await reply.room()
                except TimeoutError:
                    reply.cut()
                    return
                finally:
                    stream.stalled = False
            await stream.wait(at, keep_alive)
            if stream.reader is not mine:
                break
            events = stream.take(at)
            if events:
                at = events[-1][0]
                if numbered:
                    reply.write(sse_numbered(events, stream.ident))
                else:
                    reply.write(sse_events([frame for _, frame in events]))
            elif stream.ended:
                break
            elif stream.retry is not None:
                reply.write(b"retry: %d\n\n" % stream.retry)
                stream.retry = None
                break
            else:
                reply.write(KEEP_ALIVE)
        reply.end()
    except asyncio.CancelledError:
        # The client has gone, or the gateway ends: either way nobody reads what would follow.
        reply.end()
        raise
