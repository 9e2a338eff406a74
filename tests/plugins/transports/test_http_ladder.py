"""Modern requests over HTTP: the ladder of headers and body, and which requests there are."""

from __future__ import annotations

from typing import Any

import pytest

from portico.api import LATEST_MODERN, META_CAPABILITIES, META_VERSION, Json
from tests.plugins.transports.kit import META
from tests.plugins.transports.web import BASE, Web, frame

# --- the ladder of headers and body ---------------------------------------------------------------


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
async def test_the_first_rung_that_fails_is_the_answer(
    web: Web, headers: Json, meta: Json, code: int
) -> None:
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
    assert (await answer.json())["error"]["code"] == -32020
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


# --- Mcp-Param ------------------------------------------------------------------------------------


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
        ({"count": 7}, {"mcp-param-count": "7.0"}),
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
        ({"count": 7}, {"mcp-param-count": "7.5"}),
        ({"count": 7}, {"mcp-param-count": "0x7"}),
        ({"flag": True}, {"mcp-param-flag": "True"}),
        ({"flag": True}, {"mcp-param-flag": "1"}),
        ({"region": None}, {"mcp-param-region": "eu"}),
        ({}, {"mcp-param-region": ""}),
        ([], {"mcp-param-region": "eu"}),
    ],
)
async def test_a_parameter_header_that_disagrees_is_refused(web: Web, arguments: Any, headers: Json) -> None:
    answer = web.modern("tools/call", {"name": "regional", "arguments": arguments}, headers=headers)
    assert ((await answer.json())["error"]["code"], answer.status) == (-32020, 400)
    assert not web.upstream.calls


async def test_a_repeated_parameter_header_is_refused(web: Web) -> None:
    lines = {
        **BASE,
        "mcp-protocol-version": LATEST_MODERN,
        "mcp-method": "tools/call",
        "mcp-name": "regional",
    }
    twice = [("mcp-param-region", "eu"), ("Mcp-Param-Region", "eu")]
    body = frame(1, "tools/call", {"name": "regional", "arguments": {"region": "eu"}, "_meta": META})
    answer = web.open("POST", [*lines.items(), *twice], body)
    assert (await answer.json())["error"]["code"] == -32020
