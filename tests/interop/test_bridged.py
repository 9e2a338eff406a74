"""Any client with any server: what was asked and answered arrives, whichever eras the two ends speak."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.interop.client_wrapper import answer
from tests.interop.processes import Running, fixture, gateway, tunnelled
from tests.interop.raw_client import MODERN, Json, RawClient, RpcError

LEGACY = "2025-11-25"
Way = Callable[[str, Path], AbstractContextManager[Running]]


WAYS = {"url": gateway, "tunnel": tunnelled}
"""How the gateway reaches the server."""


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    return WAYS[request.param]


@pytest.fixture(scope="module")
def before_legacy(tmp_path_factory: pytest.TempPathFactory, way: Way) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("before-legacy")
    with fixture("bridge_legacy", folder) as upstream, way(upstream.url, folder) as running:
        yield running.url


@pytest.fixture(scope="module")
def before_modern(tmp_path_factory: pytest.TempPathFactory, way: Way) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("before-modern")
    with fixture("bridge_modern", folder) as upstream, way(upstream.url, folder) as running:
        yield running.url


def text(result: Json) -> str:
    return str(result["content"][0]["text"])


@pytest.mark.parametrize("version", [LEGACY, MODERN])
@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        ("test_input_required_result_elicitation", "Hello, text!"),
        ("test_input_required_result_sampling", "The model said: Hello."),
        ("test_input_required_result_list_roots", "The client has 1 root(s)."),
        ("test_input_required_result_multiple_inputs", "Hello. text, 1 root(s)."),
        ("test_input_required_result_multi_round", "text likes text."),
        ("test_input_required_result_capabilities", "Hello. text"),
        ("test_streaming_elicitation", "Hello, text!"),
    ],
)
async def test_a_client_of_either_era_answers_a_legacy_server(
    before_legacy: str, version: str, tool: str, expected: str
) -> None:
    async with RawClient(before_legacy, version, answer) as client:
        assert text(await client.call(tool)) == expected


@pytest.mark.parametrize("version", [LEGACY, MODERN])
async def test_a_client_of_either_era_answers_a_legacy_prompt(before_legacy: str, version: str) -> None:
    async with RawClient(before_legacy, version, answer) as client:
        rendered = await client.complete("prompts/get", {"name": "test_input_required_result_prompt"})
    assert rendered["messages"][0]["content"]["text"] == "Use this context: text"


@pytest.mark.parametrize("version", [LEGACY, MODERN])
@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [
        ("test_sampling", {"prompt": "p"}, "LLM response: Hello."),
        ("test_elicitation", {"message": "m"}, "User response: action=accept, content={'response': 'text'}"),
        ("test_input_required_result_multiple_inputs", {}, "Hello. text, 1 root(s)."),
        ("test_input_required_result_multi_round", {}, "text likes text."),
        ("test_input_required_result_request_state", {}, "state-ok"),
    ],
)
async def test_a_client_of_either_era_answers_a_modern_server(
    before_modern: str, version: str, tool: str, arguments: Json, expected: str
) -> None:
    async with RawClient(before_modern, version, answer) as client:
        assert text(await client.call(tool, arguments)) == expected


@pytest.mark.parametrize("version", [LEGACY, MODERN])
async def test_a_capability_the_client_lacks_is_never_asked_for(before_legacy: str, version: str) -> None:
    async with RawClient(before_legacy, version, answer, capabilities={"sampling": {}}) as client:
        assert text(await client.call("test_input_required_result_capabilities")) == "Hello."


@pytest.mark.parametrize(("version", "code"), [(LEGACY, -32002), (MODERN, -32602)])
async def test_a_missing_resource_has_the_code_of_the_clients_era(
    before_legacy: str, before_modern: str, version: str, code: int
) -> None:
    for url in (before_legacy, before_modern):
        async with RawClient(url, version, answer) as client:
            with pytest.raises(RpcError) as missing:
                await client.request("resources/read", {"uri": "test://nowhere"})
        assert missing.value.error["code"] == code


@pytest.mark.parametrize("version", [LEGACY, MODERN])
async def test_progress_reaches_a_client_of_either_era(
    before_legacy: str, before_modern: str, version: str
) -> None:
    for url in (before_legacy, before_modern):
        async with RawClient(url, version, answer) as client:
            call = {"name": "test_tool_with_progress", "arguments": {}, "_meta": {"progressToken": "p-1"}}
            await client.request("tools/call", call)
        seen = [one["params"] for one in client.notifications if one["method"] == "notifications/progress"]
        assert [one["progress"] for one in seen] == [0, 50, 100]
        assert {one["progressToken"] for one in seen} == {"p-1"}
