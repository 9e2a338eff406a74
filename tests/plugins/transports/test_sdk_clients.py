"""The Python SDK's client over real sockets: the same for every transport it can be had on, in either era."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import mcp_types as types
import pytest
from anyio import create_memory_object_stream
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage

from tests.plugins.transports.kit import happened
from tests.plugins.transports.listening import listening
from tests.plugins.transports.ways import TABLES
from tests.plugins.transports.web import PATIENCE, Web, gateway

MODERN: Final = "2026-07-28"
WAYS: Final = [
    ("streamable_http", "legacy"),
    ("streamable_http", MODERN),
    ("sse", "legacy"),
    ("sse", "auto"),
    ("websocket", "legacy"),
    ("websocket", "auto"),
    ("websocket", MODERN),
]


@asynccontextmanager
async def websocket_client(url: str) -> AsyncIterator[Any]:
    """The SDK's WebSocket transport, which 2.x has no more: each message a text frame."""
    incoming, read = create_memory_object_stream[Any](0)
    write, outgoing = create_memory_object_stream[SessionMessage](0)
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(url, protocols=["mcp"]) as socket,
        incoming, read, write, outgoing,
    ):  # fmt: skip

        async def reader() -> None:
            async for frame in socket:
                message = types.jsonrpc_message_adapter.validate_json(frame.data, by_name=False)
                await incoming.send(SessionMessage(message))

        async def writer() -> None:
            async for one in outgoing:
                await socket.send_str(one.message.model_dump_json(by_alias=True, exclude_unset=True))

        tasks = [asyncio.ensure_future(reader()), asyncio.ensure_future(writer())]
        try:
            yield read, write
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class Peer:
    """A connected client, and what it was told."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.changed = asyncio.Event()
        self.asked: list[str] = []
        self.client: Any = None

    async def elicit(self, context: Any, params: Any) -> types.ElicitResult:
        self.asked.append(params.message)
        return types.ElicitResult(action="accept", content={"name": "Ada"})

    async def receive(self, message: Any) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            self.changed.set()

    @property
    def modern(self) -> bool:
        return str(self.client.protocol_version) == MODERN


every_way = pytest.mark.parametrize(("way", "mode"), WAYS)


@asynccontextmanager
async def connected(way: str, mode: str) -> AsyncIterator[Peer]:
    """A client of a gateway of its own. No fixture: it has to be left by the task that entered it."""
    async with gateway("", TABLES) as web, listening(web) as (_, port):
        base = f"http://127.0.0.1:{port}"
        transport: Any = {
            "streamable_http": lambda: streamable_http_client(f"{base}/mcp"),
            "sse": lambda: sse_client(f"{base}/servers/default/sse"),
            "websocket": lambda: websocket_client(f"{base}/servers/default/ws"),
        }[way]()
        peer = Peer(web)
        client = Client(
            transport, mode=mode, elicitation_callback=peer.elicit, message_handler=peer.receive, cache=None
        )
        async with asyncio.timeout(3 * PATIENCE), client:
            peer.client = client
            try:
                yield peer
            finally:
                web.upstream.gate.set()


@every_way
async def test_lists_calls_reads_and_prompts_are_answered(way: str, mode: str) -> None:
    async with connected(way, mode) as peer:
        client = peer.client
        assert "echo" in {tool.name for tool in (await client.list_tools()).tools}
        assert (await client.call_tool("echo", {"a": [1, "é"]})).structured_content == {"a": [1, "é"]}
        assert (await client.read_resource("test://one")).contents[0].text == "1"
        assert (await client.get_prompt("greet")).messages == []


@every_way
async def test_progress_is_reported_while_the_call_goes_on(way: str, mode: str) -> None:
    async with connected(way, mode) as peer:
        seen: list[float] = []
        enough = asyncio.Event()

        async def progressed(value: float, total: float | None, message: str | None) -> None:
            seen.append(value)
            if len(seen) == 3:
                enough.set()

        call = asyncio.ensure_future(peer.client.call_tool("gate", {"n": 3}, progress_callback=progressed))
        await happened(enough)
        assert not call.done()
        peer.web.upstream.gate.set()
        assert not (await call).is_error
        assert seen == [0, 1, 2]


@pytest.mark.parametrize("tool", ["elicit", "elicit_late", "rounds"])
@every_way
async def test_the_client_is_asked_and_its_answer_arrives(way: str, mode: str, tool: str) -> None:
    async with connected(way, mode) as peer:
        result = await peer.client.call_tool(tool, {})
        assert "Ada" in str(result.structured_content)
        assert peer.asked == ["Your name?"] * (2 if tool == "elicit_late" else 1)


@every_way
async def test_a_call_that_is_given_up_is_cancelled(way: str, mode: str) -> None:
    async with connected(way, mode) as peer:
        call = asyncio.ensure_future(peer.client.call_tool("hang", {}, read_timeout_seconds=0.2))
        await happened(peer.web.upstream.begun)
        with pytest.raises(MCPError):
            await call
        await happened(peer.web.upstream.cancelled)
        assert not (await peer.client.call_tool("echo", {})).is_error


@every_way
async def test_an_error_has_its_code(way: str, mode: str) -> None:
    async with connected(way, mode) as peer:
        with pytest.raises(MCPError) as caught:
            await peer.client.call_tool("fail", {"code": 50200})
        assert caught.value.error.code == 50200


@every_way
async def test_changed_lists_are_told(way: str, mode: str) -> None:
    async with connected(way, mode) as peer:
        change = peer.web.upstream.wiring.offer_changed
        if peer.modern:
            async with peer.client.listen(tools_list_changed=True) as events:
                change("one", ["tools"])
                assert "tools" in str(await anext(aiter(events))).lower()
        else:
            await peer.client.list_tools()
            change("one", ["tools"])
            await happened(peer.changed)
