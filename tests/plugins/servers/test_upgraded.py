"""WebSocket connections on the listener: how they end."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
from typing import Any

import pytest

import portico_plugins.servers.hypercorn as plugin
from tests.plugins.servers.serving import Served, serving

PATIENCE = 20
pytestmark = pytest.mark.usefixtures("lane")


def handshake() -> bytes:
    return (
        b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: " + base64.b64encode(os.urandom(16)) + b"\r\n\r\n"
    )


class Talker:
    """A WebSocket application that sends more than anybody takes, and then has had enough; else 200."""

    def __init__(self, *, closes: bool) -> None:
        self.closes = closes
        self.over = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await send({"type": "websocket.accept"})
        sending = asyncio.ensure_future(self._flood(send))
        sent = -1
        while sent != self.sent:  # until it does not get further
            sent = self.sent
            await asyncio.wait([sending], timeout=0.05)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        self.over.set()
        if self.closes:
            await send({"type": "websocket.close", "code": 1013})

    sent = 0

    async def _flood(self, send: Any) -> None:
        while True:
            await send({"type": "websocket.send", "bytes": b"x" * 100_000})
            self.sent += 1


async def _served(served: Served) -> bool:
    """Whether there is a place for one more connection; where there is none, TLS is cut short."""
    try:
        return (await served.ask(b"GET / HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("closes", [True, False], ids=["it closes", "it returns"])
async def test_a_client_that_takes_nothing_is_cut_off_soon_after_its_session_has_ended(
    monkeypatch: pytest.MonkeyPatch, tls: bool, closes: bool
) -> None:
    monkeypatch.setattr(plugin, "_LINGER", 0.05)
    app = Talker(closes=closes)
    async with serving(app, tls, max_connections=1, write_timeout=3600.0, ws_ping=3600.0) as served:
        wire = await served.connect()
        try:
            wire.write(handshake())
            async with asyncio.timeout(PATIENCE):
                assert b" 101 " in await wire.reader.readuntil(b"\r\n\r\n")
                wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
                await app.over.wait()
                # Its place is free again, which nothing else than cutting it off has a reason to give back.
                while not await _served(served):
                    await asyncio.sleep(0)
        finally:
            wire.writer.transport.abort()


async def test_a_client_that_takes_it_all_gets_it_however_long_that_lasts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plugin, "_LINGER", 3600.0)
    app = Talker(closes=True)
    async with serving(app) as served:
        sock = socket.create_connection(("127.0.0.1", served.port))
        wire = await asyncio.open_connection(sock=sock)
        try:
            wire[1].write(handshake())
            async with asyncio.timeout(PATIENCE):
                await wire[0].readuntil(b"\r\n\r\n")
                await app.over.wait()
                data = b""
                while not data.endswith(b"\x88\x02\x03\xf5"):  # close, 1013
                    more = await wire[0].read(1 << 20)
                    assert more, "the connection ended first"
                    data += more
            assert len(data) > app.sent * 100_000
        finally:
            wire[1].transport.abort()
