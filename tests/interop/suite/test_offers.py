"""What a server says that it has, and what it answers to what is no call: on every line."""

from __future__ import annotations

import asyncio

import pytest

from tests.interop.fixture.content import PIXEL_PNG
from tests.interop.speaking import META, MODERN, Json, RpcError
from tests.interop.suite.acts import Part, Unless, act
from tests.interop.suite.stage import PAGE

pytestmark = pytest.mark.asyncio(loop_scope="session")

OLDER = ("2024-11-05", "2025-03-26", "2025-06-18")
BIG = 2**63


async def refused(part: Part, method: str, params: Json | None = None) -> int:
    """The code of an error."""
    with pytest.raises(RpcError) as caught:
        await part.client.request(method, params)
    code: int = caught.value.error["code"]
    return code


# --- the opening ----------------------------------------------------------------------------------


def offered(capabilities: Json) -> None:
    assert {"tools", "resources", "prompts", "completions", "logging"} <= capabilities.keys()


async def discovered(part: Part) -> None:
    """A modern client asks."""
    found = await part.client.request("server/discover")
    assert MODERN in found["supportedVersions"]
    assert found["_meta"][META + "serverInfo"]["name"]
    offered(found["capabilities"])


@act(Unless("the modern era has no handshake", discovered, client="modern"))
async def test_the_opening_says_what_is_there(part: Part) -> None:
    opening = part.client.opening
    assert opening["protocolVersion"] == part.client.version
    assert opening["serverInfo"]["name"]
    offered(opening["capabilities"])


async def one_revision(part: Part) -> None:
    """A modern client that wants another is told which there are."""
    async with part.another("2099-01-01") as client:
        with pytest.raises(RpcError) as caught:
            await client.request("tools/list")
    assert caught.value.error["code"] == -32022
    assert MODERN in caught.value.error["data"]["supported"]


@act(Unless("the modern era has one revision", one_revision, client="modern"))
async def test_every_older_revision_is_spoken(part: Part) -> None:
    async def speak(version: str) -> None:
        async with part.another(version) as client:
            assert client.opening["protocolVersion"] == version
            said = await client.call("test_echo", {"text": version})
            assert said["content"] == [{"type": "text", "text": version}]

    # Each client on stdio starts a process: one has to do.
    await asyncio.gather(*map(speak, OLDER[:1] if part.line.carrier == "stdio" else OLDER))


async def no_ping(part: Part) -> None:
    assert await refused(part, "ping") == -32601


@act(Unless("the modern era has no ping", no_ping, client="modern"))
async def test_a_ping_is_answered(part: Part) -> None:
    assert await part.client.request("ping") == {}


# --- lists ----------------------------------------------------------------------------------------


@act()
async def test_all_tools_are_listed_page_by_page_in_order(part: Part) -> None:
    tools = await part.client.tools()
    names = [tool["name"] for tool in tools]
    assert len(names) == len(set(names))
    assert {"test_simple_text", "test_echo", "test_elicitation", "json_schema_2020_12_tool"} <= set(names)
    (schema,) = (tool["inputSchema"] for tool in tools if tool["name"] == "json_schema_2020_12_tool")
    assert schema["$defs"]["address"]["$anchor"] == "addressDef"
    first = await part.client.request("tools/list")
    if first.get("nextCursor") is None:
        assert len(first["tools"]) == len(names)
    else:
        assert [tool["name"] for tool in first["tools"]] == names[:PAGE]


@act()
async def test_a_cursor_that_never_was_is_refused(part: Part) -> None:
    assert await refused(part, "tools/list", {"cursor": "no-such-cursor"}) == -32602


@act()
async def test_resources_and_their_templates_are_listed_and_read(part: Part) -> None:
    client = part.client
    uris = [one["uri"] for one in await client.items("resources/list", "resources")]
    assert uris == ["test://static-text", "test://static-binary", "test://watched-resource"]
    (template,) = await client.items("resources/templates/list", "resourceTemplates")
    assert template["uriTemplate"] == "test://template/{id}/data"
    texts = [
        (await client.request("resources/read", {"uri": uri}))["contents"][0]
        for uri in (*uris, "test://template/42/data")
    ]
    assert texts[0]["text"] == "This is the content of the static text resource."
    assert texts[1]["blob"] == PIXEL_PNG
    assert '"id":"42"' in texts[3]["text"]


@act()
async def test_a_resource_that_is_not_there_has_the_code_of_the_clients_era(part: Part) -> None:
    wanted = -32002 if part.line.client == "legacy" else -32602
    assert await refused(part, "resources/read", {"uri": "test://nowhere"}) == wanted


@act()
async def test_prompts_are_listed_and_rendered(part: Part) -> None:
    client = part.client
    names = [one["name"] for one in await client.items("prompts/list", "prompts")]
    assert {"test_simple_prompt", "test_prompt_with_arguments", "test_prompt_with_image"} <= set(names)
    given = {"name": "test_prompt_with_arguments", "arguments": {"arg1": "a", "arg2": "ü"}}
    said = (await client.request("prompts/get", given))["messages"][0]["content"]["text"]
    assert said == "Prompt with arguments: arg1='a', arg2='ü'"
    shown = (await client.request("prompts/get", {"name": "test_prompt_with_image"}))["messages"]
    assert [one["content"]["type"] for one in shown] == ["image", "text"]
    assert await refused(part, "prompts/get", {"name": "no-such-prompt"}) == -32602


@act()
async def test_arguments_are_completed(part: Part) -> None:
    reference = {"type": "ref/prompt", "name": "test_prompt_with_arguments"}
    asked = {"ref": reference, "argument": {"name": "arg1", "value": "par"}}
    found = (await part.client.request("completion/complete", asked))["completion"]
    assert found["values"] == ["paris", "park", "party"]


# --- what is wrong --------------------------------------------------------------------------------


@act()
async def test_a_method_that_there_is_not_is_not_found(part: Part) -> None:
    assert await refused(part, "no/such") == -32601


@act()
async def test_a_tool_that_there_is_not_is_named(part: Part) -> None:
    with pytest.raises(RpcError) as caught:
        await part.client.call("no-such-tool")
    assert caught.value.error["code"] == -32602
    assert "no-such-tool" in caught.value.error["message"]


WRONG: tuple[tuple[str, Json], ...] = (
    ("tools/call", {"name": "test_echo", "arguments": [1]}),
    ("prompts/get", {"name": "test_simple_prompt", "arguments": "a"}),
    ("completion/complete", {"ref": 1}),
)
NAMELESS: tuple[tuple[str, Json], ...] = (
    ("tools/call", {}),
    ("resources/read", {"uri": None}),
    ("prompts/get", {"name": None}),
)


async def headers_first(part: Part) -> None:
    assert {await refused(part, *one) for one in NAMELESS} == {-32020}
    assert {await refused(part, *one) for one in WRONG} == {-32602}


@act(
    Unless(
        "Mcp-Name would be missing, which is looked at first", headers_first, ("streamable_http",), "modern"
    )
)
async def test_params_that_are_none_are_refused(part: Part) -> None:
    for method, params in (*NAMELESS, *WRONG):
        assert await refused(part, method, params) == -32602, (method, params)
    assert (await part.client.call("test_echo", {"text": "still here"}))["content"][0]["text"] == "still here"


@act()
async def test_ids_of_every_kind_come_back_as_they_were(part: Part) -> None:
    for ident in ("seven", "7", 0, -1, BIG, "ü" * 100):
        assert "tools" in await part.client.request("tools/list", ident=ident)
