"""Virtual servers that come and go while clients are there, on every transport that is there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from portico.api import Author, Change
from tests.kernel.cli.conftest import serving
from tests.plugins.transports.kit import HELLO, modern
from tests.plugins.transports.listening import listening
from tests.plugins.transports.ways import TABLES, WAYS, Conversation
from tests.plugins.transports.web import PATIENCE, Web, frame, gateway

ALICE = Author("alice", "api")
REGISTRY = "[registries.main]\nuse = 'memory'"
LATE = "/servers/late"


async def change(web: Web, record: Any) -> None:
    management = web.gateway.management
    assert management is not None
    await management.change([Change("servers", "late", record)], ALICE)


@pytest.mark.parametrize("way", ["streamable_http", "sse", "websocket", "jsonrpc"])
@pytest.mark.parametrize("whole", [True, False], ids=["without ASGI", "ASGI"])
async def test_a_server_is_reachable_as_soon_as_it_is_put_up(way: str, whole: bool) -> None:
    async with (
        gateway("", f"{TABLES}\n{REGISTRY}") as web,
        listening(web, whole=whole) as (_, port),
        aiohttp.ClientSession() as client,
    ):
        url = f"http://127.0.0.1:{port}"
        made: Any = WAYS[way](web, client, url + LATE)
        await change(web, {"upstreams": ["one"]})
        if way == "sse":  # what it is told is a path from the root
            made.where = ""
            answer = await client.get(f"{made.base}/sse")
            events = made.events(answer)
            made.where = url + (await anext(events)).data
            made.follow(made._read(events))
        else:
            await made.begin()
        talk: Conversation = made
        try:
            assert "result" in await talk.ask(modern(1, "tools/list"))
            assert "result" in await talk.ask(frame(0, "initialize", HELLO))
        finally:
            await talk.leave()


@pytest.mark.parametrize(("path", "status"), [("sse", 404), ("messages", 404), ("rpc", 404), ("ws", 404)])
async def test_a_server_that_was_taken_down_is_not_found(path: str, status: int) -> None:
    async with (
        gateway("", f"{TABLES}\n{REGISTRY}") as web,
        listening(web) as (_, port),
        aiohttp.ClientSession() as client,
    ):
        url = f"http://127.0.0.1:{port}{LATE}"
        await change(web, {"upstreams": ["one"]})
        socket = await client.ws_connect(f"{url}/ws", autoping=False)
        stream = await client.get(f"{url}/sse")
        await change(web, None)
        async with asyncio.timeout(PATIENCE):
            assert (await socket.receive()).type is aiohttp.WSMsgType.PING
            last = await socket.receive()
            assert (last.type, last.data) == (aiohttp.WSMsgType.CLOSE, 1001)
            await stream.read()
        if path == "ws":
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await client.ws_connect(f"{url}/ws")
            assert caught.value.status == status
            return
        method = "GET" if path == "sse" else "POST"
        async with client.request(method, f"{url}/{path}", json={} if method == "POST" else None) as answer:
            assert answer.status == status


async def test_sigterm_ends_open_streams_and_connections_and_then_the_process(tmp_path: Path) -> None:
    transports = "".join(f"[transports.{name}]\n" for name in ("streamable_http", "sse", "websocket"))
    (tmp_path / "gateway.toml").write_text(f"[gateway]\ndrain_notice = 0\n{transports}")
    with serving(tmp_path) as served:
        base = served.url.removesuffix("/mcp")
        async with aiohttp.ClientSession() as client, asyncio.timeout(3 * PATIENCE):
            socket = await client.ws_connect(f"{base}/ws", autoping=False)
            stream = await client.get(f"{base}/sse")
            assert (await socket.receive()).type is aiohttp.WSMsgType.PING
            served.process.terminate()
            last = await socket.receive()
            assert (last.type, last.data) == (aiohttp.WSMsgType.CLOSE, 1001)
            await socket.close()
            assert (await stream.read()).startswith(b"event: endpoint")
        assert await asyncio.to_thread(served.process.wait, PATIENCE) == 0
