"""HTTP/1.1 by raw sockets: what is refused, what is limited, how connections end."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import tempfile
from typing import Any, cast

import pytest

from portico._host.http.guard import Guard
from portico._host.http.limits import Limits
from portico_plugins.servers.hypercorn.seats import peer
from tests.plugins.servers.serving import App, Wire, post, serving

pytestmark = pytest.mark.usefixtures("lane")

CHUNKED = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def test_a_connection_is_kept_for_many_requests() -> None:
    app = App()
    async with serving(app) as served:
        wire = await served.connect()
        for i in range(1200):  # more than Hypercorn would answer on one connection by itself
            wire.write(post(b"%d" % i))
            head, body = await wire.answer()
            assert head.startswith(b"HTTP/1.1 200")
            assert b"connection: close" not in head.lower()
            assert b"server:" not in head.lower()
            assert body == b"%d" % i
        await wire.close()
        assert app.last["client"][0] == "127.0.0.1"
        assert app.last["server"] == ("127.0.0.1", served.port)


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with serving(App()) as served:
        wire = await served.connect()
        wire.write(b"".join(post(b"%d" % i) for i in range(20)))
        assert [(await wire.answer())[1] for _ in range(20)] == [b"%d" % i for i in range(20)]
        await wire.close()


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (CHUNKED[:-2] + b"Content-Length: 3\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: +4\r\n\r\nabcd", 400),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n\tb\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n Host: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: localhost\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\rX: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n", 400),
        (b"\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 421),
        (b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", 505),
        (b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n", 501),
        (b"get / HTTP/1.1\r\nHost: localhost\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\x01b\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /\x80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX Y: z\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n: z\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd", 400),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4, 4\r\n\r\nabcd", 400),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x4\r\n\r\nabcd", 400),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -4\r\n\r\nabcd", 400),
        (CHUNKED[:-2] + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 70000 + b"\r\n\r\n", 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ],
)
async def test_a_malformed_head_is_refused_and_nothing_after_it_is_read(raw: bytes, status: int) -> None:
    app = App()
    async with serving(app) as served:
        assert await served.status(raw + SMUGGLED) == status
        # In pieces, too: what is refused does not depend on how it arrives.
        wire = await served.connect()
        half = len(raw) // 2
        wire.write(raw[:half])
        await wire.writer.drain()
        wire.write(raw[half:] + SMUGGLED)
        answer = await wire.rest()
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert answer.count(b"HTTP/1.1 ") == 1
        await wire.close()
        assert app.calls == 0


@pytest.mark.parametrize(
    "rest",
    [
        b"0\r\n\n",
        b"1\r\na\r\n0\r\n\n",
        b"0\r\nX-Trailer: 1\r\n\r\n",
        b"0\r\nX-Trailer: 1\n\r\n",
        b"1\na\r\n0\r\n\r\n",
        b"1 ;x\r\na\r\n0\r\n\r\n",
        b"1\r\na\r0\r\n\r\n",
        b"1\r\na\r\n\r\n",
        b"1\x00\r\na\r\n0\r\n\r\n",
        b"1\r\nab0\r\n\r\n",
        b"-1\r\n\r\n",
        b"0x1\r\na\r\n0\r\n\r\n",
        b"1;" + b"x" * 30000 + b"\r\na\r\n0\r\n\r\n",
        (b"1;" + b"x" * 200 + b"\r\na\r\n") * 200 + b"0\r\n\r\n",
    ],
)
async def test_loose_chunk_framing_never_becomes_a_request(rest: bytes) -> None:
    app = App()
    async with serving(app) as served:
        answer = await served.ask(CHUNKED + rest + SMUGGLED)
        assert answer.split(b" ", 2)[1] in (b"400", b"431")
        assert answer.count(b"HTTP/1.1 ") == 1
        assert app.last.get("path") != "/smuggled"


async def test_a_chunked_body_of_any_cut_is_read_and_the_connection_kept() -> None:
    async with serving(App()) as served:
        wire = await served.connect()
        raw = CHUNKED + b"3;ext=1\r\nabc\r\n" + b"1\r\nd\r\n" * 3000 + b"0\r\n\r\n"
        for cut in (1, 70, 80, 90, len(raw) - 3, len(raw) - 1):
            wire.write(raw[:cut])
            await wire.writer.drain()
            wire.write(raw[cut:])
            head, body = await wire.answer()
            assert head.startswith(b"HTTP/1.1 200")
            assert body == b"abc" + b"d" * 3000
        for i in range(len(CHUNKED) + 9):
            wire.write((CHUNKED + b"1\r\na\r\n0\r\n\r\n")[i : i + 1])
            await wire.writer.drain()
        wire.write((CHUNKED + b"1\r\na\r\n0\r\n\r\n")[len(CHUNKED) + 9 :])
        assert (await wire.answer())[1] == b"a"
        await wire.close()


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket"])
async def test_an_upgrade_is_ignored(upgrade: bytes) -> None:
    app = App()
    async with serving(app) as served:
        wire = await served.connect()
        for _ in range(2):
            fields = [
                b"Connection: Upgrade, HTTP2-Settings",
                b"Upgrade: " + upgrade,
                b"HTTP2-Settings: AAMAAABk",
            ]
            wire.write(b"\r\n".join([b"GET / HTTP/1.1", b"Host: localhost", *fields]) + b"\r\n\r\n")
            head, _ = await wire.answer()
            assert head.startswith(b"HTTP/1.1 200")
        assert app.last["type"] == "http"
        assert app.last["http_version"] == "1.1"
        await wire.close()


async def test_the_guard_answers_through_the_server_and_closes() -> None:
    app = App()
    guard = Guard(app, Limits(body_bytes=1000, body_seconds=0.2))
    get = b"GET / HTTP/1.1\r\nHost: %s\r\n%s\r\n"
    async with serving(guard) as served:
        assert await served.status(get % (b"a/x?", b"")) == 400
        assert await served.status(get % (b"evil.example", b"")) == 421
        assert await served.status(get % (b"localhost", b"Origin: http://evil.example\r\n")) == 403
        assert await served.status(get % (b"localhost", b"X: y\r\n" * 100)) == 431
        assert await served.status(get % (b"localhost", b"X: " + b"y" * 20000 + b"\r\n")) == 431
        assert await served.status(post(b"x" * 1001)) == 413
        assert await served.status(CHUNKED + b"3e9\r\n" + b"x" * 1001 + b"\r\n") == 413
        assert app.entered.is_set()  # a chunked body is found too long only on the way
        assert await served.status(post(b"half")[:-1]) == 408
        assert served.log.events == []


async def test_a_client_that_is_still_sending_reads_its_refusal() -> None:
    """The whole answer arrives, not a reset, though 8 MiB were on the way that nobody wanted."""
    async with serving(Guard(App(), Limits())) as served:
        wire = await served.connect()
        wire.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8388608\r\n\r\n")
        for _ in range(128):
            wire.write(b"x" * 65536)
        answer = await wire.rest()
        assert answer.startswith(b"HTTP/1.1 413")
        assert answer.endswith(b"}")
        await wire.close()


async def test_an_early_answer_without_a_guard_ends_the_connection() -> None:
    async with serving(App()) as served:
        wire = await served.connect()
        wire.write(post(b"x" * 3_000_000, b"/unread"))
        answer = await wire.rest()
        assert answer.startswith(b"HTTP/1.1 200")
        await wire.close()


@pytest.mark.parametrize("pipelined", [b"", post(b"next")])
async def test_a_client_that_leaves_disconnects_its_call(pipelined: bytes) -> None:
    app = App()
    async with serving(app) as served:
        wire = await served.connect()
        wire.write(post(b"", b"/hang") + pipelined)
        async with asyncio.timeout(30):
            await app.started()
            wire.writer.close()
            await app.left.wait()
        assert app.calls == 1
        assert served.log.events == []


async def test_a_reset_disconnects_the_call() -> None:
    app = App()
    async with serving(app) as served:
        wire = await served.connect()
        wire.write(post(b"", b"/hang"))
        async with asyncio.timeout(30):
            await app.started()
            sock = wire.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            wire.writer.transport.abort()
            await app.left.wait()


async def test_a_client_that_leaves_in_mid_body_disconnects_its_call() -> None:
    app = App()
    async with serving(app) as served:
        wire = await served.connect()
        wire.write(post(b"half")[:-2])
        async with asyncio.timeout(30):
            await app.started()
            await wire.close()
            await app.left.wait()


async def test_a_half_closed_client_still_gets_an_answer_that_is_ready() -> None:
    async with serving(App()) as served:
        wire = await served.connect()
        wire.write(post(b"hello"))
        wire.writer.write_eof()
        assert (await wire.rest()).endswith(b"hello")
        await wire.close()


async def test_a_stream_that_never_waits_ends_with_its_client_and_starves_nobody() -> None:
    sent = 0
    ended = asyncio.Event()

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        if scope["path"] == "/":
            await App()(scope, receive, send)
            return
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        gone = asyncio.ensure_future(receive())
        while not gone.done():
            await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
            sent += 1
        ended.set()

    async with serving(endless) as served:
        wire = await served.connect()
        wire.write(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await wire.reader.readexactly(100_000)
        other = await served.connect()
        other.write(post(b"alive"))
        assert (await other.answer())[1] == b"alive"
        await other.close()
        await wire.close()
        async with asyncio.timeout(30):
            await ended.wait()


async def test_a_client_that_reads_nothing_is_cut_off() -> None:
    ended = asyncio.Event()

    async def big(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        ended.set()

    async with serving(big, write_timeout=0.1) as served:
        wire = await served.connect()
        cast("asyncio.Transport", wire.writer.transport).pause_reading()
        wire.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(30):
            await ended.wait()
        assert "server.slow_reader" in served.log.names
        wire.writer.transport.abort()


async def test_a_failing_application_is_a_short_500_and_the_connection_goes_on() -> None:
    async with serving(App()) as served:
        wire = await served.connect()
        wire.write(post(b"", b"/boom"))
        head, body = await wire.answer()
        assert head.startswith(b"HTTP/1.1 500")
        assert body == b'{"error": "internal error"}'
        wire.write(post(b"next"))
        assert (await wire.answer())[1] == b"next"
        assert served.log.names == ["server.app_failed"]
        await wire.close()


async def test_an_answer_that_breaks_off_is_not_taken_for_whole() -> None:
    async with serving(App()) as served:
        answer = await served.ask(post(b"whole", b"/half"))
        assert answer.endswith(b"\r\n\r\nw")  # five bytes were declared


async def test_an_unfinished_head_is_given_up() -> None:
    async with serving(App(), header_timeout=0.5) as served:
        assert await served.ask(b"GET / HTTP/1.1\r\nHo") == b""
        assert await served.ask(b"") == b""
        wire = await served.connect()
        wire.write(post(b"1"))
        await wire.answer()
        wire.write(b"POST /")  # and so is the second on a connection, in the middle of its idle time
        assert await wire.rest() == b""
        await wire.close()


async def test_an_idle_connection_is_closed_after_its_time() -> None:
    async with serving(App(), keep_alive_timeout=0.1, header_timeout=5) as served:
        wire = await served.connect()
        wire.write(post(b"1") + post(b"2"))
        assert (await wire.rest()).count(b"HTTP/1.1 200") == 2
        await wire.close()


async def test_a_long_call_is_not_idle() -> None:
    app = App()
    async with serving(app, keep_alive_timeout=0.2, header_timeout=0.5) as served:
        wire = await served.connect()
        wire.write(post(b"", b"/hang"))
        asyncio.get_running_loop().call_later(0.8, app.let_go.set)
        assert (await wire.answer())[0].startswith(b"HTTP/1.1 200")
        await wire.close()


async def test_one_client_may_open_only_so_many_connections() -> None:
    async with serving(App(), max_connections_per_ip=2) as served:
        wires = [await served.connect() for _ in range(2)]
        for wire in wires:
            wire.write(post(b"x"))
            await wire.answer()
        assert await served.status(post(b"x")) == 503
        await wires[0].close()
        async with asyncio.timeout(30):
            while (await served.ask(post(b"x", b"/", b"Connection: close")))[9:12] != b"200":
                pass  # the close is still on its way
        assert served.log.events[0][1]["reason"] == "per_ip"
        await wires[1].close()


async def test_there_may_be_only_so_many_connections_in_all() -> None:
    async with serving(App(), max_connections=1) as served:
        wire = await served.connect()
        wire.write(post(b"x"))
        await wire.answer()
        assert await served.status(post(b"x")) == 503
        for _ in range(20):
            assert await served.status(post(b"x")) == 503
        event = ("server.connection_refused", {"reason": "total", "peer": "127.0.0.1", "count": 1})
        assert served.log.events[0] == event
        assert len(served.log.events) < 10  # a flood of these is one line a second
        await wire.close()


async def test_a_healthy_client_is_served_beside_hundreds_of_idle_sockets() -> None:
    async with serving(App()) as served:
        idle = [await served.connect() for _ in range(300)]
        wire = await served.connect()
        for i in range(50):
            wire.write(post(b"%d" % i))
            assert (await wire.answer())[1] == b"%d" % i
        for other in [wire, *idle]:
            await other.close()


async def test_a_unix_socket_is_served_and_its_clients_have_no_address() -> None:
    app = App()
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/s"
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(path)
        sock.listen()
        async with serving(app, sock=sock, max_connections_per_ip=1):
            wires = [Wire(*await asyncio.open_unix_connection(path)) for _ in range(3)]
            for wire in wires:
                wire.write(post(b"x"))
                assert (await wire.answer())[1] == b"x"
                await wire.close()
    assert app.last["client"] is None


class Exhausted(socket.socket):
    """A listener that finds no file descriptor left, once."""

    tired = True

    def accept(self) -> tuple[socket.socket, Any]:
        if self.tired:
            self.tired = False
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


async def test_running_out_of_file_descriptors_is_reported_and_survived() -> None:
    sock = Exhausted()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    async with serving(App(), sock=sock) as served:
        assert (await served.ask(post(b"late", b"/", b"Connection: close"))).endswith(b"late")
        assert served.log.events == [("server.out_of_resources", {"error": "EMFILE"})]


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        (("192.0.2.1", 5), "192.0.2.1"),
        (("::ffff:192.0.2.1", 5, 0, 0), "192.0.2.1"),
        (("2001:db8::1", 5, 0, 0), "2001:0db8:0000:0000"),
        (("2001:db8::ffff:1", 5, 0, 0), "2001:0db8:0000:0000"),
        (("fe80::1%eth0", 5, 0, 2), "fe80:0000:0000:0000"),
        ("", ""),
    ],
)
def test_connections_are_counted_by_ipv4_address_or_ipv6_network(address: Any, counted_as: str) -> None:
    assert peer(address) == counted_as
