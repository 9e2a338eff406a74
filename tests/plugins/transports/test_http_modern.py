"""Modern requests over HTTP: their answers, and closing, which is cancelling."""

from __future__ import annotations

import asyncio

import pytest

from portico.api import META_LOG_LEVEL, Json
from tests.plugins.transports.kit import happened
from tests.plugins.transports.scripted import BIG
from tests.plugins.transports.web import Web, gateway

# --- answers and their status ---------------------------------------------------------------------


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
    [
        (-32602, 400), (-32601, 404), (-32603, 200), (-32021, 400), (-32000, 200), (42900, 429), (50302, 503),
        (1, 200),
    ],
)  # fmt: skip
async def test_an_error_has_the_status_of_its_code(web: Web, code: int, status: int) -> None:
    answer = web.call("fail", {"code": code})
    assert ((await answer.json())["error"]["code"], answer.status) == (code, status)
    assert ("retry-after" in answer.headers) == (status in (429, 503))


@pytest.mark.parametrize(
    ("said", "header"), [(0.2, "1"), (7.001, "8"), (-5, "1"), (1e300, "86400"), ("soon", "1"), (None, "1")]
)
async def test_when_to_come_back_is_what_the_error_says_within_reason(
    web: Web, said: object, header: str
) -> None:
    answer = web.call("fail", {"code": 42900, "data": {"gateway": {"retry_after": said}}})
    assert (await answer.head(), answer.headers["retry-after"]) == (429, header)


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
    assert stalled <= 256
    answer.reading.set()
    messages = await answer.rest()
    assert [m["params"]["progress"] for m in messages[:-1]] == list(range(1000))


# --- disconnecting is cancelling ------------------------------------------------------------------


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
    async with gateway(auth="[gateway]\ncall_timeout = 0.5") as web:
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
