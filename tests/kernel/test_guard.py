"""The HTTP guard, driven as the ASGI middleware it is; no server and no socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from portico._core.requests.owners import PROXIED
from portico._host.http.guard import Guard
from portico._host.http.limits import Limits

HOST = (b"host", b"localhost:4444")
Headers = Sequence[tuple[bytes, bytes]]


def scope(headers: Headers = (HOST,), **changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/mcp",
        "raw_path": b"/mcp",
        "query_string": b"",
        "headers": list(headers),
        "client": ("127.0.0.1", 1234),
        "server": ("127.0.0.1", 4444),
    }
    return base | changes


class Echo:
    """Reads the whole body and answers 200; keeps what it saw."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.body = b""
        self.disconnected = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        more = scope["type"] == "http"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.disconnected = True
                break
            self.body += message.get("body", b"")
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return list(self.scopes[-1]["headers"])


class Exchange:
    """One request put to a guard, and the answer that came."""

    def __init__(self, *body: bytes, stall: bool = False) -> None:
        self._chunks = list(body)
        self._stall = stall
        self.received = 0
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        self.received += 1
        if self._chunks:
            return {"type": "http.request", "body": self._chunks.pop(0), "more_body": True}
        if self._stall:
            await asyncio.get_running_loop().create_future()
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        (start,) = [message for message in self.sent if message["type"] == "http.response.start"]
        return int(start["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def answer(self) -> dict[str, str]:
        return dict(json.loads(self.sent[-1]["body"]))


async def ask(limits: Limits, request: dict[str, Any], *body: bytes) -> tuple[Exchange, Echo]:
    app, exchange = Echo(), Exchange(*body)
    await Guard(app, limits)(request, exchange.receive, exchange.send)
    return exchange, app


async def status_of(*headers: tuple[bytes, bytes], limits: Limits | None = None, **changes: Any) -> int:
    exchange, app = await ask(limits or Limits(), scope(headers, **changes))
    if exchange.status != 200:
        assert not app.scopes
        assert exchange.received == 0  # refused before a byte of the body was asked for
    return exchange.status


async def test_an_ordinary_request_reaches_the_application_unchanged() -> None:
    request = scope([HOST, (b"content-length", b"5"), (b"accept", b"*/*"), (b"mcp-method", b"ping")])
    exchange, app = await ask(Limits(), request, b"hello")
    assert exchange.status == 200
    assert app.body == b"hello"
    assert app.scopes[0] is request


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [HOST, HOST],
        [(b"host", b"")],
        [(b"host", b"localhost/x?")],
        [(b"host", b"a b")],
        [(b"host", b"user@localhost")],
        [(b"host", b"localhost:port")],
        [(b"host", b"localhost:123456")],
        [(b"host", b"localhost\\@evil.example")],
        [(b"host", b"[::1")],
    ],
)
async def test_a_missing_repeated_or_malformed_host_is_refused(headers: Headers) -> None:
    assert await status_of(*headers) == 400
    assert await status_of(*headers, limits=Limits(allowed_hosts=("*",))) == 400


@pytest.mark.parametrize("host", [b"localhost", b"LocalHost:1", b"127.0.0.1:4444", b"[::1]", b"[::1]:4444"])
async def test_loopback_names_are_served_on_any_port(host: bytes) -> None:
    assert await status_of((b"host", host)) == 200


@pytest.mark.parametrize(
    "host", [b"evil.example", b"localhost.evil.example", b"127.0.0.1.nip.io", b"[::2]", b"1"]
)
async def test_a_host_that_is_not_served_is_misdirected(host: bytes) -> None:
    assert await status_of((b"host", host)) == 421


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"mcp.example.com", 200),
        (b"mcp.example.com:8443", 200),
        (b"a.corp.example", 200),
        (b"corp.example", 421),
        (b"evilcorp.example", 421),
        (b"api.example.com:443", 200),
        (b"api.example.com", 421),
        (b"localhost", 421),
    ],
)
async def test_configured_hosts_replace_the_loopback_ones(host: bytes, status: int) -> None:
    limits = Limits(allowed_hosts=("MCP.example.com", "*.corp.example", "api.example.com:443"))
    assert await status_of((b"host", host), limits=limits) == status


async def test_a_star_or_no_host_at_all_allows_any_well_formed_one() -> None:
    for hosts in (("*",), ()):
        assert await status_of((b"host", b"anything.example"), limits=Limits(allowed_hosts=hosts)) == 200


@pytest.mark.parametrize(
    "origin",
    [
        b"http://evil.example",
        b"null",
        b"",
        b"http://localhost.evil.example",
        b"http://localhost@evil.example",
        b"ftp://localhost:4444",
        b"localhost:4444",
        b"http://localhost:4444/path",
    ],
)
async def test_a_foreign_origin_is_refused_before_the_body_is_read(origin: bytes) -> None:
    assert await status_of(HOST, (b"origin", origin), (b"content-length", b"5")) == 403


@pytest.mark.parametrize("origin", [b"http://localhost", b"http://127.0.0.1:6274", b"https://[::1]:1"])
async def test_pages_of_this_machine_may_call_a_gateway_on_loopback(origin: bytes) -> None:
    assert await status_of(HOST, (b"origin", origin)) == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (b"https://app.example", 200),
        (b"https://app.example:8443", 403),
        (b"http://app.example", 403),
        (b"https://x.corp.example", 200),
        (b"https://dev.example:3000", 200),
        (b"https://mcp.example.com", 200),
        (b"http://localhost", 403),
    ],
)
async def test_configured_origins_and_the_gateways_own_are_allowed(origin: bytes, status: int) -> None:
    limits = Limits(
        allowed_hosts=("mcp.example.com",),
        allowed_origins=("https://app.example", "https://*.corp.example", "https://dev.example:*"),
    )
    assert await status_of((b"host", b"mcp.example.com"), (b"origin", origin), limits=limits) == status


PAGES = Limits(allowed_hosts=("mcp.example.com",), allowed_origins=("https://app.example",))
MCP, APP = (b"host", b"mcp.example.com"), (b"origin", b"https://app.example")


async def answered(*headers: tuple[bytes, bytes], **changes: Any) -> tuple[int, dict[bytes, bytes], Echo]:
    """The status and headers of the answer, and what the application saw."""
    app, sent = Echo(), []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await Guard(app, PAGES)(scope(headers, **changes), receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    return sent[0]["status"], dict(sent[0]["headers"]), app


async def test_a_browser_that_asks_for_a_page_that_may_call_is_told_so() -> None:
    asks = (b"access-control-request-method", b"POST")
    of = (b"access-control-request-headers", b"authorization, content-type, mcp-param-region")
    status, headers, app = await answered(MCP, APP, asks, of, method="OPTIONS")
    assert (status, headers[b"access-control-allow-origin"]) == (200, b"https://app.example")
    assert headers[b"access-control-allow-headers"] == of[1]
    assert b"POST" in headers[b"access-control-allow-methods"]
    assert b"Origin" in headers[b"vary"]
    assert b"access-control-allow-credentials" not in headers
    assert not app.scopes
    evil = (b"origin", b"https://evil.example")
    status, headers, app = await answered(MCP, evil, asks, method="OPTIONS")
    assert (status, app.scopes) == (403, [])
    assert not any(name.startswith(b"access-control") for name in headers)


async def test_a_page_that_may_call_may_read_the_answer() -> None:
    status, headers, _ = await answered(MCP, APP)
    assert (status, headers[b"access-control-allow-origin"]) == (200, b"https://app.example")
    assert b"Mcp-Session-Id" in headers[b"access-control-expose-headers"]
    assert headers[b"vary"] == b"Origin"


@pytest.mark.parametrize("origin", [(), ((b"origin", b"https://mcp.example.com"),)])
async def test_what_is_no_page_of_another_origin_gets_no_such_headers(origin: Headers) -> None:
    asks = (b"access-control-request-method", b"POST")
    for changes in ({}, {"method": "OPTIONS"}):
        status, headers, app = await answered(MCP, *origin, asks, **changes)
        assert (status, headers, len(app.scopes)) == (200, {}, 1)


def test_requests_of_such_pages_are_left_to_asgi() -> None:
    guard = Guard(Echo(), PAGES)
    admission = guard.admit(scope([MCP]), lambda *_: None)
    assert admission is not None
    assert admission.handle is not None
    assert guard.admit(scope([MCP, APP]), lambda *_: None) is None
    refused = guard.admit(scope([MCP, (b"origin", b"https://evil.example")]), lambda *_: None)
    assert refused is not None
    assert refused.status == 403


async def test_a_star_allows_every_origin() -> None:
    assert await status_of(HOST, (b"origin", b"null"), limits=Limits(allowed_origins=("*",))) == 200


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([(b"content-length", b"5"), (b"transfer-encoding", b"chunked")], 400),
        ([(b"content-length", b"5"), (b"content-length", b"5")], 400),
        ([(b"content-length", b"+4")], 400),
        ([(b"content-length", b"4, 4")], 400),
        ([(b"content-length", "٤".encode())], 400),
        ([(b"transfer-encoding", b"xchunked")], 501),
        ([(b"transfer-encoding", b"gzip, chunked")], 501),
        ([(b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")], 400),
    ],
)
async def test_an_ambiguous_body_length_is_refused_and_the_connection_closed(
    fields: Headers, status: int
) -> None:
    exchange, app = await ask(Limits(), scope([HOST, *fields]))
    assert exchange.status == status
    assert exchange.headers[b"connection"] == b"close"
    assert not app.scopes


@pytest.mark.parametrize(
    "name",
    [
        b"authorization",
        b"x-upstream-authorization",
        b"content-type",
        b"origin",
        b"last-event-id",
        b"mcp-session-id",
    ],
)
async def test_a_repeated_single_valued_header_is_refused(name: bytes) -> None:
    assert await status_of(HOST, (name, b"a"), (name, b"a")) == 400


@pytest.mark.parametrize("name", [b"mcp-method", b"mcp-name", b"mcp-protocol-version", b"accept", b"cookie"])
async def test_headers_the_application_judges_itself_may_repeat(name: bytes) -> None:
    _, app = await ask(Limits(), scope([HOST, (name, b"a"), (name, b"b")]))
    assert app.headers == [HOST, (name, b"a"), (name, b"b")]


async def test_headers_are_bounded_in_number_line_and_sum() -> None:
    many = [(b"x-%d" % i, b"") for i in range(100)]
    assert await status_of(HOST, *many[:99]) == 200
    assert await status_of(HOST, *many) == 431
    assert await status_of(HOST, (b"x", b"y" * 8191)) == 200
    assert await status_of(HOST, (b"x", b"y" * 8192)) == 431
    assert await status_of(HOST, *[(b"x", b"y" * 8000)] * 4) == 200
    assert await status_of(HOST, *[(b"x", b"y" * 8000)] * 5) == 431


async def test_a_long_request_target_is_refused() -> None:
    assert await status_of(HOST, raw_path=b"/" * 5000, query_string=b"q" * 5000) == 414


@pytest.mark.parametrize(
    "name",
    [
        b"mcp_method",
        b"x_user",
        b"x-forwarded-for",
        b"x-forwarded-user",
        b"forwarded",
        b"via",
        b"x-user",
        b"x-user-id",
        b"x-tenant-id",
        b"x-real-ip",
        b"remote-user",
        b"mcp-init-host",
        b"x-original-url",
        b"x-http-method-override",
        b"x-portico-anything",
    ],
)
async def test_headers_a_client_may_not_set_never_reach_the_application(name: bytes) -> None:
    request = scope([HOST, (name, b"admin"), (b"accept", b"*/*")])
    exchange, app = await ask(Limits(), request)
    assert exchange.status == 200
    assert app.headers == [HOST, (b"accept", b"*/*")]
    assert app.scopes[0]["client"] == ("127.0.0.1", 1234)
    assert len(request["headers"]) == 3  # the server's own scope is left alone


@pytest.mark.parametrize(
    ("name", "proxied"),
    [
        (b"x-forwarded-for", True),
        (b"forwarded", True),
        (b"via", True),
        (b"x-real-ip", True),
        (b"x-user", None),
    ],
)
async def test_a_request_that_says_it_came_through_a_proxy_is_marked(name: bytes, proxied: object) -> None:
    _, app = await ask(Limits(), scope([HOST, (name, b"192.0.2.1")]))
    assert app.scopes[0].get(PROXIED) is proxied


async def test_only_a_trusted_proxy_is_believed_about_the_client() -> None:
    headers = [
        HOST,
        (b"x-forwarded-for", b"6.6.6.6, 203.0.113.9"),
        (b"x-forwarded-for", b"10.0.0.7"),
        (b"x-forwarded-proto", b"https"),
    ]
    limits = Limits(trusted_proxies=("10.0.0.0/8", "unix"))
    _, app = await ask(limits, scope(headers, client=("10.0.0.1", 5)))
    assert (app.scopes[0]["client"], app.scopes[0]["scheme"]) == (("203.0.113.9", 0), "https")
    _, app = await ask(limits, scope(headers, client=None))
    assert app.scopes[0]["client"] == ("203.0.113.9", 0)
    _, app = await ask(limits, scope(headers, client=("192.0.2.1", 5)))
    assert (app.scopes[0]["client"], app.scopes[0]["scheme"]) == (("192.0.2.1", 5), "http")
    assert app.headers == [HOST]


def test_a_trusted_proxy_that_is_no_network_is_a_config_error() -> None:
    with pytest.raises(ValueError, match="does not appear to be an IPv4 or IPv6 network"):
        Limits(trusted_proxies=("proxy.example",))


async def test_http2_without_tls_needs_the_flag() -> None:
    assert await status_of(HOST, http_version="2") == 421
    assert await status_of(HOST, http_version="2", limits=Limits(allow_h2c=True)) == 200
    assert await status_of(HOST, http_version="2", scheme="https") == 200


async def test_refusals_on_http2_carry_no_connection_header() -> None:
    exchange, _ = await ask(Limits(), scope([(b"host", b"evil")], http_version="2", scheme="https"))
    assert exchange.status == 421
    assert b"connection" not in exchange.headers


async def test_a_declared_body_over_the_limit_is_refused_unread() -> None:
    limits = Limits(body_bytes=10)
    assert await status_of(HOST, (b"content-length", b"11"), limits=limits) == 413
    assert await status_of(HOST, (b"content-length", b"9" * 5000), limits=limits) == 413
    exchange, app = await ask(limits, scope([HOST, (b"content-length", b"10")]), b"0123456789")
    assert (exchange.status, app.body) == (200, b"0123456789")


async def test_a_chunked_body_over_the_limit_is_cut_off_where_it_passes_it() -> None:
    request = scope([HOST, (b"transfer-encoding", b"chunked")])
    exchange, app = await ask(Limits(body_bytes=10), request, b"01234", b"56789", b"x", b"never", b"read")
    assert exchange.status == 413
    assert exchange.headers[b"connection"] == b"close"
    assert exchange.received == 3
    assert app.disconnected  # and what it sent after that went nowhere


async def test_a_body_on_http2_without_a_length_is_counted_too() -> None:
    request = scope([HOST], http_version="2", scheme="https")
    exchange, _ = await ask(Limits(body_bytes=4), request, b"12345")
    assert exchange.status == 413


async def test_an_exception_after_a_refused_body_is_swallowed() -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        raise RuntimeError(message["type"])

    exchange = Exchange(b"12345")
    guard = Guard(fails, Limits(body_bytes=4))
    await guard(scope([HOST, (b"transfer-encoding", b"chunked")]), exchange.receive, exchange.send)
    assert exchange.status == 413


async def test_an_exception_of_the_application_passes_through() -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("mine")

    exchange = Exchange(b"1")
    with pytest.raises(RuntimeError, match="mine"):
        await Guard(fails, Limits())(
            scope([HOST, (b"content-length", b"1")]), exchange.receive, exchange.send
        )


async def test_a_stalled_body_times_out() -> None:
    app, exchange = Echo(), Exchange(b"half", stall=True)
    guard = Guard(app, Limits(body_seconds=0.02))
    await guard(scope([HOST, (b"content-length", b"8")]), exchange.receive, exchange.send)
    assert exchange.status == 408
    assert exchange.headers[b"connection"] == b"close"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_the_body_deadline_does_not_cut_an_application_that_is_not_reading() -> None:
    passed = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        asyncio.get_running_loop().call_later(0.05, passed.set)
        await passed.wait()  # well past the deadline, with the rest of the body already there
        await Echo()(scope, receive, send)

    exchange = Exchange(b"some", b"more")
    guard = Guard(slow, Limits(body_seconds=0.01))
    await guard(scope([HOST, (b"content-length", b"8")]), exchange.receive, exchange.send)
    assert exchange.status == 200


async def test_the_body_deadline_ends_with_the_body() -> None:
    released = asyncio.Event()

    async def long(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass
        asyncio.get_running_loop().call_later(0.05, released.set)
        await released.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    exchange = Exchange(b"12345678")
    guard = Guard(long, Limits(body_seconds=0.01))
    await guard(scope([HOST, (b"content-length", b"8")]), exchange.receive, exchange.send)
    assert exchange.status == 200


async def test_somebody_elses_cancellation_is_not_taken_for_a_deadline() -> None:
    reading = asyncio.Event()

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        reading.set()
        await receive()

    exchange = Exchange(stall=True)
    guard = Guard(waits, Limits())
    running = guard(scope([HOST, (b"content-length", b"8")]), exchange.receive, exchange.send)
    task = asyncio.ensure_future(running)
    await reading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert exchange.sent == []


async def test_refusals_are_short_json_that_echoes_nothing() -> None:
    exchange, _ = await ask(Limits(), scope([(b"host", b"<script>evil")], raw_path=b"/<script>"))
    assert exchange.headers[b"content-type"] == b"application/json"
    assert set(exchange.answer) == {"error", "expected"}
    assert b"script" not in exchange.sent[-1]["body"]
    assert len(exchange.sent[-1]["body"]) < 200


async def test_a_websocket_from_a_foreign_page_is_closed_before_it_is_accepted() -> None:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    app = Echo()
    for headers in ([HOST, (b"origin", b"http://evil")], [(b"host", b"evil")]):
        await Guard(app, Limits())(scope(headers, type="websocket", scheme="ws"), receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"] * 2
    assert not app.scopes
    await Guard(app, Limits())(scope([HOST], type="websocket", scheme="ws"), receive, send)
    assert len(app.scopes) == 1


async def test_lifespan_passes() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    exchange = Exchange()
    await Guard(app, Limits())({"type": "lifespan"}, exchange.receive, exchange.send)
    assert seen == ["lifespan"]


async def test_a_flood_of_distinct_names_and_hosts_is_not_remembered_for_ever() -> None:
    app = Echo()
    guard = Guard(app, Limits(allowed_hosts=("*",)))
    for i in range(5000):
        exchange = Exchange()
        headers = [(b"host", b"h%d" % i), (b"x-%d" % i, b"1"), (b"y" * 5000 + b"%d" % i, b"1")]
        await guard(scope(headers), exchange.receive, exchange.send)
        assert exchange.status == 200
    assert len(guard._kinds) <= 4096
    assert len(guard._hosts._memory._known) <= 1024
    assert max(map(len, guard._kinds)) <= 64
