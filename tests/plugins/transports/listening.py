"""A gateway of the tests on a socket of its own, behind the server it really has."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.plugins.transports.web import Web


@asynccontextmanager
async def listening(web: Web, *, whole: bool = True) -> AsyncIterator[tuple[str, int]]:
    """Serve it, and stop when left; gives the address.

    Args:
        web: The gateway.
        whole: Whether the server may hand requests in without ASGI.
    """
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    address = sock.getsockname()
    draining, stopping = asyncio.Event(), asyncio.Event()
    (server,) = web.gateway.servers.values()
    admit = web.gateway.admit if whole else None
    serving = asyncio.ensure_future(
        server.serve(web.gateway.app, [sock], draining.wait, stopping.wait, admit)
    )
    try:
        yield address
    finally:
        web.upstream.gate.set()
        draining.set()
        stopping.set()
        await serving
