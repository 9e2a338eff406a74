"""One JSON-RPC request, one answer, and nothing remembered in between."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from portico.api import LATEST_LEGACY, META_CAPABILITIES, Json
from tests.plugins.transports.kit import ALICE, HELLO, META, TOKENS, YES, happened
from tests.plugins.transports.test_http_workers import worker
from tests.plugins.transports.web import Answer, Web, frame, gateway

GREET = {"type": "ref/prompt", "name": "greet"}
JSON = {"host": "localhost", "content-type": "application/json"}


@pytest_asyncio.fixture
async def web() -> AsyncIterator[Web]:
    async with gateway("", "[transports.jsonrpc]") as made:
        yield made


def ask(
    web: Web, method: str, params: Json | None = None, path: str = "/rpc", headers: Json | None = None
) -> Answer:
    return web.open("POST", {**JSON, **(headers or {})}, frame(7, method, params or {}), path)


async def answer(web: Web, method: str, params: Json | None = None, **options: Any) -> Any:
    asked = ask(web, method, params, **options)
    body = await asked.json()
    assert (asked.status, body["jsonrpc"], body["id"]) == (200, "2.0", 7)
    return body


@pytest.mark.parametrize(
    ("method", "params", "member"),
    [
        ("initialize", HELLO, "serverInfo"),
        ("tools/list", {}, "tools"),
        ("tools/call", {"name": "echo", "arguments": {}}, "content"),
        ("resources/list", {}, "resources"),
        ("resources/templates/list", {}, "resourceTemplates"),
        ("resources/read", {"uri": "test://one"}, "contents"),
        ("prompts/list", {}, "prompts"),
        ("prompts/get", {"name": "greet"}, "messages"),
        ("completion/complete", {"ref": GREET, "argument": {}}, "completion"),
        ("server/discover", {"_meta": META}, "supportedVersions"),
        ("tools/list", {"_meta": META}, "ttlMs"),
    ],
)  # fmt: skip
async def test_every_method_of_a_client_is_answered_without_a_handshake(
    web: Web, method: str, params: Json, member: str
) -> None:
    for path in ("/rpc", "/servers/default/rpc"):
        assert member in (await answer(web, method, params, path=path))["result"]


async def test_a_handshake_is_answered_and_a_ping_too(web: Web) -> None:
    for asked, said in (("2024-11-05", "2024-11-05"), ("1999-01-01", LATEST_LEGACY)):
        result = (await answer(web, "initialize", {**HELLO, "protocolVersion": asked}))["result"]
        assert result["protocolVersion"] == said
    assert (await answer(web, "ping"))["result"] == {}
    assert (await answer(web, "initialize", {}))["error"]["code"] == -32602


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("no/such", {}, -32601),
        ("logging/setLevel", {"level": "info"}, -32601),
        ("resources/subscribe", {"uri": "test://one"}, -32601),
        ("sampling/createMessage", {}, -32601),
        ("subscriptions/listen", {"_meta": META}, -32601),
        ("ping", {"_meta": META}, -32601),
        ("server/discover", {}, -32602),
        ("tools/call", {"name": "nope"}, -32602),
        ("tools/list", {"_meta": {**META, "io.modelcontextprotocol/protocolVersion": "2099-01-01"}}, -32022),
        ("tools/call", {"name": "elicit"}, -32600),
        ("tools/call", {"name": "fail", "arguments": {"code": 50200}}, 50200),
    ],
)
async def test_an_error_has_its_code_and_status_200(web: Web, method: str, params: Json, code: int) -> None:
    assert (await answer(web, method, params))["error"]["code"] == code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}', -32700),
        (b"[]", -32600),
        (b"[" + frame(1, "ping", {}) + b"]", -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"result":{}}', -32600),
    ],
)
async def test_what_is_no_request_has_status_400(web: Web, body: bytes, code: int) -> None:
    asked = web.open("POST", JSON, body, "/rpc")
    assert ((await asked.json())["error"]["code"], asked.status) == (code, 400)


async def test_a_notification_is_taken_and_other_methods_of_http_are_not(web: Web) -> None:
    told = msgspec.json.encode({"jsonrpc": "2.0", "method": "notifications/initialized"})
    assert await web.open("POST", JSON, told, "/rpc").head() == 202
    refused = web.open("GET", JSON, path="/rpc")
    assert await refused.head() == 405
    assert refused.headers["allow"] == "POST"
    assert await web.open("POST", {"host": "localhost"}, frame(1, "ping", {}), "/rpc").head() == 415


async def test_a_modern_client_is_asked_and_its_retry_resumes_the_call(web: Web) -> None:
    meta = {**META, META_CAPABILITIES: {"elicitation": {}}}
    call = {"name": "elicit", "arguments": {}, "_meta": meta}
    asked = (await answer(web, "tools/call", call))["result"]
    (key,) = asked["inputRequests"]
    more = {"requestState": asked["requestState"], "inputResponses": {key: YES}}
    assert (await answer(web, "tools/call", {**call, **more}))["result"]["structuredContent"] == YES
    assert len(web.upstream.calls) == 1


async def test_leaving_cancels_the_call(web: Web) -> None:
    asked = ask(web, "tools/call", {"name": "hang"})
    await happened(web.upstream.begun)
    await asked.gone()
    await happened(web.upstream.cancelled)


async def test_progress_does_not_get_in_the_way(web: Web) -> None:
    call = {"name": "progress", "arguments": {"n": 500}, "_meta": {"progressToken": 1}}
    assert (await answer(web, "tools/call", call))["result"]["structuredContent"] == {"n": 500}


async def test_who_may_not_come_in_is_told_so() -> None:
    toml = f"[transports.jsonrpc]\n{TOKENS}\n[servers.default]\nauth = ['people']"
    async with gateway("", toml) as web:
        refused = ask(web, "tools/list")
        assert await refused.head() == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert "result" in await answer(web, "tools/list", headers=ALICE)
        assert await ask(web, "tools/list", path="/servers/nope/rpc", headers=ALICE).head() == 404


async def test_what_is_to_be_tried_again_says_when() -> None:
    async with gateway("", "[transports.jsonrpc]\n[gateway]\nmax_in_flight = 1") as web:
        first = ask(web, "tools/call", {"name": "gate"})
        await happened(web.upstream.begun)
        second = ask(web, "tools/call", {"name": "echo"})
        assert (await second.json())["error"]["code"] == 50302
        assert second.status == 503
        assert int(second.headers["retry-after"]) >= 1
        web.upstream.gate.set()
        assert "result" in await first.json()


async def test_a_retry_that_reaches_another_worker_is_passed_on() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        async with (
            worker(Path(folder), "aa", "[transports.jsonrpc]") as owner,
            worker(Path(folder), "bb", "[transports.jsonrpc]") as other,
        ):
            meta = {**META, META_CAPABILITIES: {"elicitation": {}}}
            call = {"name": "elicit", "arguments": {}, "_meta": meta}
            asked = (await answer(owner.web, "tools/call", call))["result"]
            (key,) = asked["inputRequests"]
            more = {"requestState": asked["requestState"], "inputResponses": {key: YES}}
            result = (await answer(other.web, "tools/call", {**call, **more}))["result"]
            assert result["structuredContent"] == YES
            asked = (await answer(owner.web, "tools/call", call))["result"]
            owner.die()
            again = {**call, **more, "requestState": asked["requestState"]}
            assert (await answer(other.web, "tools/call", again))["error"]["code"] == -32602
