"""Modern requests over HTTP: self-contained, answered once, cancelled by closing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from portico.api import LATEST_MODERN, META_CAPABILITIES, META_LOG_LEVEL, META_VERSION, Json
from tests.plugins.transports.scripted import BIG
from tests.plugins.transports.web import BASE, PATIENCE, Web, frame, gateway

META = {META_VERSION: LATEST_MODERN, META_CAPABILITIES: {}}


async def happened(event: asyncio.Event) -> None:
    async with asyncio.timeout(PATIENCE):
        await event.wait()


# --- the ladder of headers and body -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "meta", "code"),
    [
        ({}, {META_VERSION: None}, -32602),
        ({}, {META_CAPABILITIES: None}, -32602),
        ({}, {META_CAPABILITIES: []}, -32602),
        ({}, {META_VERSION: 20260728}, -32602),
        ({"mcp-protocol-version": None}, {}, -32020),
        ({"mcp-protocol-version": "2025-11-25"}, {}, -32020),
        ({"mcp-method": None}, {}, -32020),
        ({"mcp-method": "tools/list"}, {}, -32020),
        ({"mcp-method": "TOOLS/CALL"}, {}, -32020),
        ({"mcp-name": None}, {}, -32020),
        ({"mcp-name": "big"}, {}, -32020),
        ({"mcp-name": "Echo"}, {}, -32020),
        ({"mcp-name": "=?base64?ZWNobw?="}, {}, -32020),
        ({"mcp-name": "=?base64?!!?="}, {}, -32020),
        ({"mcp-name": "=?base64?/w==?="}, {}, -32020),
        ({"mcp-protocol-version": "2099-01-01"}, {META_VERSION: "2099-01-01"}, -32022),
        ({"mcp-protocol-version": "2025-11-25"}, {META_VERSION: "2025-11-25"}, -32022),
        ({"mcp-protocol-version": "nonsense"}, {META_VERSION: "nonsense"}, -32022),
    ],
)
async def test_the_first_rung_that_fails_is_the_answer(web: Web, headers: Json, meta: Json, code: int) -> None:
    answer = web.call("echo", headers=headers, meta=meta)
    body = await answer.json()
    assert (answer.status, body["error"]["code"], body["id"]) == (400, code, 1)
    assert not web.upstream.calls


async def test_a_version_we_do_not_serve_is_answered_with_those_we_do(web: Web) -> None:
    answer = web.modern(
        "tools/list", headers={"mcp-protocol-version": "2099-01-01"}, meta={META_VERSION: "2099-01-01"}
    )
    data = (await answer.json())["error"]["data"]
    assert data == {"supported": [LATEST_MODERN], "requested": "2099-01-01"}


@pytest.mark.parametrize(
    ("headers", "meta"),
    [
        ({"mcp-protocol-version": "2099-01-01"}, {META_CAPABILITIES: None}),
        ({"mcp-name": None}, {META_CAPABILITIES: None}),
    ],
)
async def test_lacking_meta_comes_before_header_trouble(web: Web, headers: Json, meta: Json) -> None:
    answer = web.call("echo", headers=headers, meta=meta)
    assert (await answer.json())["error"]["code"] == -32602


@pytest.mark.parametrize("name", ["mcp-protocol-version", "mcp-method", "mcp-name"])
async def test_a_repeated_routing_header_is_refused_even_if_both_agree(web: Web, name: str) -> None:
    lines = {
        **BASE,
        "mcp-protocol-version": LATEST_MODERN,
        "mcp-method": "tools/call",
        "mcp-name": "echo",
    }
    body = frame(1, "tools/call", {"name": "echo", "_meta": META})
    answer = web.open("POST", [*lines.items(), (name, lines[name])], body)
    assert (await answer.json())["error"]["code"] == -32020
    assert answer.status == 400


async def test_space_around_a_routing_header_does_not_matter(web: Web) -> None:
    answer = web.call("echo", headers={"mcp-method": "  tools/call\t", "mcp-name": " echo "})
    assert "result" in await answer.json()


async def test_a_name_may_come_encoded(web: Web) -> None:
    answer = web.call("echo", headers={"mcp-name": "=?base64?ZWNobw==?="})
    assert "result" in await answer.json()


async def test_a_modern_body_is_enough_to_be_modern(web: Web) -> None:
    answer = web.modern("tools/list", headers={"mcp-protocol-version": None, "mcp-method": None})
    assert (answer.status, (await answer.json())["error"]["code"]) in ((0, -32020), (400, -32020))
    assert answer.status == 400


async def test_a_modern_header_is_enough_to_be_modern(web: Web) -> None:
    answer = web.open(
        "POST", {**BASE, "mcp-protocol-version": LATEST_MODERN}, frame(1, "initialize", {"capabilities": {}})
    )
    assert (await answer.json())["error"]["code"] == -32602
    assert "mcp-session-id" not in answer.headers


@pytest.mark.parametrize(
    "method",
    [
        *("initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"),
        *("tasks/list", "tasks/result", "sampling/createMessage", "no/such"),
    ],
)
async def test_a_method_this_era_lacks_is_not_found(web: Web, method: str) -> None:
    answer = web.modern(method)
    body = await answer.json()
    assert (answer.status, body["error"]["code"], body["id"]) == (404, -32601, 1)


@pytest.mark.parametrize("ident", [7, "7", 0, "", -1, 2**63, "ä\n"])
async def test_an_id_comes_back_with_its_value_and_type(web: Web, ident: Any) -> None:
    got = (await web.modern("tools/list", ident=ident).json())["id"]
    assert got == ident
    assert type(got) is type(ident)


async def test_a_notification_is_taken(web: Web) -> None:
    body = b'{"jsonrpc":"2.0","method":"notifications/whatever","params":{}}'
    answer = web.open("POST", {**BASE, "mcp-protocol-version": LATEST_MODERN}, body)
    assert await answer.body() == b""
    assert answer.status == 202


@pytest.mark.parametrize("kind", [b'"result":{}', b'"error":{"code":1,"message":"x"}'])
async def test_a_response_is_refused(web: Web, kind: bytes) -> None:
    body = b'{"jsonrpc":"2.0","id":1,' + kind + b"}"
    answer = web.open("POST", {**BASE, "mcp-protocol-version": LATEST_MODERN}, body)
    assert ((await answer.json())["error"]["code"], answer.status) == (-32600, 400)


async def test_a_batch_is_refused_and_none_of_it_is_done(web: Web) -> None:
    call = frame(1, "tools/call", {"name": "echo", "_meta": META})
    answer = web.open("POST", {**BASE, "mcp-protocol-version": LATEST_MODERN}, b"[" + call + b"]")
    assert ((await answer.json())["error"]["code"], answer.status) == (-32600, 400)
    assert not web.upstream.calls


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "PATCH", "OPTIONS", "HEAD"])
async def test_only_post_is_allowed(web: Web, method: str) -> None:
    session = await web.session()
    answer = web.open(method, {**session.headers, "mcp-protocol-version": LATEST_MODERN})
    assert await answer.body() == b""
    assert answer.status == 405
    assert "POST" in answer.headers["allow"]


async def test_a_session_header_is_ignored_and_none_is_minted(web: Web) -> None:
    answer = web.call("echo", headers={"mcp-session-id": "anything"})
    assert "result" in await answer.json()
    assert "mcp-session-id" not in answer.headers
    assert len(web.sessions) == 0


# --- Mcp-Param ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "headers"),
    [
        ({"region": "eu"}, {"mcp-param-region": "eu"}),
        ({"region": "eu"}, {"Mcp-Param-REGION": " eu\t"}),
        ({"region": "eu"}, {"mcp-param-region": "=?base64?ZXU=?="}),
        ({"region": "zürich"}, {"mcp-param-region": "=?base64?esO8cmljaA==?="}),
        ({"region": "=?base64?eA==?="}, {"mcp-param-region": "=?base64?PT9iYXNlNjQ/ZUE9PT89?="}),
        ({"region": ""}, {"mcp-param-region": ""}),
        ({"count": 7}, {"mcp-param-count": "7"}),
        ({"count": 7}, {"mcp-param-count": "+07"}),
        ({"count": 2**70}, {"mcp-param-count": str(2**70)}),
        ({"flag": True}, {"mcp-param-flag": "true"}),
        ({"region": None}, {}),
        ({}, {}),
        ({"other": 1}, {"mcp-param-other": "2"}),
    ],
)
async def test_a_parameter_header_may_agree(web: Web, arguments: Json, headers: Json) -> None:
    answer = web.call("regional", arguments, headers=headers)
    assert (await answer.json())["result"]["structuredContent"] == arguments


@pytest.mark.parametrize(
    ("arguments", "headers"),
    [
        ({"region": "eu"}, {}),
        ({"region": "eu"}, {"mcp-param-region": "us"}),
        ({"region": "eu"}, {"mcp-param-region": "EU"}),
        ({"region": "eu"}, {"mcp-param-region": "=?base64?ZXU?="}),
        ({"region": "eu"}, {"mcp-param-region": "=?base64?dXM=?="}),
        ({"region": "zürich"}, {"mcp-param-region": "zürich"}),
        ({"count": 7}, {"mcp-param-count": "8"}),
        ({"count": 7}, {"mcp-param-count": "7.0"}),
        ({"count": 7}, {"mcp-param-count": "0x7"}),
        ({"flag": True}, {"mcp-param-flag": "True"}),
        ({"flag": True}, {"mcp-param-flag": "1"}),
        ({"region": None}, {"mcp-param-region": "eu"}),
        ({}, {"mcp-param-region": ""}),
        ([], {"mcp-param-region": "eu"}),
    ],
)
async def test_a_parameter_header_that_disagrees_is_refused(
    web: Web, arguments: Any, headers: Json
) -> None:
    answer = web.modern("tools/call", {"name": "regional", "arguments": arguments}, headers=headers)
    assert ((await answer.json())["error"]["code"], answer.status) == (-32020, 400)
    assert not web.upstream.calls


async def test_a_repeated_parameter_header_is_refused(web: Web) -> None:
    lines = {**BASE, "mcp-protocol-version": LATEST_MODERN, "mcp-method": "tools/call", "mcp-name": "regional"}
    twice = [("mcp-param-region", "eu"), ("Mcp-Param-Region", "eu")]
    body = frame(1, "tools/call", {"name": "regional", "arguments": {"region": "eu"}, "_meta": META})
    answer = web.open("POST", [*lines.items(), *twice], body)
    assert (await answer.json())["error"]["code"] == -32020


# --- answers and their status ------------------------------------------------------------------------------


async def test_an_answer_without_frames_is_json(web: Web) -> None:
    answer = web.call("echo", {"a": [1, None, {"b": "ü"}]})
    assert (await answer.json())["result"]["structuredContent"] == {"a": [1, None, {"b": "ü"}]}
    assert answer.status == 200


async def test_an_answer_with_frames_is_a_stream_that_proxies_do_not_buffer(web: Web) -> None:
    answer = web.call("progress", {"n": 3}, meta={"progressToken": "t"})
    *frames, last = await answer.rest()
    assert [f["params"] for f in frames] == [{"progress": n, "progressToken": "t"} for n in range(3)]
    assert last["id"] == 1
    assert last["result"]["resultType"] == "complete"
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["cache-control"] == "no-store"


async def test_without_a_token_there_is_no_progress(web: Web) -> None:
    assert "result" in await web.call("progress", {"n": 3}).json()


async def test_log_messages_need_a_level_and_pass_it(web: Web) -> None:
    assert "result" in await web.call("log").json()
    *frames, _ = await web.call("log", meta={META_LOG_LEVEL: "warning"}).rest()
    assert [f["params"]["level"] for f in frames] == ["error"]


@pytest.mark.parametrize(
    ("code", "status"),
    [(-32602, 400), (-32601, 404), (-32603, 200), (-32021, 400), (-32000, 200), (50302, 503), (1, 200)],
)
async def test_an_error_has_the_status_of_its_code(web: Web, code: int, status: int) -> None:
    answer = web.call("fail", {"code": code})
    assert ((await answer.json())["error"]["code"], answer.status) == (code, status)
    assert ("retry-after" in answer.headers) == (status == 503)


async def test_an_error_after_frames_goes_on_the_stream(web: Web) -> None:
    answer = web.call("progress", {"n": 1, "fail": -32601}, meta={"progressToken": 1})
    _, last = await answer.rest()
    assert (answer.status, last["error"]["code"], last["id"]) == (200, -32601, 1)


async def test_an_unknown_tool_is_an_invalid_param(web: Web) -> None:
    answer = web.call("nope")
    assert ((await answer.json())["error"]["code"], answer.status) == (-32602, 400)


async def test_a_resource_that_is_not_there_is_an_invalid_param_that_names_it(web: Web) -> None:
    answer = web.modern("resources/read", {"uri": "test://none"})
    error = (await answer.json())["error"]
    assert (error["code"], error["data"], answer.status) == (-32602, {"uri": "test://none"}, 400)


async def test_a_fault_says_nothing_of_itself(web: Web) -> None:
    answer = web.call("crash")
    body = await answer.body()
    assert answer.status == 200
    assert b'"code":-32603' in body
    assert b"secret" not in body
    assert b"RuntimeError" not in body
    assert "call.fault" in web.log.events


async def test_big_integers_and_nulls_pass_byte_exact(web: Web) -> None:
    body = await web.call("big").body()
    assert BIG[1:-1] in body


async def test_a_big_integer_reaches_the_upstream(web: Web) -> None:
    number = 2**80 + 1
    answer = await web.call("echo", {"n": number, "m": -(2**63)}).json()
    assert answer["result"]["structuredContent"] == {"n": number, "m": -(2**63)}


async def test_silence_becomes_comments_on_a_stream() -> None:
    async with gateway("keep_alive = 0.01") as web:
        answer = web.call("gate")
        assert await answer.head() == 200
        await answer.until(lambda: b"".join([b": keep-alive\n\n"] * 3) in answer._data)
        web.upstream.gate.set()
        assert [message["id"] for message in await answer.rest()] == [1]


async def test_a_client_that_does_not_read_stops_the_upstream(web: Web) -> None:
    answer = web.call("flood", {"n": 1000}, meta={"progressToken": 1})
    answer.reading.clear()
    await happened(web.upstream.begun)
    stalled = -1
    while stalled != web.upstream.sent:
        stalled = web.upstream.sent
        for _ in range(50):
            await asyncio.sleep(0)
    assert stalled <= 130
    answer.reading.set()
    messages = await answer.rest()
    assert [m["params"]["progress"] for m in messages[:-1]] == list(range(1000))


# --- disconnecting is cancelling ----------------------------------------------------------------------------


async def test_leaving_cancels_a_call_that_has_sent_nothing(web: Web) -> None:
    answer = web.call("hang")
    await happened(web.upstream.begun)
    assert answer.status == 0
    await answer.gone()
    await happened(web.upstream.cancelled)
    assert not web.gateway.plane.load.calls


async def test_leaving_cancels_a_call_that_streams(web: Web) -> None:
    answer = web.call("hang", {"n": 1}, meta={"progressToken": 1})
    await answer.message()
    await answer.gone()
    await happened(web.upstream.cancelled)


async def test_leaving_while_the_client_does_not_read_cancels(web: Web) -> None:
    answer = web.call("flood", {"n": 1000}, meta={"progressToken": 1})
    answer.reading.clear()
    await happened(web.upstream.begun)
    answer.leave()
    answer.reading.set()
    await answer.over()
    assert not web.gateway.plane.load.calls
    assert web.upstream.sent < 1000


async def test_a_server_that_cancels_the_request_cancels_the_call(web: Web) -> None:
    answer = web.call("hang")
    await happened(web.upstream.begun)
    answer.task.cancel()
    await happened(web.upstream.cancelled)


async def test_leaving_cancels_no_other_call(web: Web) -> None:
    stays = web.call("gate", ident=1)
    await happened(web.upstream.begun)
    web.upstream.begun.clear()
    leaves = web.call("hang", ident=1)
    await happened(web.upstream.begun)
    await leaves.gone()
    web.upstream.gate.set()
    assert "result" in await stays.json()


async def test_many_clients_with_one_id_get_their_own_answers(web: Web) -> None:
    gates = [web.call("gate", {"x": number}, ident=1) for number in range(50)]
    echoes = [web.call("echo", {"x": number}, ident=1) for number in range(50)]
    for number, answer in enumerate(echoes):
        assert (await answer.json())["result"]["structuredContent"] == {"x": number}
    web.upstream.gate.set()
    for number, answer in enumerate(gates):
        assert (await answer.json())["result"]["structuredContent"] == {"x": number}


async def test_a_call_beyond_its_deadline_is_ended() -> None:
    async with gateway(auth="[gateway]\ncall_timeout = 0.02") as web:
        answer = web.call("hang")
        error = (await answer.json())["error"]
        assert (error["code"], error["data"]["gateway"]["reason"]) == (50400, "upstream_timeout")
        assert web.upstream.cancelled.is_set()


async def test_more_calls_than_the_gateway_takes_are_told_to_come_back() -> None:
    async with gateway(auth="[gateway]\nmax_in_flight = 1") as web:
        first = web.call("gate")
        await happened(web.upstream.begun)
        second = web.call("echo")
        error = (await second.json())["error"]
        assert (error["code"], second.status, second.headers["retry-after"]) == (50302, 503, "1")
        web.upstream.gate.set()
        assert "result" in await first.json()
        assert "result" in await web.call("echo").json()


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("server/discover", {}),
        ("tools/list", {}),
        ("prompts/list", {}),
        ("resources/list", {}),
        ("resources/templates/list", {}),
        ("resources/read", {"uri": "test://one"}),
    ],
)
async def test_what_may_be_cached_says_for_how_long(web: Web, method: str, params: Json) -> None:
    result = (await web.modern(method, params).json())["result"]
    assert isinstance(result["ttlMs"], int)
    assert result["cacheScope"] in ("public", "private")
    assert result["resultType"] == "complete"
