"""The fast lane: requests the kernel admits are answered without ASGI, by the same rules."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

from portico._host.http.guard import Guard
from portico._host.http.limits import Limits
from portico.api import Admission, Reply, Scope
from tests.plugins.servers.direct import TEXT, Hands
from tests.plugins.servers.serving import App, Served, post, serving

CHUNKED = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_admitted_requests_and_others_take_turns_on_one_connection() -> None:
    app, hands = App(), Hands()
    async with serving(app, admit=hands.admit) as served:
        wire = await served.connect()
        for i in range(10):
            wire.write(post(b"direct %d" % i, b"/mcp?a=b%20c") + post(b"asgi %d" % i, b"/%61"))
            assert (await wire.answer())[1] == b"direct %d" % i
            assert (await wire.answer())[1] == b"asgi %d" % i
        await wire.close()
        assert (app.calls, len(hands.bodies)) == (10, 10)
        same = {key: value for key, value in app.last.items() if key not in ("path", "raw_path", "headers")}
        assert {key: hands.scopes[0][key] for key in same} == same | {"query_string": b"a=b%20c"}
        assert (app.last["path"], app.last["raw_path"]) == ("/a", b"/%61")
        assert (b"host", b"localhost") in hands.scopes[0]["headers"]


@pytest.mark.parametrize("fast_lane", [True, False])
async def test_the_switch_decides_who_answers(fast_lane: bool) -> None:
    app, hands = App(), Hands()
    async with serving(app, admit=hands.admit, fast_lane=fast_lane) as served:
        assert (await served.ask(post(b"x", b"/mcp", b"Connection: close"))).endswith(b"\r\n\r\nx")
    assert (app.calls, len(hands.bodies)) == ((0, 1) if fast_lane else (1, 0))


async def test_tls_connections_are_answered_directly_too() -> None:
    hands = Hands()
    async with serving(App(), admit=hands.admit, tls=True) as served:
        wire = await served.connect()
        wire.write(post(b"x" * 900, b"/mcp"))
        assert (await wire.answer())[1] == b"x" * 900
        await wire.close()
    assert hands.scopes[0]["scheme"] == "https"


async def test_a_body_of_any_cut_is_handed_over_whole() -> None:
    hands = Hands()
    chunked = CHUNKED + b"3;x\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    async with serving(App(), admit=hands.admit) as served:
        wire = await served.connect()
        for raw in (post(b"abcde", b"/mcp"), chunked):
            for cut in range(len(raw)):
                wire.write(raw[:cut])
                await wire.writer.drain()
                await asyncio.sleep(0)
                wire.write(raw[cut:])
                assert (await wire.answer())[1] == b"abcde"
        await wire.close()
    assert set(hands.bodies) == {b"abcde"}


@pytest.mark.parametrize(
    "raw",
    [
        post(b"x" * 1001, b"/mcp"),
        post(b"x", b"/mcp").replace(b"gth: 1", b"gth: 0000000000000000000000001"),
        CHUNKED + b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n",
        CHUNKED + b"1f4\r\n" + b"x" * 500 + b"\r\n1f5\r\n" + b"x" * 501 + b"\r\n",
        post(b"half", b"/mcp")[:-1],
        CHUNKED + b"4\r\nhal",
        CHUNKED + b"4\r\nhalff\r\n",
        CHUNKED + b"z\r\n",
        CHUNKED + b"1;" + b"x" * 70000,
        b"POST /mcp HTTP/1.1\r\nHost: a/x?\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 100 + b"\r\n",
        b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 20000 + b"\r\n\r\n",
        b"HEAD /mcp HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"POST /mcp HTTP/1.0\r\nHost: evil.example\r\n\r\n",
        post(b"", b"/mcp", b"Authorization: a", b"Authorization: b"),
    ],
)
async def test_what_the_guard_refuses_is_refused_in_the_same_words(raw: bytes) -> None:
    guard = Guard(App(), Limits(body_bytes=1000, body_seconds=0.1))
    hands = Hands()

    def admit(scope: Scope) -> Admission | None:
        return guard.admit(scope, hands.handle)

    answers = []
    for fast_lane in (True, False):
        async with serving(guard, admit=admit, fast_lane=fast_lane) as served:
            status, *lines = (await served.ask(raw)).split(b"\r\n")
            assert status[9:12] in (b"400", b"403", b"408", b"413", b"421", b"431")
            answers.append((status[:12], sorted(line.lower() for line in lines if line[:5] != b"date:")))
            assert served.log.events == []
    assert answers[0] == answers[1]
    assert hands.bodies == []


async def test_a_refusal_by_admission_closes_the_connection() -> None:
    async with serving(App(), admit=Hands().admit) as served:
        answer = await served.ask(post(b"x" * 500, b"/mcp/refused") + post(b"", b"/mcp"))
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert b"\r\nconnection: close\r\n" in answer
        assert answer.endswith(b'\r\n\r\n{"error":"no"}')


async def test_a_faulty_admission_is_a_500_and_a_line_in_the_log() -> None:
    async with serving(App(), admit=Hands().admit) as served:
        wire = await served.connect()
        wire.write(post(b"", b"/mcp/broken"))
        assert (await wire.answer())[0].startswith(b"HTTP/1.1 500 ")
        assert served.log.names == ["server.app_failed"]
        await wire.close()


async def test_a_client_that_is_still_sending_reads_that_its_body_is_too_large() -> None:
    async with serving(App(), admit=Hands().admit) as served:
        wire = await served.connect()
        wire.write(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8388608\r\n\r\n")
        for _ in range(128):
            wire.write(b"x" * 65536)
        answer = await wire.rest()
        assert answer.startswith(b"HTTP/1.1 413")
        assert answer.endswith(b"}")
        await wire.close()


@pytest.mark.parametrize("path", [b"/mcp", b"/asgi"])
async def test_continue_is_said_to_a_client_that_waits_for_it(path: bytes) -> None:
    async with serving(App(), admit=Hands().admit) as served:
        wire = await served.connect()
        raw = post(b"body", path, b"Expect: 100-continue")
        wire.write(raw[:-4])
        assert await wire.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.write(raw[-4:])
        head, body = await wire.answer()
        assert head.startswith(b"HTTP/1.1 200 ")
        assert body == b"body"
        wire.write(raw)  # it did not wait: nothing to say
        assert (await wire.answer())[0].startswith(b"HTTP/1.1 200 ")
        wire.write(post(b"x" * 1001, b"/mcp", b"Expect: 100-continue")[:-1001])
        assert (await wire.answer())[0].startswith(b"HTTP/1.1 413 ")  # before the body was sent
        await wire.close()


async def test_an_answer_to_head_has_a_length_and_no_body() -> None:
    hands = Hands()
    async with serving(App(), admit=hands.admit) as served:
        wire = await served.connect()
        for path in (b"/mcp/later", b"/mcp/stream", b"/asgi"):
            wire.write(b"HEAD " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
            if path == b"/mcp/later":
                (await hands.reply()).send(200, [TEXT], b"seven b")
            elif path == b"/mcp/stream":
                reply = await hands.reply()
                reply.start(200, [TEXT])
                reply.write(b"nothing of this")
                reply.end()
            head = await wire.reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert (b"content-length: 7" in head) == (path == b"/mcp/later")
        wire.write(post(b"next", b"/mcp"))
        assert (await wire.answer())[1] == b"next"
        await wire.close()


@pytest.mark.parametrize("size", [10, 300_000])
async def test_an_answer_in_pieces_arrives_as_one(size: int) -> None:
    hands = Hands()
    async with serving(App(), admit=hands.admit) as served:
        wire = await served.connect()
        for end in (b"]", b"}"):
            wire.write(post(b"", b"/mcp/later"))
            (await hands.reply()).send(200, [TEXT], b"[", b"x" * size, b"", end)
            head, body = await wire.answer()
            assert b"content-length: %d\r\n" % (size + 2) in head
            assert body == b"[" + b"x" * size + end
        await wire.close()


async def test_a_stream_is_chunked_and_the_connection_goes_on() -> None:
    hands = Hands()
    async with serving(App(), admit=hands.admit) as served:
        wire = await served.connect()
        wire.write(post(b"", b"/mcp/stream"))
        reply = await hands.reply()
        reply.start(200, [TEXT])
        head = await wire.reader.readuntil(b"\r\n\r\n")  # before there is anything to stream
        assert b"\r\ntransfer-encoding: chunked\r\n" in head
        for piece in (b"one", b"", b"x" * 17):
            reply.write(piece)
        reply.end()
        reply.end()
        reply.write(b"late")
        reply.send(200, [], b"late")
        assert (
            await wire.reader.readuntil(b"0\r\n\r\n") == b"3\r\none\r\n11\r\n" + b"x" * 17 + b"\r\n0\r\n\r\n"
        )
        wire.write(post(b"next", b"/mcp"))
        assert (await wire.answer())[1] == b"next"
        assert not hands.gone.is_set()
        await wire.close()


async def test_http_1_0_gets_the_end_of_the_connection_for_the_end_of_a_stream() -> None:
    hands = Hands()
    async with serving(App(), admit=hands.admit) as served:
        asking = asyncio.ensure_future(served.ask(b"POST /mcp/stream HTTP/1.0\r\nHost: localhost\r\n\r\n"))
        reply = await hands.reply()
        reply.start(200, [TEXT])
        reply.write(b"all of it")
        reply.end()
        head, _, body = (await asking).partition(b"\r\n\r\n")
        assert body == b"all of it"
        assert b"transfer-encoding" not in head
        assert b"\r\nconnection: close\r\n" in head
        answer = await served.ask(b"POST /mcp HTTP/1.0\r\nContent-Length: 1\r\n\r\nx")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"\r\n\r\nx")


async def test_a_status_without_a_body_declares_none() -> None:
    hands = Hands()
    async with serving(App(), admit=hands.admit) as served:
        wire = await served.connect()
        wire.write(post(b"", b"/mcp/later") + post(b"next", b"/mcp"))
        (await hands.reply()).send(204, [], b"")
        head = await wire.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 204 No Content\r\n")
        assert b"length" not in head
        assert (await wire.answer())[1] == b"next"
        await wire.close()


async def test_pipelined_requests_are_answered_in_order_whoever_is_quicker() -> None:
    hands = Hands()
    async with serving(App(), admit=hands.admit) as served:
        wire = await served.connect()
        wire.write(
            post(b"1", b"/mcp/later") + post(b"2", b"/asgi") + post(b"3", b"/mcp/later") + post(b"4", b"/mcp")
        )
        (await hands.reply()).send(200, [], b"first")
        assert (await wire.answer())[1] == b"first"
        assert (await wire.answer())[1] == b"2"
        (await hands.reply()).send(200, [], b"third")
        assert (await wire.answer())[1] == b"third"
        assert (await wire.answer())[1] == b"4"
        wire.write(b"".join(post(b"%d" % i, b"/mcp") for i in range(3000)))
        assert [(await wire.answer())[1] for _ in range(3000)] == [b"%d" % i for i in range(3000)]
        await wire.close()


async def test_a_context_variable_of_one_call_is_not_seen_by_the_next() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []
    hands = Hands()

    async def answer(reply: Reply) -> None:
        seen.append(variable.get())
        variable.set("set")
        await asyncio.sleep(0)
        reply.send(200, [], b"")

    tasks: list[asyncio.Task[None]] = []

    def handle(scope: Scope, body: bytes, reply: Reply) -> None:
        tasks.append(asyncio.ensure_future(answer(reply)))

    def admit(scope: Scope) -> Admission:
        return Admission(scope, handle, body_bytes=10, body_seconds=1.0)

    async with serving(App(), admit=admit) as served:
        wire = await served.connect()
        wire.write(post(b"", b"/mcp") * 3)
        for _ in range(3):
            await wire.answer()
        await wire.close()
    assert seen == ["unset"] * 3
    assert hands.bodies == []


async def test_a_failing_handler_is_a_short_500_and_the_connection_goes_on() -> None:
    async with serving(App(), admit=Hands().admit) as served:
        wire = await served.connect()
        wire.write(post(b"", b"/mcp/boom") + post(b"next", b"/mcp"))
        head, body = await wire.answer()
        assert head.startswith(b"HTTP/1.1 500 ")
        assert body == b'{"error": "internal error"}'
        assert (await wire.answer())[1] == b"next"
        assert served.log.names == ["server.app_failed"]
        await wire.close()


async def test_a_handler_that_fails_in_mid_answer_does_not_end_it() -> None:
    async with serving(App(), admit=Hands().admit) as served:
        answer = await served.ask(post(b"", b"/mcp/half"))
        assert answer.endswith(b"4\r\nhalf\r\n")  # no last chunk


@pytest.mark.parametrize("declared", [b"3", b"9"])
async def test_an_answer_of_another_length_than_declared_ends_the_connection(declared: bytes) -> None:
    hands = Hands()
    async with serving(App(), admit=hands.admit) as served:
        asking = asyncio.ensure_future(served.ask(post(b"", b"/mcp/stream") + post(b"", b"/mcp")))
        reply = await hands.reply()
        reply.start(200, [(b"content-length", declared)])
        reply.write(b"12345")
        reply.end()
        assert (await asking).count(b"HTTP/1.1") == 1
        assert served.log.names == ["server.answer_broken"]


async def test_a_header_that_would_break_out_of_its_line_is_not_sent() -> None:
    hands = Hands()
    async with serving(App(), admit=hands.admit) as served:
        wire = await served.connect()
        wire.write(post(b"", b"/mcp/later"))
        reply = await hands.reply()
        for value in (b"a\r\nset-cookie: x", b"a\nb", b"a\rb", b"a\0b"):
            with pytest.raises(ValueError, match="line break"):
                reply.send(200, [(b"x", value)], b"")
        reply.send(200, [(b"x", b"fine")], b"")
        assert (await wire.answer())[0].count(b"\r\n") == 5
        await wire.close()


async def _dripped(served: Served, raw: bytes) -> bytes:
    wire = await served.connect()
    for i in range(len(raw)):
        wire.write(raw[i : i + 1])
        await wire.writer.drain()
        await asyncio.sleep(0)
    answer: Any = await wire.answer()
    await wire.close()
    return bytes(answer[1])


async def test_a_request_that_comes_byte_by_byte_is_answered() -> None:
    async with serving(App(), admit=Hands().admit) as served:
        assert await _dripped(served, post(b"drip", b"/mcp")) == b"drip"
        assert await _dripped(served, CHUNKED + b"4\r\ndrip\r\n0\r\n\r\n") == b"drip"
