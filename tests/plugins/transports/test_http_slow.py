"""Clients that do not read, over real sockets: what waits for them is bounded, and so is how long."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest

from portico.api import GATEWAY, LATEST_LEGACY, LATEST_MODERN, Json
from tests.plugins.transports.kit import META
from tests.plugins.transports.test_http_sockets import Served, Socket, served
from tests.plugins.transports.web import BASE, PATIENCE, frame

LIMITS = "unread_frames = 4\nunread_seconds = 0.5"
ORDINARY = """
[listeners.slow]
use = "hypercorn"
fast_lane = false
"""
URI = "test://one"
TOKEN = "t" * 1000
FLOOD = {"n": 30_000}
"""Of frames with that token: more than all buffers between here and there hold."""


@pytest.fixture(params=["without ASGI", "fast lane", "ordinary lane"])
async def it(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    more = ORDINARY if request.param == "ordinary lane" else ""
    async with served(LIMITS, more, whole=request.param == "without ASGI") as served_:
        yield served_


async def until(it: Served, condition: Callable[[], bool]) -> None:
    """Wait for something, while others are served."""
    wire = await it.connect()
    async with asyncio.timeout(PATIENCE):
        while not condition():
            assert "result" in await (await it.modern("echo", on=wire)).body()


@asynccontextmanager
async def unread(it: Served) -> AsyncIterator[Socket]:
    """A connection nobody reads from, with a small buffer."""
    wire = await it.connect(4096)
    cast("asyncio.Transport", wire.writer.transport).pause_reading()
    try:
        yield wire
    finally:
        wire.writer.transport.abort()


async def rest_of(wire: Socket) -> bytes:
    """What still comes on a connection until it ends, by whatever means."""
    # Through the small buffer megabytes would take minutes.
    wire.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    cast("asyncio.Transport", wire.writer.transport).resume_reading()
    data = b""
    async with asyncio.timeout(PATIENCE):
        try:
            while more := await wire.reader.read(1 << 16):
                data += more
        except ConnectionResetError:
            pass
    return data


async def session(it: Served) -> dict[str, str]:
    """The headers of a new legacy session that watches the resource."""
    wire = await it.connect()
    params = {
        "protocolVersion": LATEST_LEGACY,
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    }
    wire.send("POST", BASE, frame(0, "initialize", params))
    await wire.body()
    headers = {**BASE, "mcp-session-id": wire.headers["mcp-session-id"]}
    wire.send("POST", headers, frame(1, "resources/subscribe", {"uri": URI}))
    assert "result" in await wire.body()
    return headers


def flood(headers: Json, wire: Socket) -> None:
    params = {"name": "flood", "arguments": FLOOD, "_meta": {"progressToken": TOKEN}}
    wire.send("POST", headers, frame(2, "tools/call", params))


async def listen(it: Served, wire: Socket) -> None:
    headers = {**BASE, "mcp-protocol-version": LATEST_MODERN, "mcp-method": "subscriptions/listen"}
    params = {"notifications": {"resourceSubscriptions": [URI]}, "_meta": META}
    wire.send("POST", headers, frame(3, "subscriptions/listen", params))


def update(it: Served) -> None:
    """Have the upstream say that the resource has changed, at length."""
    it.web.gateway.plane.resource_updated("one", GATEWAY, {"uri": URI, "pad": "x" * 100_000})


async def test_a_modern_call_whose_client_reads_nothing_is_held_up_and_then_cancelled(it: Served) -> None:
    load = it.web.gateway.plane.load
    async with unread(it) as wire:
        await it.modern("flood", FLOOD, on=wire, progressToken=TOKEN)
        await until(it, lambda: it.web.upstream.sent > 0)
        await until(it, lambda: not load.calls)
        assert it.web.upstream.sent < FLOOD["n"]
        assert not (await rest_of(wire)).endswith(b"0\r\n\r\n")  # it is not taken for whole


async def test_a_legacy_call_whose_client_reads_nothing_goes_on_without_it(it: Served) -> None:
    headers = await session(it)
    async with unread(it) as wire:
        flood(headers, wire)
        await until(it, lambda: it.web.upstream.sent >= FLOOD["n"])
        cut = await rest_of(wire)
    assert not cut.endswith(b"0\r\n\r\n")
    other = await it.connect()
    other.send("GET", {**headers, "last-event-id": "1-0"})
    assert await other.head() == 200
    while "result" not in (message := await other.message()):
        assert message["method"] == "notifications/progress"
    assert message["id"] == 2  # the answer was kept for it


async def test_a_get_stream_that_nobody_reads_ends_and_its_session_goes_on(it: Served) -> None:
    headers, others = await session(it), await session(it)
    beside = await it.connect()
    beside.send("GET", others)
    assert await beside.head() == 200
    async with unread(it) as wire:
        wire.send("GET", headers)
        (held,) = [s for s in it.web.sessions._sessions.values() if s.session.id == headers["mcp-session-id"]]
        await until(it, lambda: held.session.outlet is not None and held.session.outlet.attached)
        stream = held.session.outlet
        assert stream is not None
        while stream.attached:
            update(it)
            assert (await beside.message())["method"] == "notifications/resources/updated"
    again = await it.connect()
    again.send("GET", headers)
    assert await again.head() == 200
    update(it)
    assert (await again.message())["params"]["uri"] == URI


async def test_a_listen_stream_that_nobody_reads_ends_and_others_go_on(it: Served) -> None:
    beside = await it.connect()
    await listen(it, beside)
    assert await beside.head() == 200
    assert (await beside.message())["method"] == "notifications/subscriptions/acknowledged"
    subscriptions = it.web.gateway.plane.hub._subscriptions["default"]
    async with unread(it) as wire:
        await listen(it, wire)
        await until(it, lambda: len(subscriptions) == 2)
        while len(subscriptions) == 2:
            update(it)
            assert (await beside.message())["method"] == "notifications/resources/updated"
    update(it)
    assert (await beside.message())["method"] == "notifications/resources/updated"
