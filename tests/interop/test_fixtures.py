"""The fixture servers are what they claim to be: else passing through the gateway would prove nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from tests.interop.client_wrapper import answer
from tests.interop.processes import fixture
from tests.interop.raw_client import MODERN, Json, RawClient, RpcError, header_value

LEGACY = "2025-11-25"


@pytest.fixture(scope="module")
def legacy_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with fixture("bridge_legacy", tmp_path_factory.mktemp("legacy")) as running:
        yield running.url


@pytest.fixture(scope="module")
def modern_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with fixture("bridge_modern", tmp_path_factory.mktemp("modern")) as running:
        yield running.url


@pytest.fixture(scope="module")
def dual_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with fixture("fixture", tmp_path_factory.mktemp("dual")) as running:
        yield running.url


def text(result: Json) -> str:
    return str(result["content"][0]["text"])


async def post(url: str, body: Json, **headers: str) -> tuple[int, Any]:
    accept = {"Accept": "application/json, text/event-stream", **headers}
    async with aiohttp.ClientSession() as http, http.post(url, json=body, headers=accept) as response:
        return response.status, await response.json()


async def test_the_legacy_fixture_refuses_a_modern_request_as_a_server_of_before_2026(
    legacy_url: str,
) -> None:
    with pytest.raises(RpcError) as refused:
        async with RawClient(legacy_url, MODERN, answer) as client:
            await client.request("server/discover")
    assert refused.value.status == 400
    assert refused.value.error["code"] == -32600


async def test_the_modern_fixture_refuses_initialize_and_names_what_it_speaks(modern_url: str) -> None:
    opening = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    status, body = await post(
        modern_url, {"jsonrpc": "2.0", "id": "x", "method": "initialize", "params": opening}
    )
    assert (status, body["id"], body["error"]["code"]) == (400, "x", -32022)
    assert body["error"]["data"] == {"supported": [MODERN], "requested": LEGACY}


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        ("test_input_required_result_elicitation", "Hello, text!"),
        ("test_input_required_result_sampling", "The model said: Hello."),
        ("test_input_required_result_list_roots", "The client has 1 root(s)."),
        ("test_input_required_result_multiple_inputs", "Hello. text, 1 root(s)."),
        ("test_input_required_result_multi_round", "text likes text."),
        ("test_input_required_result_capabilities", "Hello. text"),
    ],
)
async def test_the_legacy_bridge_asks_in_mid_call(legacy_url: str, tool: str, expected: str) -> None:
    async with RawClient(legacy_url, LEGACY, answer) as client:
        assert text(await client.call(tool)) == expected


async def test_the_legacy_bridge_asks_while_it_renders_a_prompt(legacy_url: str) -> None:
    async with RawClient(legacy_url, LEGACY, answer) as client:
        rendered = await client.request("prompts/get", {"name": "test_input_required_result_prompt"})
    assert rendered["messages"][0]["content"]["text"] == "Use this context: text"


@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [
        ("test_sampling", {"prompt": "p"}, "LLM response: Hello."),
        ("test_elicitation", {"message": "m"}, "User response: action=accept, content={'response': 'text'}"),
    ],
)
async def test_the_modern_bridge_asks_in_rounds(
    modern_url: str, tool: str, arguments: Json, expected: str
) -> None:
    async with RawClient(modern_url, MODERN, answer) as client:
        assert text(await client.call(tool, arguments)) == expected


async def test_the_fixture_cannot_ask_in_mid_call_in_the_modern_era(dual_url: str) -> None:
    async with RawClient(dual_url, MODERN, answer) as client:
        result = await client.call("test_elicitation", {"message": "m"})
    assert result["isError"] is True


async def test_a_closed_legacy_stream_is_resumed_with_the_answer(dual_url: str) -> None:
    async with RawClient(dual_url, LEGACY, answer) as client:
        assert text(await client.call("test_reconnection")) == "Reconnection test completed."


async def test_an_annotated_argument_travels_in_its_header(dual_url: str) -> None:
    async with RawClient(dual_url, MODERN, answer) as client:
        await client.tools()
        assert text(await client.call("test_x_mcp_header", {"region": "Zürich"})) == "region=Zürich"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("us-west1", "us-west1"),
        ("us west 1", "us west 1"),
        (" padded", "=?base64?IHBhZGRlZA==?="),
        ("=?base64?eA==?=", "=?base64?PT9iYXNlNjQ/ZUE9PT89?="),
        ("ü", "=?base64?w7w=?="),
        ("", ""),
        (True, "true"),
        (42, "42"),
    ],
)
def test_header_values_are_plain_or_base64(value: object, expected: str) -> None:
    assert header_value(value) == expected
