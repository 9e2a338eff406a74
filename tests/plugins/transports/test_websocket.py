"""WebSocket: the handshake, what is taken, and how it ends, through the server that it really has."""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import trustme

from portico.api import Principal
from tests.plugins.transports.kit import ALICE, HELLO, TOKENS, call, happened, legacy_call, modern
from tests.plugins.transports.listening import listening
from tests.plugins.transports.web import PATIENCE, Web, frame, gateway

WS = "[transports.websocket]"
ORDINARY = "[listeners.http]\nuse = 'hypercorn'\nfast_lane = false"
PRIVATE = f"{TOKENS}\n[servers.default]\nauth = ['people']"


class Served:
    def __init__(self, web: Web, client: aiohttp.ClientSession, base: str) -> None:
        self.web = web
        self.client = client
        self.base = base

    def connect(self, path: str = "/ws", **options: Any) -> Any:
        return self.client.ws_connect(self.base + path, **{"protocols": ["mcp"], **options})

    async def refused(self, **options: Any) -> aiohttp.WSServerHandshakeError:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await self.connect(**options)
        return caught.value

    @property
    def lines(self) -> Any:
        transport: Any = self.web.gateway.transports["websocket"]
        return transport.endpoints.apps["default"].lines

    async def gone(self) -> None:
        """Wait until no connection is open."""
        async with asyncio.timeout(PATIENCE):
            while len(self.lines):
                await asyncio.sleep(0.01)


@asynccontextmanager
async def served(more: str = WS, scheme: str = "http") -> AsyncIterator[Served]:
    async with (
        gateway("", more) as web,
        listening(web) as (_, port),
        aiohttp.ClientSession() as client,
    ):
        yield Served(web, client, f"{scheme}://127.0.0.1:{port}")


async def ask(socket: aiohttp.ClientWebSocketResponse, line: bytes) -> Any:
    await socket.send_str(line.decode())
    return await hear(socket)


async def hear(socket: aiohttp.ClientWebSocketResponse) -> Any:
    async with asyncio.timeout(PATIENCE):
        message = await socket.receive()
    assert message.type is aiohttp.WSMsgType.TEXT, message
    return msgspec.json.decode(message.data)


async def closed(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    """The code it is closed with."""
    async with asyncio.timeout(PATIENCE):
        while not (await socket.receive()).type & 0x100 and not socket.closed:
            pass
    return socket.close_code


# --- the handshake -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "spoken"), [(["mcp"], "mcp"), (["other", "mcp"], "mcp"), ([], None)])
@pytest.mark.parametrize("lane", ["", ORDINARY])
async def test_the_subprotocol_is_mcp_or_none(lane: str, asked: list[str], spoken: str | None) -> None:
    async with served(f"{WS}\n{lane}") as it, it.connect(protocols=asked) as socket:
        assert socket.protocol == spoken
        assert "result" in await ask(socket, frame(0, "initialize", HELLO))


async def test_other_subprotocols_are_refused() -> None:
    async with served() as it:
        assert (await it.refused(protocols=["graphql-ws"])).status == 400


async def test_who_may_not_come_in_is_told_so_before_anything_is_opened() -> None:
    async with served(f"{WS}\n{PRIVATE}") as it:
        error = await it.refused()
        assert error.status == 401
        assert error.headers is not None
        assert error.headers["www-authenticate"] == "Bearer"
        assert (await it.refused(headers={"authorization": "Bearer wrong"})).status == 401
        assert (await it.refused(path="/ws?token=alice-0123456789abcdef")).status == 401
        async with it.connect(headers=ALICE) as socket:
            assert "result" in await ask(socket, call(1, "echo"))
            assert it.web.upstream.calls[0][1].subject == "alice"


async def test_a_page_of_another_origin_is_refused() -> None:
    async with served() as it:
        for origin in (
            "https://evil.example",
            "null",
            "http://127.0.0.1.evil.com",
            "http://127.0.0.1:1@evil",
        ):
            assert (await it.refused(headers={"origin": origin})).status == 403
        async with it.connect(headers={"origin": it.base}) as socket:
            assert "result" in await ask(socket, modern(1, "tools/list"))


async def test_another_host_is_refused() -> None:
    async with served() as it:
        assert (await it.refused(headers={"host": "evil.example"})).status == 403


async def test_a_server_that_is_not_there_is_not_found() -> None:
    async with served() as it:
        for path in ("/servers/nope/ws", "/servers/default/nope/ws", "/servers//ws"):
            assert (await it.refused(path=path)).status in (403, 404)
        assert (await it.refused(path="/servers/nope/ws")).status == 404


async def test_what_is_not_quite_a_handshake_is_an_ordinary_request() -> None:
    async with served() as it:
        headers = {"connection": "upgrade", "upgrade": "websocket"}
        async with it.client.get(f"{it.base}/healthz", headers=headers) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("lane", ["", ORDINARY])
@pytest.mark.parametrize(
    "field",
    [b"content-length: 0", b"content-length: 3", b"transfer-encoding: chunked", b"upgrade: h2c"],
)
async def test_a_handshake_with_a_body_or_two_minds_is_none(lane: str, field: bytes) -> None:
    async with served(f"{WS}\n{lane}") as it:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(it.base.rpartition(":")[2]))
        writer.write(handshake(field) + b"0\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            assert b" 426 " in (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0]
        writer.close()


@pytest.mark.parametrize("lane", ["", ORDINARY])
@pytest.mark.parametrize("path", ["/ws", "/servers/default/ws", "/servers/nope/ws"])
async def test_what_is_no_handshake_is_told_to_be_one(lane: str, path: str) -> None:
    async with served(f"{WS}\n{lane}") as it:
        for _ in range(2):  # the connection stays what it was
            async with it.client.get(f"{it.base}{path}") as answer:
                assert answer.status == 426
                assert (answer.headers["upgrade"], answer.headers["connection"]) == ("websocket", "upgrade")
                assert "WebSocket" in (await answer.json())["expected"]
        async with it.client.post(f"{it.base}{path}", json={}) as answer:
            assert (answer.status, answer.headers["allow"]) == (405, "GET")
        async with it.client.get(f"{it.base}{path}/more") as answer:
            assert answer.status == 404


async def test_a_client_of_http_1_0_is_told_of_no_upgrade() -> None:
    async with served() as it:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(it.base.rpartition(":")[2]))
        writer.write(b"GET /ws HTTP/1.0\r\nhost: localhost\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            head = (await reader.read()).lower()
        writer.close()
        assert head.split(b"\r\n")[0].endswith(b" 400 bad request")
        assert b"upgrade:" not in head


@pytest.mark.parametrize("more", ["", ORDINARY, PRIVATE])
async def test_what_is_sent_before_the_handshake_is_answered_is_no_request(more: str) -> None:
    async with served(f"{WS}\n{more}") as it:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(it.base.rpartition(":")[2]))
        writer.write(handshake() + b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 400")
        assert answer.count(b"HTTP/1.1 ") == 1
        writer.close()


async def test_a_version_that_is_not_spoken_is_refused_and_the_connection_ends() -> None:
    async with served() as it:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(it.base.rpartition(":")[2]))
        writer.write(handshake().replace(b"version: 13", b"version: 12"))
        async with asyncio.timeout(PATIENCE):
            assert (await reader.read()).startswith(b"HTTP/1.1 400")
        writer.close()


async def test_a_connection_may_be_upgraded_after_other_requests() -> None:
    async with served() as it:
        host, port = "127.0.0.1", int(it.base.rpartition(":")[2])
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n" + handshake())
        async with asyncio.timeout(PATIENCE):
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(15) == b'{"status":"ok"}'
            assert b" 101 " in (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0]
        writer.close()


def handshake(*fields: bytes) -> bytes:
    key = base64.b64encode(os.urandom(16))
    lines = [
        b"GET /ws HTTP/1.1",
        b"host: localhost",
        b"connection: Upgrade",
        b"upgrade: websocket",
        b"sec-websocket-version: 13",
        b"sec-websocket-key: " + key,
        *fields,
    ]
    return b"\r\n".join([*lines, b"", b""])


async def test_nothing_is_compressed() -> None:
    async with served() as it, it.connect(compress=15) as socket:
        assert socket.compress == 0
        assert "result" in await ask(socket, modern(1, "tools/list"))


async def test_it_is_spoken_over_tls_to_clients_that_could_do_http_2(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "pem")
    listener = f"[listeners.http]\nuse = 'hypercorn'\ncertfile = '{tmp_path}/pem'\nkeyfile = '{tmp_path}/pem'"
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with served(f"{WS}\n{listener}", "https") as it, it.connect(ssl=context) as socket:
        assert "result" in await ask(socket, modern(1, "tools/list"))


@pytest.mark.parametrize("key", ["max_sessions", "max_sessions_each"])
async def test_there_are_only_so_many_connections(key: str) -> None:
    async with served(f"{WS}\n{key} = 1") as it:
        async with it.connect():
            assert (await it.refused()).status == 503
        await it.gone()
        async with it.connect() as socket:
            assert "result" in await ask(socket, modern(1, "tools/list"))


# --- what is taken -------------------------------------------------------------------------------------


async def test_bad_messages_are_answered_and_do_not_end_it() -> None:
    async with served() as it, it.connect() as socket:
        for line in (b"hello", b"[]", b"{}", b"", b'{"jsonrpc":"2.0","id":1,"method":1}'):
            assert (await ask(socket, line))["error"]["code"] in (-32700, -32600), line
        assert "result" in await ask(socket, modern(1, "tools/list"))


async def test_binary_messages_end_it() -> None:
    async with served() as it, it.connect() as socket:
        await socket.send_bytes(modern(1, "tools/list"))
        assert await closed(socket) == 1003
        await it.gone()


@pytest.mark.parametrize(
    "limit", ["max_message = 2000", "\n[listeners.http]\nuse = 'hypercorn'\nmax_ws_message = 2000"]
)
async def test_a_message_may_only_be_so_long(limit: str) -> None:
    async with served(f"{WS}\n{limit}") as it, it.connect() as socket:
        assert "result" in await ask(socket, call(1, "echo", {"x": "x" * 1000}))
        await socket.send_str(call(2, "echo", {"x": "x" * 3000}).decode())
        assert await closed(socket) == 1009
        await it.gone()
        assert len(it.web.upstream.calls) == 1


async def test_messages_may_come_in_pieces_and_big_ones_go_out() -> None:
    async with served() as it, it.connect(max_msg_size=0) as socket:
        text = "é" * 600_000
        answer = await ask(socket, call(1, "echo", {"x": text}))
        assert answer["result"]["structuredContent"] == {"x": text}


@pytest.mark.parametrize(
    "frames",
    [
        b"\x81\x05hello",  # not masked
        b"\x81\x82\x00\x00\x00\x00\xff\xfe",  # not UTF-8
        b"\xf1\x80\x00\x00\x00\x00",  # reserved bits
        b"\x80\x80\x00\x00\x00\x00",  # goes on with nothing
    ],
)
async def test_frames_that_are_none_end_it_without_an_error_in_the_log(frames: bytes) -> None:
    async with served() as it:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(it.base.rpartition(":")[2]))
        writer.write(handshake())
        async with asyncio.timeout(PATIENCE):
            assert b" 101 " in (await reader.readuntil(b"\r\n\r\n"))
            writer.write(frames)
            answer = await reader.read()
        pinged, close = answer[:2], answer[2:]
        assert (pinged, close[:1]) == (b"\x89\x00", b"\x88")
        assert int.from_bytes(close[2:4], "big") in (1002, 1007)
        writer.close()
        await it.gone()
        assert not [line for line in it.web.log.lines if line.level == "error"]


# --- how it ends ---------------------------------------------------------------------------------------


async def test_leaving_cancels_what_is_under_way() -> None:
    async with served() as it:
        async with it.connect() as socket:
            await ask(socket, frame(0, "initialize", HELLO))
            await socket.send_str(legacy_call(1, "hang").decode())
            await happened(it.web.upstream.begun)
        await happened(it.web.upstream.cancelled)
        await it.gone()


async def test_a_connection_that_breaks_off_is_noticed() -> None:
    async with served() as it:
        socket = await it.connect()
        await socket.send_str(call(1, "hang").decode())
        await happened(it.web.upstream.begun)
        response: Any = socket._response
        response.connection.transport.abort()
        await happened(it.web.upstream.cancelled)
        await it.gone()


async def test_a_client_that_answers_no_ping_is_cut_off() -> None:
    listener = "[listeners.http]\nuse = 'hypercorn'\nws_ping = 1.0"
    async with served(f"{WS}\n{listener}") as it:
        async with it.connect() as socket, it.connect(autoping=False):
            await socket.send_str(call(1, "gate").decode())
            reading = asyncio.ensure_future(hear(socket))
            async with asyncio.timeout(PATIENCE):
                while len(it.lines) != 1:
                    await asyncio.sleep(0.01)
            it.web.upstream.gate.set()
            assert (await reading)["id"] == 1
        await it.gone()


async def test_a_client_that_does_not_read_holds_its_upstream_back_and_is_cut_off() -> None:
    async with served(f"{WS}\nunread_frames = 4\nunread_seconds = 0.1") as it:
        socket = await it.connect()
        response: Any = socket._response
        response.connection.transport.pause_reading()
        flood = {"n": 30_000}
        await socket.send_str(call(1, "flood", flood, {"progressToken": "t" * 1000}).decode())
        await happened(it.web.upstream.begun)
        await it.gone()
        assert it.web.upstream.sent < 30_000
        response.connection.transport.abort()
        await socket.close()


async def test_a_token_that_is_withdrawn_ends_the_connection() -> None:
    async with served(f"{WS}\n{PRIVATE}") as it, it.connect(headers=ALICE) as socket:
        assert "result" in await ask(socket, modern(1, "tools/list"))
        endpoint = it.web.gateway.plane.endpoints["default"]
        endpoint.change(endpoint._pipeline, [("people", _Nobody())])
        it.lines.sweep()
        assert await closed(socket) == 1008


async def test_a_scheme_that_fails_later_ends_nothing() -> None:
    async with served(f"{WS}\n{PRIVATE}") as it, it.connect(headers=ALICE) as socket:
        endpoint = it.web.gateway.plane.endpoints["default"]
        schemes = endpoint._schemes.schemes
        endpoint.change(endpoint._pipeline, [("people", _Broken())])
        it.lines.sweep()
        async with asyncio.timeout(PATIENCE):
            await it.lines._lines[next(iter(it.lines._lines))]._working
        endpoint.change(endpoint._pipeline, schemes)
        assert "result" in await ask(socket, modern(1, "tools/list"))


class _Nobody:
    async def authenticate(self, credentials: Any) -> Principal | None:
        return None


class _Broken:
    async def authenticate(self, credentials: Any) -> Principal | None:
        raise RuntimeError


async def test_it_ends_with_its_virtual_server() -> None:
    async with served() as it, it.connect() as socket:
        assert "result" in await ask(socket, modern(1, "tools/list"))
        it.web.gateway.plane.endpoints["default"].close()
        assert await closed(socket) == 1001
        assert (await it.refused()).status == 404


async def test_when_the_gateway_ends_what_is_due_comes_first() -> None:
    async with served() as it, it.connect() as socket:
        await ask(socket, frame(0, "initialize", HELLO))
        await socket.send_str(legacy_call(1, "hang").decode())
        await happened(it.web.upstream.begun)
        await it.web.gateway.plane.close(it.web.gateway.parking)
        answer = await hear(socket)
        assert (answer["id"], answer["error"]["code"]) == (1, 50303)
        assert await closed(socket) == 1001
