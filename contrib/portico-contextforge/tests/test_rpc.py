"""`/rpc` and `/protocol`: MCP without a session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias

import pytest

Forge: TypeAlias = Any  # of conftest.py, which cannot be imported

HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}


async def test_every_method_of_a_client_without_a_session_is_answered(forge: Forge) -> None:
    await forge.register()
    zones = {"name": "fast-time-compare-zones", "arguments": {"first": "a", "second": "b"}}
    ref = {"type": "ref/prompt", "name": "compare_zones"}
    for method, params, member in (
        ("initialize", HELLO, "serverInfo"),
        ("tools/list", {}, "tools"),
        ("tools/call", {"name": "fast-time-get-system-time", "arguments": {}}, "content"),
        ("resources/list", {}, "resources"),
        ("resources/templates/list", {}, "resourceTemplates"),
        ("resources/read", {"uri": "time://formats"}, "contents"),
        ("prompts/list", {}, "prompts"),
        ("prompts/get", zones, "messages"),
    ):
        answer = await forge.rpc(method, params)
        assert (answer["jsonrpc"], answer["id"]) == ("2.0", 7)
        assert member in answer["result"], method
        assert "resultType" not in answer["result"]
    assert (await forge.rpc("initialize", HELLO))["result"]["protocolVersion"] == "2025-06-18"
    assert (await forge.rpc("ping"))["result"] == {}
    told = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert (await forge.ask("POST", "/rpc", told))["result"] == {}
    answer = await forge.rpc("completion/complete", {"ref": ref, "argument": {"name": "first", "value": "U"}})
    assert answer["error"]["code"] == -32601  # this upstream completes nothing


@pytest.mark.parametrize("name", ["fast-time-get-system-time", "get_system_time"])
async def test_a_tool_goes_by_either_name_and_may_be_the_method(forge: Forge, name: str) -> None:
    await forge.register()
    called = await forge.rpc("tools/call", {"name": name, "arguments": {"timezone": "CET"}})
    assert called["result"]["content"][0]["text"] == "12:00 CET"
    assert (await forge.rpc(name, {"timezone": "CET"}))["result"] == called["result"]
    invoked = await forge.ask("POST", f"/tools/invoke/{name}", {"arguments": {"timezone": "CET"}})
    assert invoked == called["result"]


async def test_old_names_of_lists_are_known(forge: Forge) -> None:
    gateway = await forge.register()
    tools = (await forge.rpc("list_tools"))["result"]
    assert tools[0]["name"] == "fast-time-get-system-time"
    assert (await forge.rpc("list_gateways"))["result"]["gateways"][0]["id"] == gateway["id"]


@pytest.mark.parametrize(
    "method",
    [
        "logging/setLevel", "resources/subscribe", "sampling/createMessage", "elicitation/create",
        "roots/list", "nothing",
    ],
)  # fmt: skip
async def test_what_needs_a_session_or_a_client_is_no_method_here(forge: Forge, method: str) -> None:
    assert (await forge.rpc(method))["error"]["code"] == -32601


async def test_errors_of_mcp_have_status_200_and_no_json_has_400(forge: Forge) -> None:
    await forge.register()
    assert (await forge.rpc("tools/call", {"name": "no"}))["error"]["code"] == -32602
    assert (await forge.rpc("resources/read", {"uri": "time://no"}))["error"]["code"] == -32002
    assert (await forge.rpc("initialize", {}))["error"]["code"] == -32602
    for content, code in ((b"{", -32700), (b"[]", -32600), (b'{"jsonrpc":"2.0"}', -32600)):
        answer = await forge.http.post("/rpc", content=content)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


async def test_an_unknown_tool_or_server_is_not_found(forge: Forge) -> None:
    await forge.ask("POST", "/tools/invoke/no", {}, 404)
    await forge.rpc("tools/list", {"server_id": "f" * 32}, status=404)
    await forge.ask("POST", "/tools/invoke/no", {"arguments": [1]}, 422)


async def test_the_handshake_can_be_had_over_plain_http(forge: Forge) -> None:
    for path in ("/protocol/initialize", "/v1/protocol/initialize", "/initialize"):
        assert (await forge.ask("POST", path, HELLO))["protocolVersion"] == "2025-06-18"
    await forge.ask("POST", "/protocol/initialize", {}, 400)
    ping = {"jsonrpc": "2.0", "id": "a", "method": "ping"}
    assert await forge.ask("POST", "/protocol/ping", ping) == {"jsonrpc": "2.0", "id": "a", "result": {}}
    assert (await forge.ask("POST", "/protocol/ping", {"method": "x"}, 400))["error"]["code"] == -32600
    assert await forge.ask("POST", "/protocol/notifications", {"method": "notifications/initialized"}) is None
    await forge.ask("POST", "/protocol/sampling/createMessage", {}, 501)
    await forge.ask("POST", "/protocol/completion/complete", {"ref": {}}, 422)


async def test_names_may_be_the_upstreams_own(
    forge_of: Callable[[str], AsyncIterator[Any]], config: str
) -> None:
    async for forge in forge_of(f'{config}names = "own"\n'):
        await forge.register()
        assert (await forge.tool("get_system_time"))["originalName"] == "get_system_time"
        listed = (await forge.rpc("tools/list"))["result"]["tools"]
        assert listed[0]["name"] == "get_system_time"
        body = {"name": "clock", "associated_tools": ["fast-time-get-system-time"]}
        server = await forge.ask("POST", "/servers", body, 201)
        answer = await forge.rpc("tools/list", {"server_id": server["id"]})
        assert [each["name"] for each in answer["result"]["tools"]] == ["get_system_time"]
