"""HTTP+SSE: the stream, the messages posted beside it, and whose they are."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest

from portico.api import Json, Principal
from tests.plugins.transports.kit import ALICE, BOB, HELLO, TOKENS, cancelled, happened, legacy_call
from tests.plugins.transports.test_http_workers import worker
from tests.plugins.transports.web import PATIENCE, Answer, Web, frame, gateway

JSON = {"host": "localhost", "content-type": "application/json"}
STREAM = {"host": "localhost", "accept": "text/event-stream"}
SSE = "[transports.sse]"
PRIVATE = f"{TOKENS}\n[servers.default]\nauth = ['people']"


class Session:
    """A session as its client has it."""

    def __init__(self, web: Web, stream: Answer, where: str, headers: Json) -> None:
        self.web = web
        self.stream = stream
        self.where = where
        self.headers = headers

    def post(self, body: bytes, web: Web | None = None, headers: Json | None = None) -> Answer:
        path, _, query = self.where.partition("?")
        lines = {**JSON, **(self.headers if headers is None else headers)}
        return (web or self.web).open("POST", lines, body, path, query_string=query.encode())

    async def say(self, body: bytes, web: Web | None = None) -> None:
        assert await self.post(body, web).head() == 202

    async def ask(self, body: bytes, web: Web | None = None) -> Any:
        await self.say(body, web)
        return await self.stream.message()


async def opened(web: Web, headers: Json | None = None, path: str = "/sse", greet: bool = True) -> Session:
    stream = web.open("GET", {**STREAM, **(headers or {})}, path=path)
    assert await stream.head() == 200
    event = await stream.event()
    assert event.event == "endpoint"
    session = Session(web, stream, event.data, headers or {})
    if greet:
        assert (await session.ask(frame(0, "initialize", HELLO)))["id"] == 0
    return session


def lines_of(web: Web, server: str = "default") -> Any:
    transport: Any = web.gateway.transports["sse"]
    return transport.endpoints.apps[server].lines


async def test_the_first_event_says_where_to_post_and_when_to_come_back() -> None:
    async with gateway("", "[transports.sse]\nretry = 1234") as web:
        stream = web.open("GET", STREAM, path="/servers/default/sse")
        await stream.head()
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["x-accel-buffering"] == "no"
        event = await stream.event()
        path, _, query = event.data.partition("?")
        assert (event.event, path, event.retry) == ("endpoint", "/servers/default/messages", 1234)
        assert query.startswith("session_id=")


async def test_behind_a_proxy_the_whole_url_can_be_told() -> None:
    async with gateway("", "[transports.sse]\nurl = 'https://gw.example.com/mcp/'") as web:
        session = await opened(web, greet=False)
        assert session.where.startswith("https://gw.example.com/mcp/messages?session_id=")


async def test_a_session_is_its_principals_only() -> None:
    async with gateway("", f"{SSE}\n{PRIVATE}") as web:
        assert await web.open("GET", STREAM, path="/sse").head() == 401
        session = await opened(web, ALICE)
        ping = frame(1, "ping", {})
        assert await session.post(ping, headers={}).head() == 401
        assert await session.post(ping, headers=BOB).head() == 404
        assert (await session.ask(ping))["result"] == {}


@pytest.mark.parametrize(
    "query", ["", "session_id=", "session_id=x", "session_id=a&session_id=b", "other=1", "session_id=%ff"]
)
async def test_a_session_that_is_none_is_not_found(query: str) -> None:
    async with gateway("", SSE) as web:
        asked = web.open("POST", JSON, frame(1, "ping", {}), "/messages", query_string=query.encode())
        assert (await asked.head(), await asked.json()) == (404, {"error": "no such session"})


async def test_the_wrong_methods_and_forms_are_refused() -> None:
    async with gateway("", SSE) as web:
        for method, path, allowed in (("POST", "/sse", "GET"), ("GET", "/messages", "POST")):
            refused = web.open(method, {**JSON, **STREAM}, path=path)
            assert (await refused.head(), refused.headers["allow"]) == (405, allowed)
        assert await web.open("GET", {**STREAM, "accept": "text/html"}, path="/sse").head() == 406
        session = await opened(web)
        for body in (b"{", b"[]", b"hello"):
            asked = session.post(body)
            assert await asked.head() == 400
            assert (await asked.json())["error"]["code"] in (-32700, -32600)
        assert await session.post(b"{}", headers={"content-type": "text/plain"}).head() == 415
        assert (await session.ask(frame(1, "ping", {})))["id"] == 1  # it is none the worse for it


async def test_a_quiet_stream_is_kept_alive() -> None:
    async with gateway("", "[transports.sse]\nkeep_alive = 0.01") as web:
        stream = web.open("GET", STREAM, path="/sse")
        await stream.until(lambda: stream._data.count(b": keep-alive\n\n") > 2)


async def test_leaving_ends_the_session_and_its_calls() -> None:
    async with gateway("", SSE) as web:
        session = await opened(web)
        await session.say(legacy_call(1, "hang"))
        await happened(web.upstream.begun)
        await session.stream.gone()
        await happened(web.upstream.cancelled)
        assert await session.post(frame(2, "ping", {})).head() == 404
        assert len(lines_of(web)) == 0


async def test_a_cancelled_call_is_not_answered() -> None:
    async with gateway("", SSE) as web:
        session = await opened(web)
        await session.say(legacy_call(1, "hang"))
        await happened(web.upstream.begun)
        await session.say(cancelled(1))
        await happened(web.upstream.cancelled)
        assert (await session.ask(frame(2, "ping", {})))["id"] == 2


@pytest.mark.parametrize("key", ["max_sessions", "max_sessions_each"])
async def test_there_are_only_so_many_streams(key: str) -> None:
    async with gateway("", f"[transports.sse]\n{key} = 1") as web:
        first = await opened(web)
        refused = web.open("GET", STREAM, path="/sse")
        assert (await refused.json())["error"]["code"] == 50302
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        await first.stream.gone()
        await opened(web)


async def test_a_client_that_does_not_read_holds_its_upstream_back_and_is_cut_off() -> None:
    keys = "unread_frames = 4\nunread_seconds = 0.05"
    async with gateway("", f"[transports.sse]\n{keys}") as web:
        session = await opened(web)
        session.stream.reading.clear()
        flood = {"name": "flood", "arguments": {"n": 5000}, "_meta": {"progressToken": "t" * 1000}}
        await session.say(frame(1, "tools/call", flood))
        async with asyncio.timeout(PATIENCE):
            while len(lines_of(web)):
                await asyncio.sleep(0.01)
        assert web.upstream.sent < 5000
        session.stream.reading.set()


async def test_notices_nobody_reads_end_the_stream() -> None:
    async with gateway("", "[transports.sse]\nunread_seconds = 60") as web:
        session = await opened(web)
        session.stream.reading.clear()
        plane = web.gateway.plane
        async with asyncio.timeout(PATIENCE):
            while len(lines_of(web)):
                for _ in range(100):
                    notice = {"level": "info", "data": "x" * 10_000}
                    await plane.announce("one", None, "notifications/message", notice)
                for line in lines_of(web)._lines.values():
                    if line.outbox.overrun:
                        session.stream.reading.set()
                await asyncio.sleep(0)
        await session.stream.over()


async def test_a_token_that_is_withdrawn_ends_the_stream() -> None:
    async with gateway("", f"{SSE}\n{PRIVATE}") as web:
        session = await opened(web, ALICE)
        other = await opened(web, BOB)
        endpoint = web.gateway.plane.endpoints["default"]
        scheme = endpoint._schemes.schemes[0][1]
        endpoint.change(endpoint._pipeline, [("people", _Only(scheme, "bob"))])
        lines_of(web).sweep()
        assert await session.stream.rest() == []
        assert (await other.ask(frame(1, "ping", {})))["id"] == 1


class _Only:
    """Knows one of the clients still."""

    def __init__(self, scheme: Any, subject: str) -> None:
        self._scheme = scheme
        self._subject = subject

    async def authenticate(self, credentials: Any) -> Any:
        verdict = await self._scheme.authenticate(credentials)
        known = isinstance(verdict, Principal) and verdict.subject == self._subject
        return verdict if known else None


async def test_a_stream_ends_with_its_virtual_server() -> None:
    async with gateway("", SSE) as web:
        session = await opened(web)
        quiet = await opened(web, greet=False)
        web.gateway.plane.endpoints["default"].close()
        assert await session.stream.rest() == await quiet.stream.rest() == []


async def test_answers_that_are_due_come_before_the_end() -> None:
    async with gateway("", SSE) as web:
        session = await opened(web)
        await session.say(legacy_call(1, "hang"))
        await happened(web.upstream.begun)
        await web.gateway.plane.close(web.gateway.parking)
        (last,) = await session.stream.rest()
        assert (last["id"], last["error"]["code"]) == (1, 50303)


async def test_posts_that_reach_another_worker_are_passed_on() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        async with (
            worker(Path(folder), "aa", f"{SSE}\n{PRIVATE}") as owner,
            worker(Path(folder), "bb", f"{SSE}\n{PRIVATE}") as other,
        ):
            session = await opened(owner.web, ALICE, greet=False)
            answer = await session.ask(frame(0, "initialize", HELLO), other.web)
            assert "serverInfo" in answer["result"]
            called = await session.ask(legacy_call(1, "echo", {"n": 1}), other.web)
            assert called["result"]["structuredContent"] == {"n": 1}
            assert [name for name, _ in owner.web.upstream.calls] == ["echo"]
            assert other.web.upstream.calls == []
            assert await session.post(frame(2, "ping", {}), other.web, BOB).head() == 404
            assert await session.post(b"{", other.web).head() == 400
            owner.die()
            assert await session.post(frame(3, "ping", {}), other.web).head() == 404


async def test_a_batch_of_2025_03_26_is_answered_on_the_stream() -> None:
    async with gateway("", SSE) as web:
        session = await opened(web, greet=False)
        await session.ask(frame(0, "initialize", {**HELLO, "protocolVersion": "2025-03-26"}))
        await session.say(b"[" + frame(1, "ping", {}) + b"," + frame(2, "tools/list", {}) + b"]")
        assert {(await session.stream.message())["id"] for _ in range(2)} == {1, 2}
