"""HTTP/2, over TLS and without: frames by the h2 library, so that a client can misbehave."""

from __future__ import annotations

import asyncio
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import httpx2
import pytest

from portico._host.http.guard import Guard
from portico._host.http.limits import Limits
from tests.plugins.servers.serving import App, Served, Wire, serving

pytestmark = pytest.mark.usefixtures("lane")


class Client:
    """One HTTP/2 connection."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        config = h2.config.H2Configuration(
            header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.h2 = h2.connection.H2Connection(config=config)
        self.h2.initiate_connection()
        self.events: list[h2.events.Event] = []

    @classmethod
    async def to(cls, served: Served) -> Client:
        client = cls(await served.connect("h2"))
        client.flush()
        return client

    def flush(self) -> None:
        self.wire.write(self.h2.data_to_send())

    def start(
        self, path: str = "/", method: str = "POST", body: bytes | None = b"", *extra: tuple[str, str]
    ) -> int:
        """Open a stream; without a body it stays open."""
        stream: int = self.h2.get_next_available_stream_id()
        headers = [
            (":method", method), (":path", path), (":scheme", "https"), (":authority", "localhost"), *extra,
        ]  # fmt: skip
        self.h2.send_headers(stream, headers, end_stream=body == b"")
        while body:
            part, body = body[:16384], body[16384:]
            self.h2.send_data(stream, part, end_stream=not body)
        self.flush()
        return stream

    async def until(self, kind: type[Any], stream: int | None = None) -> Any:
        """The next event of a kind, on a stream if one is named."""
        async with asyncio.timeout(30):
            while True:
                for event in self.events:
                    if isinstance(event, kind) and stream in (None, getattr(event, "stream_id", None)):
                        self.events.remove(event)
                        return event
                data = await self.wire.reader.read(65536)
                if not data:
                    raise EOFError
                for event in self.h2.receive_data(data):
                    if isinstance(event, h2.events.DataReceived):
                        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    self.events.append(event)
                self.flush()

    async def status(self, stream: int) -> str:
        event = await self.until(h2.events.ResponseReceived, stream)
        return str(dict(event.headers)[":status"])

    async def ended(self) -> None:
        """Return when the server has closed the connection."""
        with pytest.raises(EOFError):
            await self.until(type(None))


async def test_a_common_client_speaks_http2_over_tls() -> None:
    app = App()
    async with serving(Guard(app, Limits()), tls=True) as served:
        assert served.trust is not None
        async with httpx2.AsyncClient(verify=served.trust, http2=True) as client:
            url = f"https://localhost:{served.port}/"
            answers = await asyncio.gather(*(client.post(url, content=b"x" * i) for i in range(50)))
        assert [answer.content for answer in answers] == [b"x" * i for i in range(50)]
        assert {answer.http_version for answer in answers} == {"HTTP/2"}
        assert app.last["scheme"] == "https"


async def test_a_common_client_speaks_http1_over_tls() -> None:
    async with serving(App(), tls=True) as served:
        assert served.trust is not None
        async with httpx2.AsyncClient(verify=served.trust) as client:
            answer = await client.post(f"https://localhost:{served.port}/", content=b"hello")
        assert (answer.http_version, answer.content) == ("HTTP/1.1", b"hello")


async def test_http2_can_be_switched_off() -> None:
    async with serving(App(), tls=True, h2=False) as served:
        assert served.trust is not None
        async with httpx2.AsyncClient(verify=served.trust, http2=True) as client:
            answer = await client.get(f"https://localhost:{served.port}/")
        assert answer.http_version == "HTTP/1.1"


async def test_a_reset_stream_disconnects_its_call_and_no_other() -> None:
    app = App()
    async with serving(app, tls=True) as served:
        client = await Client.to(served)
        doomed = client.start("/hang")
        async with asyncio.timeout(30):
            await app.started()
            client.h2.reset_stream(doomed, h2.errors.ErrorCodes.CANCEL)
            client.flush()
            await app.left.wait()
        assert await client.status(client.start("/")) == "200"
        await client.wire.close()
        assert served.log.events == []


async def test_a_closed_connection_disconnects_all_its_calls() -> None:
    left = 0
    all_left = asyncio.Event()

    async def hang(scope: Any, receive: Any, send: Any) -> None:
        nonlocal left
        while (await receive())["type"] != "http.disconnect":
            pass
        left += 1
        if left == 3:
            all_left.set()

    async with serving(hang, tls=True) as served:
        client = await Client.to(served)
        for _ in range(3):
            client.start("/hang", body=None)
        await client.until(h2.events.SettingsAcknowledged)
        await client.wire.close()
        async with asyncio.timeout(30):
            await all_left.wait()


async def test_streams_opened_and_reset_at_once_do_not_pile_up_calls() -> None:
    running = most = 0
    released = asyncio.Event()

    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await released.wait()  # deaf to its disconnect
        running -= 1

    async with serving(stubborn, tls=True, h2_max_concurrent_streams=10) as served:
        client = await Client.to(served)
        for _ in range(500):
            client.h2.reset_stream(client.start("/", body=None), h2.errors.ErrorCodes.CANCEL)
        client.flush()
        event = await client.until(h2.events.ConnectionTerminated)
        assert event.error_code == h2.errors.ErrorCodes.ENHANCE_YOUR_CALM
        assert 10 <= most <= 20
        released.set()
        await client.wire.close()


async def test_a_body_refused_early_stops_its_stream_only() -> None:
    guard = Guard(App(), Limits(body_bytes=1000))
    async with serving(guard, tls=True) as served:
        client = await Client.to(served)
        stream = client.start("/", "POST", None, ("content-length", "60000"))
        assert await client.status(stream) == "413"
        client.h2.send_data(stream, b"x" * 10000)
        client.flush()
        reset = await client.until(h2.events.StreamReset, stream)
        assert reset.error_code == h2.errors.ErrorCodes.NO_ERROR
        assert await client.status(client.start("/", body=b"next")) == "200"
        stream = client.start("/", body=b"x" * 1001)  # of no declared length
        assert await client.status(stream) == "413"
        await client.wire.close()
        assert served.log.events == []


async def test_a_call_that_reads_nothing_does_not_block_its_connection() -> None:
    """Its body fills its queue; a reset, and later streams, must get through all the same."""
    app = App()

    async def deaf(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/deaf":
            await app(scope, receive, send)
        else:
            app.entered.set()
            await app.let_go.wait()

    async with serving(deaf, tls=True) as served:
        client = await Client.to(served)
        stream = client.start("/deaf", body=None)
        for _ in range(30):
            client.h2.send_data(stream, b"x")
            client.flush()
            await client.wire.writer.drain()
        await app.started()
        app.let_go.set()
        assert await client.status(stream) == "500"  # it ended without an answer
        assert await client.status(client.start("/")) == "200"
        await client.wire.close()


async def test_a_failing_application_is_a_500_or_a_reset_but_never_a_whole_answer() -> None:
    async with serving(App(), tls=True) as served:
        client = await Client.to(served)
        assert await client.status(client.start("/boom")) == "500"
        stream = client.start("/half", body=b"whole")
        assert await client.status(stream) == "200"
        reset = await client.until(h2.events.StreamReset, stream)
        assert reset.error_code == h2.errors.ErrorCodes.INTERNAL_ERROR
        assert await client.status(client.start("/")) == "200"
        await client.wire.close()
        assert set(served.log.names) == {"server.app_failed"}


@pytest.mark.parametrize(
    ("path", "method", "extra"),
    [
        ("/é", "GET", []),
        ("http://localhost/", "GET", []),
        ("*", "OPTIONS", []),
        ("/", "CONNECT", [(":protocol", "websocket")]),
    ],
)
async def test_an_odd_request_is_reset_and_the_connection_goes_on(
    path: str, method: str, extra: list[tuple[str, str]]
) -> None:
    app = App()
    async with serving(app, tls=True) as served:
        client = await Client.to(served)
        await client.until(h2.events.StreamReset, client.start(path, method, b"", *extra))
        assert app.calls == 0
        assert await client.status(client.start("/")) == "200"
        await client.wire.close()
        assert served.log.events == []


@pytest.mark.parametrize(
    ("path", "method", "extra"),
    [
        ("localhost:1", "CONNECT", []),
        ("/", "GET", [("host", "evil.example")]),
        ("/", "GET", [("host", "evil.example"), ("host", "localhost")]),
        ("/", "GET", [("transfer-encoding", "chunked")]),
        ("/", "GET", [("X-Upper", "case")]),
    ],
)
async def test_a_malformed_request_ends_the_connection(
    path: str, method: str, extra: list[tuple[str, str]]
) -> None:
    app = App()
    async with serving(app, tls=True) as served:
        client = await Client.to(served)
        client.start(path, method, b"", *extra)
        event = await client.until(h2.events.ConnectionTerminated)
        assert event.error_code == h2.errors.ErrorCodes.PROTOCOL_ERROR
        assert app.calls == 0
        await client.wire.close()
        assert served.log.events == []


async def test_http2_without_tls_is_spoken_only_with_the_flag() -> None:
    app = App()
    async with serving(Guard(app, Limits(allow_h2c=True)), h2c=True) as served:
        client = await Client.to(served)
        assert await client.status(client.start("/")) == "200"
        assert (app.last["http_version"], app.last["scheme"]) == ("2", "http")
        await client.wire.close()
        wire = await served.connect()
        wire.write(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"
        )  # begins like the preface
        assert (await wire.answer())[1] == b"x"
        await wire.close()
    async with serving(Guard(app, Limits()), h2c=True) as served:
        client = await Client.to(served)
        assert await client.status(client.start("/")) == "421"
        await client.wire.close()


async def test_an_idle_connection_is_closed_also_after_a_reset() -> None:
    async with serving(App(), tls=True, keep_alive_timeout=0.5) as served:
        client = await Client.to(served)
        client.h2.reset_stream(client.start("/", body=None), h2.errors.ErrorCodes.CANCEL)
        client.flush()
        await client.until(h2.events.ConnectionTerminated)
        await client.ended()
        await client.wire.close()


async def test_a_call_in_flight_finishes_after_the_stop() -> None:
    app = App()
    async with serving(app, tls=True, stop_timeout=10) as served:
        client = await Client.to(served)
        stream = client.start("/hang", body=b"x" * 60_000)
        await app.started()
        served.stop.set()
        await client.until(h2.events.StreamReset, client.start("/"))  # nothing new is taken
        app.let_go.set()
        assert await client.status(stream) == "200"
        await client.until(h2.events.StreamEnded, stream)
        await client.until(h2.events.ConnectionTerminated)
        await client.wire.close()
        async with asyncio.timeout(30):
            await served.task


async def test_an_idle_connection_is_told_to_go_when_the_server_stops() -> None:
    async with serving(App(), tls=True, stop_timeout=10) as served:
        client = await Client.to(served)
        stream = client.start("/")
        await client.until(h2.events.StreamEnded, stream)
        served.stop.set()
        await client.until(h2.events.ConnectionTerminated)
        await client.wire.close()
