"""The failure table: whatever a server does, its call fails with a code and a reason, and nothing else does.

Every row is played to a whole gateway that has another upstream, too: that one's calls go on meanwhile and
afterwards, the catalog stays, the caller learns nothing of addresses, and neither connection nor task stays.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import psutil
import pytest

from portico.api import UPSTREAM_BAD_RESPONSE, UPSTREAM_TIMEOUT, UPSTREAM_UNAVAILABLE, Json, Refused
from portico.testing import RunningGateway, running_gateway
from portico_plugins.http1 import dial
from tests.plugins.upstreams.kit import HERE
from tests.plugins.upstreams.misbehaving import (
    Failure,
    Line,
    Server,
    answer,
    eventually,
    http_api,
    is_tool_call,
    mcp,
    serving,
    table,
)

FINE = """
[upstreams.fine]
use = "rest"
base_url = "{}"
tools = {{ fine = {{ path = "/fine" }} }}
"""
MESSAGES = {
    UPSTREAM_BAD_RESPONSE: "The upstream's answer could not be used.",
    UPSTREAM_TIMEOUT: "The upstream did not answer in time.",
    UPSTREAM_UNAVAILABLE: "The upstream is not available.",
}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@attrs.define(eq=False)
class World:
    """A gateway with an upstream that fails and one that does not."""

    gateway: RunningGateway
    bad: Server
    fine: Server

    async def refused(self) -> Refused:
        """How a call of the bad one's tool fails; the other one is called meanwhile and afterwards."""
        names = await self.gateway.names()
        assert sorted(names) == ["fine", "op"]
        call = asyncio.create_task(self.gateway.call("op"))
        await self.well()
        with pytest.raises(Refused) as caught:
            async with asyncio.timeout(90):
                await call
        await self.well()
        assert await self.gateway.names() == names
        return caught.value

    async def works(self) -> None:
        """Wait until the bad one's tool works."""
        await eventually(lambda: self.gateway.call("op"))

    async def well(self) -> None:
        """The other upstream answers."""
        assert (await self.gateway.call("fine"))["structuredContent"] == {"ok": True}


@asynccontextmanager
async def world(kind: str, folder: Path, **config: Any) -> AsyncIterator[World]:
    """A gateway in front of both."""
    is_rest = kind == "rest"
    bad = Server(http_api if is_rest else mcp(kind), (lambda _: True) if is_rest else is_tool_call)
    config = {"call_timeout": 60.0} | config
    async with serving(bad), serving(Server(http_api, lambda _: False)) as fine:
        said = table(kind, bad, folder, **config) + FINE.format(fine.origin)
        async with running_gateway(said, base=folder) as gateway:
            yield World(gateway, bad, fine)


async def settled(world: World, before: set[asyncio.Task[Any]]) -> None:
    """No connection is left on which the server misbehaves, and no task that was not there before."""
    async with asyncio.timeout(60):
        while world.bad.failing:
            await asyncio.sleep(0)
        while left := asyncio.all_tasks() - before - world.bad.tasks - world.fine.tasks:
            await asyncio.wait(left, timeout=1)


def judged(refused: Refused, code: int, reason: str, world: World) -> None:
    """It is what the table says, and tells nothing that is nobody's business."""
    about = refused.data["gateway"]
    assert (refused.code, about["reason"].partition(" ")[0]) == (code, reason)
    assert refused.message == MESSAGES[code]
    assert about["upstream"] == "bad"
    assert about["request_id"]
    said = json.dumps(refused.data) + refused.message
    for secret in ("127.0.0.1", str(world.bad.port), "canary", "Traceback"):
        assert secret not in said


# --- what servers do -------------------------------------------------------------------------------


def says(data: bytes) -> Failure:
    async def failure(line: Line) -> None:
        await line.say(data)

    return failure


def then(data: bytes, more: str, what: bytes = b" ") -> Failure:
    """Say something, then go on as `Line` can."""

    async def failure(line: Line) -> None:
        await line.say(data)
        await (line.hang() if more == "hang" else getattr(line, more)(what))

    return failure


def moved(where: str, status: str = "302 Found") -> Failure:
    return says(answer(b"canary", "text/plain", status, f"Location: {where}"))


BAD, LATE, AWAY = UPSTREAM_BAD_RESPONSE, UPSTREAM_TIMEOUT, UPSTREAM_UNAVAILABLE
GARBLED = b"\x1f\x8b\x08\x00" + b"\x00" * 100
BOMB = gzip.compress(b"data: " + b"x" * 50_000_000, 1)
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
HTML = b"<html><body>canary</body></html>"

ROWS: dict[str, tuple[Failure, int, str, str]] = {
    # what happens: what the server does, the code, the reason, and the one of MCP servers where it differs
    "closed without a word": (says(b""), AWAY, "connection_lost", ""),
    "silence": (then(b"", "hang"), LATE, "call_timeout", ""),
    "a head that trickles": (then(HEAD, "trickle", b"X: y\r\n"), LATE, "call_timeout", ""),
    "a body that trickles": (
        then(HEAD + b"Content-Length: 4000\r\n\r\n", "trickle"),
        LATE,
        "call_timeout",
        "",
    ),
    "chunks that trickle": (
        then(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", "trickle", b"1\r\n \r\n"),
        LATE,
        "call_timeout",
        "",
    ),
    "a head without end": (then(HEAD, "flood", b"X: " + b"y" * 1000 + b"\r\n"), BAD, "head_too_large", ""),
    "interim answers without end": (
        then(b"", "flood", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        BAD,
        "head_too_large",
        "",
    ),
    "too much, declared, and then nothing": (
        then(HEAD + b"Content-Length: 10000000000\r\n\r\n", "hang"),
        BAD,
        "message_too_large",
        "",
    ),
    "too much, declared": (
        then(HEAD + b"Content-Length: 10000000000\r\n\r\n", "flood", b" " * 1000),
        BAD,
        "message_too_large",
        "",
    ),
    "too much, in chunks": (
        then(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", "flood", b"400\r\n" + b" " * 1024 + b"\r\n"),
        BAD,
        "message_too_large",
        "",
    ),
    "too much, until the end": (then(HEAD + b"\r\n", "flood", b" " * 1000), BAD, "message_too_large", ""),
    "compressed badly": (
        says(answer(GARBLED, "application/json", "200 OK", "Content-Encoding: gzip")),
        BAD,
        "bad_compression",
        "",
    ),
    "a bomb": (
        says(answer(BOMB, "application/json", "200 OK", "Content-Encoding: gzip")),
        BAD,
        "message_too_large",
        "",
    ),
    "a bomb in a stream": (
        says(answer(BOMB, "text/event-stream", "200 OK", "Content-Encoding: gzip")),
        BAD,
        "message_too_large",
        "",
    ),
    "compressed by what nobody knows": (
        says(answer(GARBLED, "application/json", "200 OK", "Content-Encoding: br")),
        BAD,
        "encoded_body",
        "",
    ),
    "compressed twice": (
        says(answer(GARBLED, "application/json", "200 OK", "Content-Encoding: gzip, br")),
        BAD,
        "encoded_body",
        "",
    ),
    "compressed in transfer": (
        says(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        BAD,
        "not_http",
        "",
    ),
    "two lengths": (says(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} "), BAD, "not_http", ""),
    "a length and chunks": (
        says(HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}"),
        BAD,
        "not_http",
        "",
    ),
    "no HTTP": (says(b"220 mail.test ESMTP canary\r\n"), BAD, "not_http", ""),
    "HTTP/2": (then(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "hang"), BAD, "not_http", ""),
    "a switch of protocols": (
        then(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "hang"),
        BAD,
        "not_http",
        "",
    ),
    "no JSON": (says(answer(b"{canary")), BAD, "bad_json", "malformed_message"),
    "JSON in UTF-16": (says(answer("{}".encode("utf-16"))), BAD, "bad_json", "malformed_message"),
    "JSON nested deeply": (says(answer(b"[" * 2000 + b"]" * 2000)), BAD, "bad_json", "malformed_message"),
    "HTML": (says(answer(HTML, "text/html")), BAD, "wrong_content_type", "malformed_message"),
    "HTML that says it is JSON": (says(answer(HTML)), BAD, "bad_json", "malformed_message"),
    "a body cut short": (says(HEAD + b"Content-Length: 100\r\n\r\n{"), BAD, "answer_cut_short", ""),
    "a chunk cut short": (
        says(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"),
        BAD,
        "answer_cut_short",
        "",
    ),
    "chunks without the last": (
        says(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"),
        BAD,
        "answer_cut_short",
        "",
    ),
    "a stream cut short": (says(STREAM + b"9\r\n: alive\n\n\r\n"), BAD, "answer_cut_short", "stream_cut"),
    "a stream that hangs": (then(STREAM + b"9\r\n: alive\n\n\r\n", "hang"), LATE, "call_timeout", ""),
    "a stream that trickles": (then(STREAM, "trickle", b"3\r\n:\n\n\r\n"), LATE, "call_timeout", ""),
    "an event without end": (
        then(STREAM, "flood", b"400\r\n" + b"data: .........." * 64 + b"\r\n"),
        BAD,
        "message_too_large",
        "",
    ),
    "a redirect to the same origin": (moved("/other"), BAD, "redirect", ""),
    "a redirect to a file": (moved("file:///etc/passwd", "307 Temporary Redirect"), BAD, "redirect", ""),
    "a redirect to metadata": (
        moved("http://169.254.169.254/latest/", "308 Permanent Redirect"),
        BAD,
        "redirect",
        "",
    ),
}


@pytest.mark.parametrize("kind", ["rest", "modern", "legacy"])
@pytest.mark.parametrize("row", ROWS)
async def test_a_server_that_fails_fails_its_own_call_only(row: str, kind: str, tmp_path: Path) -> None:
    failure, code, api_reason, mcp_reason = ROWS[row]
    async with world(kind, tmp_path, call_timeout=0.5 if code == LATE else 60.0) as at:
        await at.works()
        before = asyncio.all_tasks() - at.bad.tasks - at.fine.tasks
        at.bad.failure = failure
        refused = await at.refused()
        at.bad.failure = None
        judged(refused, code, api_reason if kind == "rest" else mcp_reason or api_reason, at)
        await settled(at, before)
        await at.works()


@pytest.mark.parametrize("kind", ["rest", "modern", "legacy"])
async def test_a_server_that_is_gone_is_missed_only_where_it_was(kind: str, tmp_path: Path) -> None:
    async with world(kind, tmp_path) as at:
        await at.works()
        before = asyncio.all_tasks() - at.bad.tasks - at.fine.tasks
        await at.bad.stop()
        judged(await at.refused(), AWAY, "connection_refused", at)
        await at.bad.start()
        await settled(at, before)
        await at.works()


@asynccontextmanager
async def full() -> AsyncIterator[int]:
    """A port at which connections are neither taken nor refused."""
    with socket.socket() as listening, socket.socket() as waiting, socket.socket() as more:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for each in (waiting, more):
            each.setblocking(False)
            each.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("kind", ["rest", "modern", "legacy"])
async def test_a_connection_that_does_not_come_about_is_given_up(
    kind: str, tls: bool, tmp_path: Path
) -> None:
    with socket.socket() as mute:  # with TLS: it is connected, and says nothing
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        async with full() as port:
            port = mute.getsockname()[1] if tls else port
            origin = f"https://127.0.0.1:{port}" if tls else f"http://127.0.0.1:{port}"
            where = {"base_url": origin} if kind == "rest" else {"url": f"{origin}/mcp"}
            async with world(kind, tmp_path, **where, connect_timeout=0.2, start_grace=0) as at:
                if kind == "rest":
                    judged(await at.refused(), AWAY, "connect_timeout", at)
                else:  # it has never said what it has
                    async with asyncio.timeout(60):
                        late = {"connect_timeout", "probe_timeout", "handshake_timeout"}
                        while at.gateway.gateway.plane.status()["bad"]["reason"] not in late:
                            await asyncio.sleep(0)
                    assert await at.gateway.names() == ["fine"]
                await at.well()


@pytest.mark.parametrize("kind", ["rest", "modern", "legacy"])
async def test_a_redirect_opens_no_connection(kind: str, tmp_path: Path) -> None:
    async with world(kind, tmp_path) as at, serving(Server(http_api, lambda _: False)) as trap:
        at.bad.failure = moved(f"{trap.origin}/x")
        judged(await at.refused(), BAD, "redirect", at)
        assert trap.accepted == 0


@pytest.mark.parametrize(
    ("where", "code", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data/", AWAY, "address_not_allowed"),
        ("http://[::ffff:a9fe:a9fe]/latest/", AWAY, "address_not_allowed"),
        ("http://2852039166/latest/", AWAY, "address_not_allowed"),
        ("http://[64:ff9b::a9fe:a9fe]/", AWAY, "address_not_allowed"),
        ("file:///etc/passwd", BAD, "redirect"),
        ("gopher://127.0.0.1:{trap}/", BAD, "redirect"),
        ("http://user@127.0.0.1:{trap}/", BAD, "redirect"),
        ("http://127.0.0.1:{trap}\\@evil.test/", BAD, "redirect"),
        ("http://127.0.0.1:{trap}/a b", BAD, "redirect"),
        ("http://127.0.0.1:99999/", BAD, "redirect"),
        ("/x", BAD, "redirect"),  # to itself, over and over
    ],
)
async def test_a_redirect_that_may_be_followed_is_judged(
    where: str, code: int, reason: str, tmp_path: Path
) -> None:
    async with (
        serving(Server(http_api, lambda _: False)) as trap,
        world("rest", tmp_path, redirects=3) as at,
    ):
        asked = 0

        async def failure(line: Line) -> None:
            nonlocal asked
            asked += 1
            await moved(where.format(trap=trap.port))(line)

        at.bad.failure = failure
        judged(await at.refused(), code, reason, at)
        assert asked == (4 if where == "/x" else 1)
        assert trap.accepted == 0


# --- names that change ---------------------------------------------------------------------------


@pytest.mark.asyncio(loop_factories=["asyncio"])  # whose methods can be put in place of others
@pytest.mark.parametrize(
    "turned", [["127.0.0.1"], ["93.184.215.14", "10.0.0.1"], ["::ffff:127.0.0.1"], ["::1"]]
)
@pytest.mark.parametrize("kind", ["rest", "modern", "legacy"])
async def test_a_name_that_turns_to_a_private_address_is_connected_to_no_more(
    kind: str, turned: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = ["93.184.215.14"]
    connected: list[str] = []
    really = dial._connect

    async def connect(family: int, address: tuple[Any, ...]) -> socket.socket:
        connected.append(address[0])
        return await really(socket.AF_INET, ("127.0.0.1", address[1]))

    async def resolve(host: str, port: int, **_: Any) -> Any:
        if host != "public.test":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]
        families = [socket.AF_INET6 if ":" in ip else socket.AF_INET for ip in public]
        return [
            (family, socket.SOCK_STREAM, 6, "", (ip, port))
            for family, ip in zip(families, public, strict=True)
        ]

    monkeypatch.setattr(dial, "_connect", connect)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    is_rest = kind == "rest"
    bad = Server(http_api if is_rest else mcp(kind), (lambda _: True) if is_rest else is_tool_call)
    async with serving(bad):
        origin = f"http://public.test:{bad.port}"
        where = {"base_url": origin} if is_rest else {"url": f"{origin}/mcp"}
        said = table(kind, bad, tmp_path, **where, allow_private=False)
        async with running_gateway(said, base=tmp_path) as gateway:
            assert not (await gateway.call("op")).get("isError")
            assert set(connected) == {"93.184.215.14"}
            public[:] = turned
            bad.failure = says(b"")  # so that the next one needs another connection
            for _ in range(2):
                with pytest.raises(Refused) as caught:
                    await gateway.call("op")
            bad.failure = None
            accepted = bad.accepted
            with pytest.raises(Refused) as caught:
                await gateway.call("op")
            assert caught.value.data["gateway"]["reason"].startswith("address_not_allowed")
            assert (bad.accepted, set(connected)) == (accepted, {"93.184.215.14"})


# --- schemas that lie -----------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b'{"ok": "canary"}', b"{}", b"[]", b"null", b"17", b'"ok"'])
async def test_an_answer_that_is_not_what_the_schema_promises_is_an_error_of_the_tool(
    body: bytes, tmp_path: Path
) -> None:
    async with world("rest", tmp_path) as at:
        at.bad.failure = says(answer(body))
        result = await at.gateway.call("op")
        assert result["isError"] is True
        assert "output schema" in result["content"][0]["text"]
        assert "structuredContent" not in result
        await at.well()


@pytest.mark.parametrize("kind", ["modern", "legacy"])
@pytest.mark.parametrize("result", ["17", "[]", "null", '"text"'])
async def test_a_result_that_is_none_is_an_answer_of_no_use(kind: str, result: str, tmp_path: Path) -> None:
    async with world(kind, tmp_path) as at:

        async def failure(line: Line) -> None:
            said = b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (line.asked.body["id"], result.encode())
            await line.say(answer(said))

        at.bad.failure = failure
        judged(await at.refused(), BAD, "malformed_message", at)


# --- processes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "arguments", "code", "reason"),
    [
        ("crash", {}, AWAY, "process_exited"),
        ("mute", {}, AWAY, "process_exited"),
        ("garbage", {}, BAD, "malformed_message"),
        ("long", {"size": 100_000}, BAD, "message_too_large"),
        ("hang", {}, LATE, "call_timeout"),
        ("raw", {"json": "17"}, BAD, "malformed_message"),
    ],
)
async def test_a_process_that_fails_fails_its_own_call_only(
    tool: str, arguments: Json, code: int, reason: str, tmp_path: Path
) -> None:
    argv = json.dumps([sys.executable, str(HERE / "stdio_server.py")])
    async with serving(Server(http_api, lambda _: False)) as fine:
        config = (
            f'[upstreams.bad]\nuse = "mcp"\ncommand = {argv}\nmax_message_bytes = 65536\n'
            f"call_timeout = {2 if code == LATE else 60}\n"
        )
        async with running_gateway(config + FINE.format(fine.origin), base=tmp_path) as gateway:
            await eventually(lambda: gateway.call("pid"))
            names = await gateway.names()
            first = (await gateway.call("pid"))["content"][0]["text"]
            call = asyncio.create_task(gateway.call(tool, arguments))
            assert (await gateway.call("fine"))["structuredContent"] == {"ok": True}
            with pytest.raises(Refused) as caught:
                await call
            about = caught.value.data["gateway"]
            assert (caught.value.code, about["reason"], about["upstream"]) == (code, reason, "bad")
            assert caught.value.message in (MESSAGES[code], "The upstream's process ended.")
            assert (await gateway.call("fine"))["structuredContent"] == {"ok": True}
            assert await gateway.names() == names
            second = (await gateway.call("pid"))["content"][0]["text"]
            # A process that is only slow, or said one thing wrong in good form, is kept.
            assert (second == first) is (tool in ("hang", "raw"))
            if second != first:
                async with asyncio.timeout(60):
                    while psutil.pid_exists(int(first)):
                        await asyncio.sleep(0)
