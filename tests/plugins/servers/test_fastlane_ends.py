"""The fast lane when clients leave, read slowly or send too fast, and when the server stops."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import cast

import pytest

from tests.plugins.servers.direct import TEXT, Hands
from tests.plugins.servers.serving import App, Wire, post, serving

CHUNKED = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


def resets(wire: Wire) -> None:
    """Close with a reset and not with a FIN."""
    sock = wire.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.writer.transport.abort()


async def test_a_client_that_pipelines_without_end_is_held_back() -> None:
    hands = Hands()
    async with serving(App(), admit=hands.admit) as served:
        wire = await served.connect()
        wire.write(post(b"", b"/mcp/later"))
        reply = await hands.reply()
        wire.write(post(b"x" * 900, b"/mcp") * 30_000)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await wire.writer.drain()
        reply.send(200, [], b"")
        for _ in range(30_001):  # and nothing was lost
            await wire.answer()
        await wire.close()


async def test_a_client_that_pipelines_and_reads_nothing_is_held_back_and_cut_off() -> None:
    hands = Hands(body_bytes=100_000)
    async with serving(App(), admit=hands.admit, write_timeout=0.2) as served:
        wire = await served.connect()
        cast("asyncio.Transport", wire.writer.transport).pause_reading()
        wire.write(post(b"x" * 50_000, b"/mcp") * 1000)
        async with asyncio.timeout(30):
            while "server.slow_reader" not in served.log.names:
                await asyncio.sleep(0.01)
        assert len(hands.bodies) < 500
        wire.writer.transport.abort()


async def test_a_half_closed_client_gets_an_answer_that_is_soon_ready() -> None:
    hands = Hands()
    async with serving(App(), admit=hands.admit) as served:
        wire = await served.connect()
        wire.write(post(b"", b"/mcp/later") + post(b"second", b"/mcp"))
        wire.writer.write_eof()
        reply = await hands.reply()
        asyncio.get_running_loop().call_later(0.1, reply.send, 200, [], b"soon")
        answers = await wire.rest()
        assert b"\r\n\r\nsoonHTTP/1.1 200 " in answers
        assert answers.endswith(b"\r\n\r\nsecond")
        assert not hands.gone.is_set()
        await wire.close()


@pytest.mark.parametrize("leave", ["half close", "close", "reset"])
@pytest.mark.parametrize("streaming", [False, True])
async def test_who_answers_is_told_that_its_client_left(leave: str, streaming: bool) -> None:
    hands = Hands()
    async with serving(App(), admit=hands.admit) as served:
        wire = await served.connect()
        wire.write(post(b"", b"/mcp/later"))
        reply = await hands.reply()
        if streaming:
            reply.start(200, [TEXT])
            await wire.reader.readuntil(b"\r\n\r\n")
        if leave == "half close":
            wire.writer.write_eof()
        elif leave == "close":
            wire.writer.close()
        else:
            resets(wire)
        async with asyncio.timeout(30):
            await hands.gone.wait()
        reply.write(b"late")
        reply.end()
        reply.send(200, [], b"late")  # none of this does anything
        await reply.room()
        assert not reply.full
        if leave == "half close":
            assert await wire.rest() == b""
        await wire.close()
        assert served.log.events == []


async def test_a_tls_client_that_closes_has_gone() -> None:
    hands = Hands()
    async with serving(App(), admit=hands.admit, tls=True) as served:
        wire = await served.connect()
        wire.write(post(b"", b"/mcp/later"))
        await hands.reply()
        wire.writer.close()
        async with asyncio.timeout(30):
            await hands.gone.wait()


async def test_a_client_that_leaves_in_mid_body_leaves_nothing_behind() -> None:
    hands = Hands()
    async with serving(App(), admit=hands.admit, max_connections=1) as served:
        wire = await served.connect()
        wire.write(post(b"half", b"/mcp")[:-1])
        await wire.close()
        async with asyncio.timeout(30):
            while (await served.ask(post(b"x", b"/mcp", b"Connection: close")))[9:12] != b"200":
                pass  # the close is still on its way
    assert hands.bodies == [b"x"]


async def test_a_writer_is_told_when_the_client_is_slow_and_when_it_has_caught_up() -> None:
    hands = Hands()
    async with serving(App(), admit=hands.admit) as served:
        wire = await served.connect()
        cast("asyncio.Transport", wire.writer.transport).pause_reading()
        wire.write(post(b"", b"/mcp/stream"))
        reply = await hands.reply()
        reply.start(200, [TEXT])
        sent = 0
        async with asyncio.timeout(30):
            while not reply.full:
                reply.write(b"#" * 60_000)
                sent += 60_000
                await asyncio.sleep(0)
            waiting = [asyncio.ensure_future(reply.room()) for _ in range(2)]
            await asyncio.sleep(0.05)
            assert not waiting[0].done()
            waiting[1].cancel()
            cast("asyncio.Transport", wire.writer.transport).resume_reading()
            reading = asyncio.ensure_future(wire.rest())
            await waiting[0]
            assert not reply.full
            reply.end()
            wire.writer.write_eof()
            assert (await reading).count(b"#") == sent
        await wire.close()


async def test_a_client_that_leaves_while_a_writer_waits_for_room_lets_it_go() -> None:
    hands = Hands()
    async with serving(App(), admit=hands.admit) as served:
        wire = await served.connect()
        cast("asyncio.Transport", wire.writer.transport).pause_reading()
        wire.write(post(b"", b"/mcp/stream"))
        reply = await hands.reply()
        reply.start(200, [TEXT])
        reply.write(b"x" * 20_000_000)
        assert reply.full
        waiting = asyncio.ensure_future(reply.room())
        await asyncio.sleep(0)
        resets(wire)
        async with asyncio.timeout(30):
            await waiting
            await hands.gone.wait()


async def test_a_client_that_reads_slowly_but_reads_gets_a_long_answer_whole() -> None:
    hands = Hands()
    async with serving(App(), admit=hands.admit, write_timeout=1.0) as served:
        wire = await served.connect()
        sock = wire.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        wire.write(post(b"", b"/mcp/later", b"Connection: close"))
        (await hands.reply()).send(200, [], b"#" * 12_000_000)
        got = 0
        async with asyncio.timeout(30):
            while data := await wire.reader.read(1_000_000):
                got += data.count(b"#")
                if got < 8_000_000:
                    await asyncio.sleep(0.01)
        assert got == 12_000_000
        assert served.log.events == []
        await wire.close()


async def test_a_client_that_takes_nothing_is_cut_off_and_who_answers_is_told() -> None:
    hands = Hands()
    async with serving(App(), admit=hands.admit, write_timeout=0.1) as served:
        wire = await served.connect()
        cast("asyncio.Transport", wire.writer.transport).pause_reading()
        wire.write(post(b"", b"/mcp/stream"))
        reply = await hands.reply()
        reply.start(200, [TEXT])
        reply.write(b"x" * 20_000_000)
        async with asyncio.timeout(30):
            await hands.gone.wait()
        assert served.log.names == ["server.slow_reader"]
        wire.writer.transport.abort()


async def test_a_draining_server_closes_after_the_answer_and_a_stopping_one_waits_for_it() -> None:
    hands = Hands()
    async with serving(App(), admit=hands.admit, stop_timeout=10) as served:
        wire, other = await served.connect(), await served.connect()
        wire.write(post(b"", b"/mcp/later"))
        other.write(post(b"", b"/mcp/stream"))
        reply, stream = await hands.reply(), await hands.reply()
        stream.start(200, [TEXT])
        served.drain.set()
        await asyncio.sleep(0)
        served.stop.set()
        await asyncio.sleep(0.05)
        reply.send(200, [], b"last")
        head, body = await wire.answer()
        assert b"\r\nconnection: close\r\n" in head
        assert body == b"last"
        assert await wire.rest() == b""
        stream.end()
        assert (await other.rest()).endswith(b"0\r\n\r\n")
        async with asyncio.timeout(30):
            await served.task
        await wire.close()
        await other.close()


@pytest.mark.parametrize("stopped", [False, True], ids=["draining", "stopping"])
async def test_a_client_that_was_not_told_to_close_has_its_next_request_answered(stopped: bool) -> None:
    hands = Hands()
    async with serving(App(), admit=hands.admit, stop_timeout=10) as served:
        wire, silent = await served.connect(), await served.connect()
        streams = []
        for each in (wire, silent):
            each.write(post(b"", b"/mcp/stream"))
            streams.append(await hands.reply())
            streams[-1].start(200, [TEXT])
        assert b"connection: close" not in await wire.reader.readuntil(b"\r\n\r\n")
        served.drain.set()
        if stopped:
            served.stop.set()
        await asyncio.sleep(0.05)
        for stream in streams:
            stream.end()
        assert await wire.reader.readuntil(b"0\r\n\r\n")
        await asyncio.sleep(0.05)
        wire.write(post(b"next", b"/mcp"))
        head, body = await wire.answer()
        assert b"\r\nconnection: close\r\n" in head
        assert body == b"next"
        assert await wire.rest() == b""
        assert (await silent.rest()).endswith(b"0\r\n\r\n")  # and who asks nothing more is not waited for
        await wire.close()
        await silent.close()


async def test_an_answer_that_does_not_end_is_cut_after_the_stop_timeout_and_its_handler_told() -> None:
    hands = Hands()
    async with serving(App(), admit=hands.admit, stop_timeout=0.1) as served:
        wire = await served.connect()
        wire.write(post(b"", b"/mcp/later"))
        await hands.reply()
        served.stop.set()
        async with asyncio.timeout(30):
            await served.task
        assert hands.gone.is_set()
        assert served.log.names == ["server.connections_cut"]
        await wire.close()


async def test_times_hold_for_direct_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    hands = Hands(body_seconds=0.1)
    async with serving(App(), admit=hands.admit, keep_alive_timeout=0.5, header_timeout=0.5) as served:
        wire = await served.connect()
        wire.write(post(b"", b"/mcp/later"))
        reply = await hands.reply()
        await asyncio.sleep(0.8)  # a call in progress is not idle
        reply.send(200, [], b"")
        await wire.answer()
        wire.write(post(b"slow", b"/mcp")[:-1])
        assert (await wire.answer())[0].startswith(b"HTTP/1.1 408 ")
        await wire.close()
        for raw in (b"", b"POST /m"):
            wire = await served.connect()
            wire.write(post(b"1", b"/mcp"))
            await wire.answer()
            wire.write(raw)
            assert await wire.rest() == b""  # idle too long, or in the middle of a head
            await wire.close()
