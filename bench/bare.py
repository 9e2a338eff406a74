"""`python -m bench.bare PORT FILE`: answers every list with one result from memory, and does nothing else.

What it uses for an answer is what it costs any Python process on this event loop to read a request and to
write that many bytes. It knows just enough HTTP and MCP for the load generator: one request at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

_HEAD: Final = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n"
_INITIALIZED: Final = (
    b'{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"bare","version":"1"}}'
)
_LENGTH: Final = b"content-length:"


class Bare(asyncio.Protocol):
    """One connection.

    Args:
        result: JSON text; the result of every list.
    """

    def __init__(self, result: bytes) -> None:
        self._result = result
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer a request, once it is whole."""
        self._unread = data = self._unread + data if self._unread else data
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        head = data[:end].lower()
        start = head.find(_LENGTH) + len(_LENGTH)
        if start >= len(_LENGTH) and len(data) < end + int(head[start : head.find(b"\r", start)]):
            return
        self._unread = b""
        start = data.find(b'"id":', end) + 5
        if start < 5:
            self._transport.write(_HEAD % (b"202 Accepted", b"", 0))
            return
        ident = data[start : min(at for at in (data.find(b",", start), data.find(b"}", start)) if at > 0)]
        session, result = b"", self._result
        if data.find(b'"initialize"', end) > 0:
            session, result = b"mcp-session-id: bare\r\n", _INITIALIZED
        before = b'{"jsonrpc":"2.0","id":%b,"result":' % ident
        length = len(before) + len(result) + 1
        self._transport.writelines((_HEAD % (b"200 OK", session, length) + before, result, b"}"))


async def serve(port: int, result: bytes) -> None:
    """Answer until terminated."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Bare(result), "127.0.0.1", port)
    print("listening", flush=True)
    await server.serve_forever()


def new_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, as the gateway has it, or None for asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=new_loop()) as runner:
        runner.run(serve(int(sys.argv[1]), Path(sys.argv[2]).read_bytes()))
