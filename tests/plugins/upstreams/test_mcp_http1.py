"""The HTTP/1.1 client: framing, connections that are kept or not, TLS, addresses."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from portico_plugins.http1 import Answer, Broken, Connections, Unreachable, Unusable
from portico_plugins.http1.dial import Dialer, _connect, tls_context

ASK = b"POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
FINE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@attrs.define(eq=False)
class Streams:
    """One connection as the server has it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    gone: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def hung_up(self) -> None:
        """Wait until the client has closed it."""
        async with asyncio.timeout(30):
            await self.gone.wait()


Say = Callable[[Streams], Awaitable[None]]


@attrs.define
class Peer:
    """A server that says what a test has it say, byte by byte.

    Attributes:
        connections: Every connection it got.
        port: Where it listens.
        news: Set by the first request.
    """

    say: Say
    connections: list[Streams] = attrs.field(factory=list)
    port: int = 0
    news: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        streams = Streams(reader, writer)
        self.connections.append(streams)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readexactly(len(ASK))
                self.news.set()
                await self.say(streams)
                await writer.drain()
        writer.close()
        streams.gone.set()


def saying(*parts: bytes, close: bool = False) -> Say:
    """Give the same answer every time, in these slices."""

    async def say(streams: Streams) -> None:
        for part in parts:
            streams.writer.write(part)
            await streams.writer.drain()
            await asyncio.sleep(0)
        if close:
            streams.writer.close()

    return say


@contextlib.asynccontextmanager
async def peer(say: Say, context: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    """A running peer."""
    made = Peer(say)
    server = await asyncio.start_server(made.connected, "127.0.0.1", 0, ssl=context)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        for streams in made.connections:
            streams.writer.transport.abort()
            await streams.hung_up()
        server.close()
        await server.wait_closed()


def failing() -> Any:
    """Expect that no connection can be made."""
    return pytest.raises(Unreachable)


@contextlib.contextmanager
def client(
    port: int, host: str = "127.0.0.1", cap: int = 4096, context: ssl.SSLContext | None = None, **changes: Any
) -> Any:
    """Connections to a peer."""
    settings = {"allow_private": True, "timeout": 5.0} | changes
    made = Connections(Dialer(host, port, context, **settings), cap)
    try:
        yield made
    finally:
        made.close()


async def read(answer: Answer) -> bytes:
    """All of a stream."""
    return b"".join([piece async for piece in answer.pieces()])


@pytest.mark.parametrize(
    ("said", "body"),
    [
        (FINE, b"{}"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + FINE, b"{}"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\n{\r\n1\r\n}\r\n0\r\n\r\n", b"{}"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nMcp-Session-Id: x\r\n\r\n",
            b"{}",
        ),
        (b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
@pytest.mark.parametrize("slices", [1, 7])
async def test_an_answer_is_taken_whole_and_its_connection_kept(
    said: bytes, body: bytes, slices: int
) -> None:
    step = -(-len(said) // slices)
    async with peer(saying(*(said[i : i + step] for i in range(0, len(said), step)))) as server:
        with client(server.port) as connections:
            for _ in range(3):
                assert (await connections.send(ASK)).body == body
    assert len(server.connections) == 1


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n", "not_http"),
        (b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", "not_http"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "not_http"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "not_http"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "not_http"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}", "not_http"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "not_http"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "not_http"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Type: c/d\r\nContent-Length: 0\r\n\r\n",
            "not_http",
        ),
        (b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length : 0\r\n\r\n", "not_http"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 0\r\n\r\n", "encoded_body"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", "bad_compression"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n", "head_too_large"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000, "head_too_large"),
        (b"HTTP/1.1 100 Go on\r\n\r\n" * 4000, "head_too_large"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000, "message_too_large"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000, "message_too_large"),
    ],
)
async def test_what_is_no_strict_answer_is_refused_and_its_connection_closed(
    said: bytes, reason: str
) -> None:
    async with peer(saying(said)) as server:
        with client(server.port) as connections:
            for _ in range(2):
                with pytest.raises(Unusable) as caught:
                    await connections.send(ASK)
                assert caught.value.reason == reason
            for streams in server.connections:
                await streams.hung_up()
    assert len(server.connections) == 2


def sized(body: bytes, *fields: bytes) -> bytes:
    """An answer with a body, and any further fields."""
    lines = [
        b"HTTP/1.1 200 OK",
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        *fields,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def test_answers_whose_heads_repeat_are_each_given_their_own_body() -> None:
    bodies = [b"x" * size for size in (10, 99, 9, 0, 100, 1000, 5)]
    left = iter([b for body in bodies for b in (body, body)])

    async def say(streams: Streams) -> None:
        streams.writer.write(sized(next(left), b"Server: s"))

    async with peer(say) as server:
        with client(server.port) as connections:
            for body in bodies:
                for _ in range(2):
                    answer = await connections.send(ASK)
                    assert (answer.body, answer.status, answer.stream) == (body, 200, False)
                    assert answer.headers[b"content-type"] == b"application/json"
    assert len(server.connections) == 1


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        (sized(b"{}", b"Mcp-Session-Id: other"), b"{}"),
        (sized(b"[]").replace(b"Length: 2", b"Length: 02"), b"[]"),
        (sized(b"{}").replace(b"200", b"404"), b"{}"),
        (EVENTS + b"2\r\n{}\r\n0\r\n\r\n", b""),
        (sized(b"").replace(b"Length: 0", b"Length: -"), "not_http"),
        (sized(b"x").replace(b"Length: 1", b"Length: 1\r\nContent-Length: 1"), "not_http"),
        (sized(b"x" * 4097), "message_too_large"),
    ],
)
async def test_an_answer_after_one_that_it_resembles_means_what_it_says(
    said: bytes, seen: bytes | str
) -> None:
    answers = iter([sized(b"x" * 1000), sized(b"x" * 1000), said])

    async def say(streams: Streams) -> None:
        streams.writer.write(next(answers))

    async with peer(say) as server:
        with client(server.port) as connections:
            for _ in range(2):
                await connections.send(ASK)
            if isinstance(seen, str):
                with pytest.raises(Unusable, match=seen):
                    await connections.send(ASK)
            else:
                answer = await connections.send(ASK)
                assert answer.body == seen
                assert answer.status == (404 if b"404" in said else 200)
                assert answer.headers.get(b"mcp-session-id") == (b"other" if b"other" in said else None)


@pytest.mark.parametrize("cut", range(1, len(sized(b"12345"))))
async def test_a_repeated_answer_that_comes_in_pieces_is_put_together(cut: int) -> None:
    whole = sized(b"12345")
    pieces = iter([(whole,), (whole,), (whole[:cut], whole[cut:]), (whole,)])

    async def say(streams: Streams) -> None:
        for piece in next(pieces):
            streams.writer.write(piece)
            await streams.writer.drain()
            await asyncio.sleep(0)

    async with peer(say) as server:
        with client(server.port) as connections:
            for _ in range(4):
                assert (await connections.send(ASK)).body == b"12345"


async def test_the_head_of_an_interim_answer_is_not_what_repeats() -> None:
    interim = b"HTTP/1.1 103 Early\r\nContent-Length: 5\r\n\r\n"
    answers = iter([interim + FINE, interim + FINE, interim + b"12345" + FINE])

    async def say(streams: Streams) -> None:
        streams.writer.write(next(answers))

    async with peer(say) as server:
        with client(server.port) as connections:
            for _ in range(2):
                assert (await connections.send(ASK)).body == b"{}"
            with contextlib.suppress(Unusable):
                assert (await connections.send(ASK)).body != b"12345"


async def test_an_answer_nobody_asked_for_is_not_given_to_the_next_request() -> None:
    poison = FINE.replace(b"{}", b"[]")
    async with peer(saying(FINE + poison)) as server:
        with client(server.port) as connections:
            for _ in range(3):
                assert (await connections.send(ASK)).body == b"{}"
    assert len(server.connections) == 3


async def test_an_answer_that_came_between_two_requests_is_not_given_to_the_second() -> None:
    poison = FINE.replace(b"{}", b"[]")

    async with peer(saying(FINE)) as server:
        with client(server.port) as connections:
            await connections.send(ASK)
            server.connections[0].writer.write(poison)
            await server.connections[0].hung_up()
            assert (await connections.send(ASK)).body == b"{}"
    assert len(server.connections) == 2


@pytest.mark.parametrize(
    ("said", "begun"),
    [
        (b"", False),
        (b"HTTP/1.1 200 OK\r\nContent-", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", True),
    ],
)
async def test_an_answer_cut_short_is_an_error_and_not_asked_for_again(said: bytes, begun: bool) -> None:
    async with peer(saying(said, close=True)) as server:
        with client(server.port) as connections, pytest.raises(Broken) as caught:
            await connections.send(ASK)
    assert caught.value.begun is begun
    assert len(server.connections) == 1


async def test_an_answer_may_end_with_its_connection() -> None:
    async with peer(saying(b"HTTP/1.1 200 OK\r\n\r\n{", b"}", close=True)) as server:
        with client(server.port) as connections:
            for _ in range(2):
                assert (await connections.send(ASK)).body == b"{}"
    assert len(server.connections) == 2


@pytest.mark.parametrize(
    "said", [FINE.replace(b"1.1", b"1.0"), FINE.replace(b"Con", b"Connection: close\r\nCon", 1)]
)
async def test_a_connection_the_server_does_not_keep_is_not_used_again(said: bytes) -> None:
    async with peer(saying(said)) as server:
        with client(server.port) as connections:
            for _ in range(2):
                await connections.send(ASK)
    assert len(server.connections) == 2


async def test_a_connection_closed_while_it_was_free_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async with peer(saying(FINE)) as server:
        with client(server.port) as connections:
            await connections.send(ASK)
            kept = connections._free[-1]
            # The end of the connection is there for the asking, and the loop has not come round to it.
            kept._transport.pause_reading()
            server.connections[0].writer.close()
            await server.connections[0].writer.wait_closed()
            kept.idle_since -= 1
            assert (await connections.send(ASK)).body == b"{}"
    assert len(server.connections) == 2


async def test_a_free_connection_is_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portico_plugins.http1.pool._KEEPALIVE", 0.05)
    async with peer(saying(FINE)) as server:
        with client(server.port) as connections:
            await connections.send(ASK)
            await server.connections[0].hung_up()


async def test_each_request_in_flight_has_a_connection_of_its_own() -> None:
    waiting: list[asyncio.StreamWriter] = []
    together = asyncio.Event()

    async def say(streams: Streams) -> None:
        waiting.append(streams.writer)
        if len(waiting) == 5:
            together.set()
        await together.wait()
        streams.writer.write(FINE)

    async with peer(say) as server:
        with client(server.port) as connections:
            await asyncio.gather(*(connections.send(ASK) for _ in range(5)))
            await asyncio.gather(*(connections.send(ASK) for _ in range(5)))
    assert len(server.connections) == 5


async def test_cancelling_a_request_closes_its_connection() -> None:
    async def silent(streams: Streams) -> None:
        await streams.reader.read()

    async with peer(silent) as server:
        with client(server.port) as connections:
            task = asyncio.create_task(connections.send(ASK))
            await asyncio.wait_for(server.news.wait(), 60)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await server.connections[0].hung_up()


async def test_a_stream_is_given_out_as_it_comes_and_its_connection_kept() -> None:
    gate = asyncio.Event()

    async def say(streams: Streams) -> None:
        streams.writer.write(EVENTS + b"4\r\none \r\n")
        await gate.wait()
        streams.writer.write(b"3\r\ntwo\r\n0\r\n\r\n")

    async with peer(say) as server:
        with client(server.port) as connections:
            answer = await connections.send(ASK)
            pieces = answer.pieces()
            assert await anext(pieces) == b"one "
            gate.set()
            assert [piece async for piece in pieces] == [b"two"]
            answer = await connections.send(ASK)
            assert await read(answer) == b"one two"
    assert len(server.connections) == 1


async def test_a_stream_cut_off_says_so_after_what_had_come() -> None:
    async with peer(saying(EVENTS + b"3\r\none\r\n", close=True)) as server:
        with client(server.port) as connections:
            pieces = (await connections.send(ASK)).pieces()
            assert await anext(pieces) == b"one"
            with pytest.raises(Broken):
                await anext(pieces)


async def test_a_stream_nobody_reads_makes_the_server_wait() -> None:
    full = asyncio.Event()
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"

    async def say(streams: Streams) -> None:
        streams.writer.transport.set_write_buffer_limits(high=0)
        streams.writer.write(EVENTS)
        for _ in range(400):
            streams.writer.write(chunk)
            try:
                async with asyncio.timeout(0.3):
                    await streams.writer.drain()
            except TimeoutError:
                full.set()
                await streams.writer.drain()
        streams.writer.write(b"0\r\n\r\n")

    async with peer(say) as server:
        with client(server.port) as connections:
            answer = await connections.send(ASK)
            async with asyncio.timeout(30):
                await full.wait()
                assert len(await read(answer)) == 400 * 65536


async def test_a_stream_whose_end_came_with_too_much_leaves_a_connection_that_is_read_again() -> None:
    gate = asyncio.Event()
    much, more = b"x" * 200 * 1024, b"x" * 60 * 1024

    async def say(streams: Streams) -> None:
        streams.writer.write(EVENTS + b"%x\r\n%b\r\n" % (len(much), much))
        await gate.wait()
        streams.writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(more), more))

    async with peer(say) as server:
        with client(server.port) as connections:
            answer = await connections.send(ASK)
            async with asyncio.timeout(30):
                while answer._size < len(much):
                    await asyncio.sleep(0)
                gate.set()
                while not connections._free:  # with the rest came the end, and nobody has read yet
                    await asyncio.sleep(0)
                assert len(await read(answer)) == len(much + more)
                assert len(await read(await connections.send(ASK))) == len(much + more)
    assert len(server.connections) == 1


async def test_a_stream_that_ends_soon_after_its_answer_gives_its_connection_back() -> None:
    gate = asyncio.Event()

    async def say(streams: Streams) -> None:
        streams.writer.write(EVENTS + b"3\r\none\r\n")
        await gate.wait()
        streams.writer.write(b"3\r\ntwo\r\n0\r\n\r\n")

    async with peer(say) as server:
        with client(server.port) as connections:
            answer = await connections.send(ASK)
            answer.finish()
            gate.set()
            async with asyncio.timeout(30):
                while not connections._free:
                    await asyncio.sleep(0)
            await connections.send(ASK)
    assert len(server.connections) == 1


async def test_a_stream_that_does_not_end_after_its_answer_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portico_plugins.http1.answer._FAREWELL", 0.05)
    async with peer(saying(EVENTS + b"3\r\none\r\n")) as server:
        with client(server.port) as connections:
            (await connections.send(ASK)).finish()
            await server.connections[0].hung_up()


# --- connecting ---------------------------------------------------------------------------------------


def resolves(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Have every name stand for these addresses."""
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo

    async def found(host: str, port: int, **hints: Any) -> list[Any]:
        if host[0].isdigit():  # loops look up addresses, too
            return await real(host, port, **hints)
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
            for each in addresses
        ]

    monkeypatch.setattr(loop, "getaddrinfo", found)


async def test_one_forbidden_address_spoils_the_whole_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    resolves(monkeypatch, "127.0.0.1", "169.254.169.254")
    async with peer(saying(FINE)) as server:
        with client(server.port, "example.com") as connections, pytest.raises(Unreachable) as caught:
            await connections.send(ASK)
    assert caught.value.reason == "address_not_allowed (metadata)"
    assert server.connections == []


async def test_every_connection_is_judged_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async with peer(saying(FINE.replace(b"Con", b"Connection: close\r\nCon", 1))) as server:
        with client(server.port, "example.com") as connections:
            resolves(monkeypatch, "127.0.0.1")
            await connections.send(ASK)
            resolves(monkeypatch, "169.254.169.254")
            with pytest.raises(Unreachable):
                await connections.send(ASK)
    assert len(server.connections) == 1


async def test_an_address_that_does_not_answer_does_not_hold_up_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolves(monkeypatch, "127.0.0.2", "127.0.0.1")
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect
    silent = asyncio.Event()

    async def some(sock: socket.socket, address: Any) -> None:
        if address[0] == "127.0.0.2":
            silent.set()
            await loop.create_future()
        await connect(sock, address)

    monkeypatch.setattr(loop, "sock_connect", some)
    async with peer(saying(FINE)) as server:
        with client(server.port, "example.com") as connections:
            assert (await connections.send(ASK)).body == b"{}"
    assert silent.is_set()


@pytest.mark.parametrize(
    ("host", "reason"), [("127.0.0.1", "connection_refused"), ("nowhere.invalid", "name_not_found")]
)
async def test_a_server_that_is_not_there_is_unreachable(host: str, reason: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    with client(port, host) as connections, pytest.raises(Unreachable) as caught:
        await connections.send(ASK)
    assert caught.value.reason == reason


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for a name and 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return paths


async def test_tls_is_checked_against_the_configured_authority_and_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = certificate(tmp_path, "up.example")
    other, _ = certificate(tmp_path, "other.example")
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(cert, key)
    names: list[str | None] = []
    served.sni_callback = lambda _, name, __: names.append(name)
    resolves(monkeypatch, "127.0.0.1")
    async with peer(saying(FINE), served) as server:
        with client(server.port, "up.example", context=tls_context(True, cert)) as connections:
            for _ in range(2):
                assert (await connections.send(ASK)).body == b"{}"
        for host, context in (
            ("up.example", tls_context(True, other)),
            ("up.example", tls_context(True, None)),
            ("wrong.example", tls_context(True, cert)),
        ):
            with client(server.port, host, context=context) as connections:
                with pytest.raises(Unreachable) as caught:
                    await connections.send(ASK)
                assert caught.value.reason == "tls_failed"
        with client(server.port, "wrong.example", context=tls_context(False, None)) as connections:
            assert (await connections.send(ASK)).body == b"{}"
    assert names[0] == "up.example"


async def test_a_handshake_that_stalls_is_given_up() -> None:
    async with peer(saying(b"")) as server:
        context = tls_context(True, None)
        with client(server.port, context=context, timeout=0.2) as connections, failing() as caught:
            await connections.send(ASK)
    assert caught.value.reason == "connect_timeout"


async def test_the_end_of_a_request_waits_for_no_acknowledgement() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        sock = await _connect(socket.AF_INET, listening.getsockname())
        with sock:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
