"""A served application on a free port, for the tests of server plugins."""

from __future__ import annotations

import asyncio
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import trustme

from portico.api import Host
from portico_plugins.servers.hypercorn import HYPERCORN, HypercornConfig

LANE: dict[str, bool] = {"fast_lane": True}
"""Which lane serves HTTP/1.1, unless a test says; the `lane` fixture changes it."""


class Lines:
    """A log that keeps its events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def _keep(self, event: str, **facts: Any) -> None:
        self.events.append((event, facts))

    debug = info = warning = error = _keep

    @property
    def names(self) -> list[str]:
        return [event for event, _ in self.events]


def host(log: Lines) -> Host:
    nothing: Any = None
    return Host(
        name="main", kind="listeners", log=log, clock=nothing, base=Path(), component=nothing, wiring=nothing
    )


class Served:
    """A running server, and the switches its process would have."""

    def __init__(self, sock: socket.socket, log: Lines, trust: ssl.SSLContext | None) -> None:
        self.port: int = sock.getsockname()[1]
        self.log = log
        self.trust = trust
        self.drain = asyncio.Event()
        self.stop = asyncio.Event()
        self.task: asyncio.Task[None]

    async def connect(self, alpn: str = "http/1.1") -> Wire:
        """A connection of one's own."""
        if self.trust is not None:
            self.trust.set_alpn_protocols([alpn])
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.trust, server_hostname="localhost" if self.trust else None
        )
        return Wire(reader, writer)

    async def ask(self, raw: bytes) -> bytes:
        """Everything that comes back until the server closes."""
        wire = await self.connect()
        try:
            wire.write(raw)
            return await wire.rest()
        finally:
            await wire.close()

    async def status(self, raw: bytes) -> int:
        """The status of the one answer there must be, after which the server closes."""
        answer = await self.ask(raw)
        assert answer.count(b"HTTP/1.1 ") == 1, answer
        return int(answer.split(b" ", 2)[1])


class Wire:
    """One client connection, read and written raw."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def rest(self) -> bytes:
        async with asyncio.timeout(30):
            return await self.reader.read(-1)

    async def answer(self) -> tuple[bytes, bytes]:
        """Head and body of the next answer that declares its length."""
        async with asyncio.timeout(30):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = 0
            for line in head.split(b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            return head, await self.reader.readexactly(length)

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


@asynccontextmanager
async def serving(
    app: Any,
    tls: bool = False,
    sock: socket.socket | None = None,
    admit: Any = None,
    share: Any = None,
    **settings: Any,
) -> AsyncIterator[Served]:
    """Serve `app` with these config keys; on leaving, stop it and wait for it."""
    log = Lines()
    sock = sock or socket.create_server(("127.0.0.1", 0))
    with tempfile.TemporaryDirectory() as folder:
        trust = None
        if tls:
            authority = trustme.CA()
            certificate = authority.issue_cert("localhost")
            settings["certfile"] = Path(folder) / "server.crt"
            settings["keyfile"] = Path(folder) / "server.key"
            settings["certfile"].write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
            certificate.private_key_pem.write_to_path(str(settings["keyfile"]))
            trust = ssl.create_default_context()
            authority.configure_trust(trust)
        served = Served(sock, log, trust)
        settings = {"stop_timeout": 0.0} | LANE | settings
        async with HYPERCORN.create(HypercornConfig(**settings), host(log)) as server:
            switches: Any = (served.drain.wait, served.stop.wait)
            served.task = asyncio.ensure_future(
                server.serve(app, [sock], *switches, admit=admit, share=share)
            )
            try:
                yield served
            finally:
                served.stop.set()
                async with asyncio.timeout(30):
                    await served.task


class App:
    """`/` echoes the body; `/hang` waits until it is let go or the client leaves; `/boom` fails."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.left = asyncio.Event()
        self.let_go = asyncio.Event()
        self.calls = 0
        self.last: dict[str, Any] = {}

    async def started(self) -> None:
        """Return when a call has reached the application."""
        async with asyncio.timeout(30):
            await self.entered.wait()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls += 1
        self.last = scope
        self.entered.set()
        body = b""
        more = scope["path"] != "/unread"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.set()
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if scope["path"] == "/boom":
            raise RuntimeError("boom")
        if scope["path"] == "/hang" and not await self._hang(receive):
            return
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["path"] == "/half":
            await send({"type": "http.response.body", "body": body[:1], "more_body": True})
            raise RuntimeError("half")
        await send({"type": "http.response.body", "body": body})

    async def _hang(self, receive: Any) -> bool:
        gone = asyncio.ensure_future(receive())
        free = asyncio.ensure_future(self.let_go.wait())
        done, pending = await asyncio.wait({gone, free}, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        if gone in done:
            assert gone.result()["type"] == "http.disconnect"
            self.left.set()
            return False
        return True


def post(body: bytes, path: bytes = b"/", *fields: bytes) -> bytes:
    """A well-formed POST."""
    lines = [b"POST " + path + b" HTTP/1.1", b"Host: localhost", b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
