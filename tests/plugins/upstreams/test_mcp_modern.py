"""The modern leg over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.responses import Response

from portico.api import Era, Json, Refused, Secret, State
from tests.plugins.upstreams.kit import ALICE, Client, call, exchange, running, serving, text
from tests.plugins.upstreams.scripted import Scripted, Seen, error, event, notice, result, stream

ODD = (
    b'{"content":[{"type":"hologram","x":null},{"text":"a\\u00e9\xc3\xa9","type":"text"}],"z":9223372036854775807,'
    b'"n":-123456789012345678901234567890,"f":1.10,"_meta":{"k":null},  "structuredContent":null}'
)


async def test_a_call_carries_what_the_revision_asks_for() -> None:
    app = Scripted()
    app.tools = [
        {
            "name": "tööl",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "region": {"type": "string", "x-mcp-header": "Region"},
                    "n": {"type": "integer"},
                },
            },
        }
    ]
    async with serving(app) as origin, running(url=origin) as up:
        request = call(
            "tööl",
            {"region": "eu west", "n": 2**63 - 1},
            Era.MODERN,
            capabilities={"elicitation": {"form": {}}},
            log_level="info",
            progress_token="client's own",
            headers={
                "authorization": "Bearer inbound",
                "cookie": "c",
                "mcp-param-other": "kept",
                "mcp-param-region": "lie",
            },
        )
        request.params["_meta"] = {"traceparent": "00-1", "progressToken": "client's own", "vendor/x": None}
        await up.send(request)
    seen = app.of("tools/call")[0]
    meta = seen.params["_meta"]
    assert meta["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"
    assert meta["io.modelcontextprotocol/clientCapabilities"] == {"elicitation": {"form": {}}}
    assert meta["io.modelcontextprotocol/clientInfo"] == {"name": "tester", "version": "1"}
    assert meta["io.modelcontextprotocol/logLevel"] == "info"
    assert meta["traceparent"] == "00-1"
    assert meta["vendor/x"] is None
    assert meta["progressToken"] == seen.id
    assert seen.params["arguments"] == {"region": "eu west", "n": 2**63 - 1}
    assert seen.headers["mcp-protocol-version"] == "2026-07-28"
    assert seen.headers["mcp-method"] == "tools/call"
    assert seen.headers["mcp-name"] == "=?base64?dMO2w7Zs?="
    assert seen.headers["mcp-param-region"] == "eu west"
    assert seen.headers["mcp-param-other"] == "kept"
    assert {"authorization", "cookie", "mcp-session-id"}.isdisjoint(seen.headers)
    assert seen.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("sse", [False, True])
async def test_a_result_passes_byte_for_byte(sse: bool) -> None:
    app = Scripted()

    async def answer(seen: Seen) -> Response:
        if not sse:
            return result(seen, ODD)

        async def events() -> AsyncIterator[bytes]:
            yield event(b'{"jsonrpc":"2.0","result":%s,"id":%d}' % (ODD, seen.id))

        return stream(events())

    app.on["tools/call"] = answer
    async with serving(app) as origin, running(url=origin) as up:
        got = await up.send(call("t", era=Era.MODERN))
    assert got.raw == ODD
    assert got.era is Era.MODERN


async def test_input_required_is_passed_on_untouched_and_so_is_the_retry() -> None:
    app = Scripted()
    asked = (
        b'{"resultType":"input_required","inputRequests":{"k":{"method":"roots/list","params":{}}},'
        b'"requestState":"s\\u0041"}'
    )

    async def answer(seen: Seen) -> Response:
        return result(
            seen, asked if "requestState" not in seen.params else {"content": [], "resultType": "complete"}
        )

    app.on["tools/call"] = answer
    async with serving(app) as origin, running(url=origin) as up:
        first = await up.send(call("t", era=Era.MODERN))
        assert first.raw == asked
        assert first.kind == "input_required"
        retry = call("t", era=Era.MODERN)
        retry.params |= {"requestState": "sA", "inputResponses": {"k": {"roots": []}}}
        assert (await up.send(retry)).kind == "complete"
    last = app.of("tools/call")[1]
    assert last.params["requestState"] == "sA"
    assert last.params["inputResponses"] == {"k": {"roots": []}}


async def test_input_is_not_required_of_a_client_by_a_server_it_is_withheld_from() -> None:
    app = Scripted()

    async def answer(seen: Seen) -> Response:
        asked = {"r": {"method": "roots/list"}}
        return result(seen, {"resultType": "input_required", "inputRequests": asked})

    async def task(seen: Seen) -> Response:
        asked = {"r": {"method": "roots/list"}}
        return result(seen, {"resultType": "complete", "status": "input_required", "inputRequests": asked})

    app.on |= {"tools/call": answer, "tasks/get": task}
    capabilities: Json = {"roots": {}, "sampling": {}}
    async with serving(app) as origin, running(url=origin, withhold=("roots",)) as up:
        with pytest.raises(Refused) as caught:
            await up.send(call("t", era=Era.MODERN, capabilities=capabilities))
        with pytest.raises(Refused) as by_task:
            await up.send(exchange("tasks/get", {"taskId": "x"}, Era.MODERN, capabilities=capabilities))
    for refusal in (caught.value, by_task.value):
        assert refusal.data["gateway"]["reason"] == "capability_withheld"
    told = [seen.params["_meta"]["io.modelcontextprotocol/clientCapabilities"] for seen in app.seen]
    assert [set(capabilities) for capabilities in (told[0], told[-1])] == [
        {"elicitation", "sampling"},
        {"sampling"},
    ]


async def test_progress_comes_back_under_the_clients_own_token() -> None:
    app = Scripted()

    async def answer(seen: Seen) -> Response:
        async def events() -> AsyncIterator[bytes]:
            yield notice("notifications/progress", progressToken=seen.id, progress=1)
            yield notice("notifications/message", level="info", data="x")
            yield event({"jsonrpc": "2.0", "id": seen.id, "result": {"content": []}})

        return stream(events())

    app.on["tools/call"] = answer
    client = Client()
    async with serving(app) as origin, running(url=origin) as up:
        await up.send(call("t", era=Era.MODERN, client=client, progress_token=7, log_level="info"))
    assert client.frames == [
        ("notifications/progress", {"progressToken": 7, "progress": 1}),
        ("notifications/message", {"level": "info", "data": "x"}),
    ]


async def test_the_servers_error_is_the_answer_as_it_said_it() -> None:
    app = Scripted()

    async def answer(seen: Seen) -> Response:
        return error(seen, -32602, "Unknown tool", {"deep": [None, 2**70]}, status=400)

    app.on["tools/call"] = answer
    async with serving(app) as origin, running(url=origin) as up:
        with pytest.raises(Refused) as caught:
            await up.send(call("t", era=Era.MODERN))
    assert (caught.value.code, caught.value.message) == (-32602, "Unknown tool")
    assert caught.value.data == {"deep": [None, 2**70]}


def _redirect(_: Seen) -> Response:
    return Response(status_code=307, headers={"Location": "http://127.0.0.1:1/"})


def _html(_: Seen) -> Response:
    return Response("<html>", media_type="text/html")


def _zipped(seen: Seen) -> Response:
    answer = result(seen, {"content": []})
    answer.headers["Content-Encoding"] = "gzip"
    return answer


def _packed(seen: Seen) -> Response:
    answer = result(seen, {"content": []})
    answer.headers["Content-Encoding"] = "br"
    return answer


def _long(seen: Seen) -> Response:
    return result(seen, {"content": [], "pad": "x" * 5000})


def _other(seen: Seen) -> Response:
    seen.body["id"] += 1000
    return result(seen, {"content": []})


@pytest.mark.parametrize(
    ("bad", "code", "reason"),
    [
        (_redirect, 50200, "redirect"),
        (_html, 50200, "malformed_message"),
        (_zipped, 50200, "bad_compression"),
        (_packed, 50200, "encoded_body"),
        (_long, 50200, "message_too_large"),
        (_other, 50200, "no_answer"),
        (lambda s: result(s, "[1]"), 50200, "malformed_message"),
        (lambda s: result(s, b'{"a":"\xff"}'), 50200, "malformed_message"),
        (lambda s: result(s, b"[" * 100_0 + b"]" * 100_0), 50200, "malformed_message"),
        (lambda _: Response(status_code=202), 50200, "malformed_message"),
        (lambda _: Response(status_code=500), 50200, "http_500"),
        (lambda _: Response(status_code=503), 50300, "http_503"),
        (lambda _: Response(status_code=429), 50300, "http_429"),
        (lambda _: Response(status_code=401), 50300, "upstream_unauthorized"),
        (lambda _: Response(status_code=403), 50300, "upstream_unauthorized"),
    ],
)
async def test_an_answer_of_no_use_fails_the_call_and_nothing_else(bad: Any, code: int, reason: str) -> None:
    app = Scripted()

    async def answer(seen: Seen) -> Response:
        return bad(seen)  # type: ignore[no-any-return]

    async with serving(app) as origin, running(url=origin, max_message_bytes=4096) as up:
        app.on["tools/call"] = answer
        request = call("t", era=Era.MODERN)
        with pytest.raises(Refused) as caught:
            await up.send(request)
        del app.on["tools/call"]
        assert text(await up.send(call("t", era=Era.MODERN))) == "called"
    gateway = caught.value.data["gateway"]
    assert (caught.value.code, gateway["reason"]) == (code, reason)
    assert (gateway["upstream"], gateway["request_id"]) == ("up", request.id)
    assert "127.0.0.1" not in str(caught.value.body())


async def test_a_stream_cut_before_its_answer_fails_the_call() -> None:
    app = Scripted()

    async def answer(seen: Seen) -> Response:
        async def events() -> AsyncIterator[bytes]:
            yield notice("notifications/progress", progressToken=seen.id, progress=1)

        return stream(events())

    app.on["tools/call"] = answer
    async with serving(app) as origin, running(url=origin) as up:
        with pytest.raises(Refused) as caught:
            await up.send(call("t", era=Era.MODERN))
    assert caught.value.data["gateway"] | {"request_id": ""} == {
        "reason": "stream_cut",
        "upstream": "up",
        "request_id": "",
        "retryable": False,
    }


async def test_a_time_limit_ends_a_call_and_its_stream() -> None:
    app, gone = Scripted(), asyncio.Event()

    async def answer(seen: Seen) -> Response:
        async def events() -> AsyncIterator[bytes]:
            yield notice("notifications/progress", progressToken=seen.id, progress=1)
            try:
                await asyncio.Event().wait()
            finally:
                gone.set()

        return stream(events())

    app.on["tools/call"] = answer
    async with serving(app) as origin, running(url=origin, call_timeout=1.0) as up:
        with pytest.raises(Refused) as caught:
            await up.send(call("t", era=Era.MODERN))
        assert (caught.value.code, caught.value.data["gateway"]["reason"]) == (50400, "call_timeout")
        async with asyncio.timeout(30):
            await gone.wait()


async def test_cancelling_a_call_closes_its_stream() -> None:
    app, gone, client = Scripted(), asyncio.Event(), Client()

    async def answer(seen: Seen) -> Response:
        async def events() -> AsyncIterator[bytes]:
            yield notice("notifications/message", level="info", data="started")
            try:
                await asyncio.Event().wait()
            finally:
                gone.set()

        return stream(events())

    app.on["tools/call"] = answer
    async with serving(app) as origin, running(url=origin) as up:
        task = asyncio.create_task(up.send(call("t", era=Era.MODERN, client=client)))
        await asyncio.wait_for(client.news.wait(), 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(30):
            await gone.wait()
    assert not app.of("notifications/cancelled")


async def test_tasks_name_their_id_and_unknown_methods_pass() -> None:
    app = Scripted()

    async def answer(seen: Seen) -> Response:
        return result(seen, {"ok": True})

    app.on |= {"tasks/get": answer, "vendor/do": answer}
    async with serving(app) as origin, running(url=origin) as up:
        await up.send(exchange("tasks/get", {"taskId": "t 1 "}, Era.MODERN))
        assert (await up.send(exchange("vendor/do", {"x": 1}, Era.MODERN))).value == {"ok": True}
    assert app.of("tasks/get")[0].headers["mcp-name"] == "=?base64?dCAxIA==?="
    assert "mcp-name" not in app.of("vendor/do")[0].headers


async def test_only_what_is_configured_authenticates() -> None:
    app = Scripted()

    class Key:
        async def headers(self, principal: Any, upstream: str) -> dict[str, str]:
            return {"X-Key": f"{principal.subject}@{upstream}"}

    from portico.api import Ref

    async with (
        serving(app) as origin,
        running(
            Key(),
            url=origin,
            headers={"X-Static": Secret("s")},
            credential=Ref("key"),
            pass_upstream_authorization=True,
        ) as up,
    ):
        headers = {"authorization": "Bearer inbound", "x-upstream-authorization": "Bearer mine"}
        await up.send(call("t", era=Era.MODERN, headers=headers))
    seen = app.of("tools/call")[0].headers
    assert (seen["x-static"], seen["x-key"], seen["authorization"]) == ("s", "alice@up", "Bearer mine")
    listing = app.of("tools/list")[0].headers
    assert (listing["x-key"], "authorization" in listing) == ("gateway@up", False)


async def test_a_credential_cannot_smuggle_headers() -> None:
    class Evil:
        async def headers(self, principal: Any, upstream: str) -> dict[str, str]:
            return {"X-Key": "a\r\nMcp-Session-Id: stolen"}

    from portico.api import Ref

    app = Scripted()
    async with serving(app) as origin, running(Evil(), url=origin, credential=Ref("key")) as up:
        assert (up.upstream.state, up.upstream.reason) == (State.DEGRADED, "bad_credential_header")
    assert app.seen == []


async def test_without_a_credential_that_is_no_header_nothing_is_sent() -> None:
    from portico.api import CredentialParts, Ref
    from portico_plugins.credentials.places import FixedParts

    app, query = Scripted(), FixedParts(CredentialParts(query={"key": "s"}), {})
    async with serving(app) as origin, running(query, url=origin, credential=Ref("key")) as up:
        assert (up.upstream.state, up.upstream.reason) == (State.UNAVAILABLE, "credential_is_no_header")
    assert app.seen == []


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/mcp", "http://[fd00:ec2::254]/", "http://0xa9fea9fe/"]
)
async def test_a_metadata_address_is_never_connected_to(url: str) -> None:
    async with running(url=url) as up:
        assert up.upstream.reason == "address_not_allowed (metadata)"


async def test_a_private_address_can_be_forbidden() -> None:
    app = Scripted()
    async with serving(app) as origin:
        for host in ("127.0.0.1", "localhost"):
            async with running(url=origin.replace("127.0.0.1", host), allow_private=False) as up:
                assert up.upstream.reason == "address_not_allowed (loopback)"
                with pytest.raises(Refused) as caught:
                    await up.send(call("t", era=Era.MODERN))
                assert caught.value.code == 50300
    assert app.seen == []


async def test_updates_of_watched_resources_are_heard_and_a_new_set_replaces_the_old() -> None:
    app = Scripted(capabilities={"resources": {"subscribe": True}})
    queues: list[asyncio.Queue[bytes]] = []

    async def listen(seen: Seen) -> Response:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        queues.append(queue)

        async def events() -> AsyncIterator[bytes]:
            meta = {"io.modelcontextprotocol/subscriptionId": seen.id}
            yield notice(
                "notifications/subscriptions/acknowledged",
                _meta=meta,
                notifications=seen.params["notifications"],
            )
            while chunk := await queue.get():
                yield chunk

        return stream(events())

    async def listed(seen: Seen) -> Response:
        return result(seen, {"resources": []})

    app.on |= {"subscriptions/listen": listen, "resources/list": listed}
    async with serving(app) as origin, running(url=origin) as up:
        await up.upstream.watch(ALICE, frozenset({"a://1"}))
        queues[0].put_nowait(notice("notifications/resources/updated", uri="a://1"))
        await up.wiring.until(lambda: len(up.wiring.updates) == 1)
        await up.upstream.watch(ALICE, frozenset({"a://1", "a://2"}))
        queues[1].put_nowait(notice("notifications/resources/updated", uri="a://2"))
        await up.wiring.until(lambda: len(up.wiring.updates) == 2)
        queues[1].put_nowait(b"")
        await app.until(lambda: len(queues) == 3)
        await up.upstream.watch(ALICE, frozenset())
    assert [(who, params["uri"]) for who, params in up.wiring.updates] == [(ALICE, "a://1"), (ALICE, "a://2")]
    assert [
        seen.params["notifications"]["resourceSubscriptions"] for seen in app.of("subscriptions/listen")
    ] == [
        ["a://1"],
        ["a://1", "a://2"],
        ["a://1", "a://2"],
    ]
