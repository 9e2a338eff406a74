"""Tool calls: what comes back, and what comes on the way; on every line."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.interop.fixture.content import PIXEL_PNG
from tests.interop.fixture.passing import LEVELS
from tests.interop.speaking import META, RpcError
from tests.interop.suite.acts import Part, Unless, act

pytestmark = pytest.mark.asyncio(loop_scope="session")

ALONE = ("jsonrpc",)
"""Transports on which nothing but the answer comes back."""


# --- what comes back ------------------------------------------------------------------------------


@act()
async def test_content_of_every_kind_arrives(part: Part) -> None:
    call = part.client.call
    assert (await call("test_simple_text"))["content"] == [
        {"type": "text", "text": "This is a simple text response for testing."}
    ]
    assert (await call("test_image_content"))["content"] == [
        {"type": "image", "data": PIXEL_PNG, "mimeType": "image/png"}
    ]
    (audio,) = (await call("test_audio_content"))["content"]
    assert (audio["type"], audio["mimeType"]) == ("audio", "audio/wav")
    (embedded,) = (await call("test_embedded_resource"))["content"]
    assert embedded["resource"]["text"] == "This is an embedded resource content."
    kinds = [one["type"] for one in (await call("test_multiple_content_types"))["content"]]
    assert kinds == ["text", "image", "resource"]
    (link,) = (await call("test_resource_link"))["content"]
    assert (link["type"], link["uri"], link["title"]) == ("resource_link", "test://static-text", "Text")


@act()
async def test_structured_content_arrives_to_the_last_digit(part: Part) -> None:
    sent: dict[str, Any] = {"text": "t", "big": 2**70, "float": 1.5, "none": None, "deep": [{"ü": "€𝄞"}]}
    assert (await part.client.call("test_echo", sent))["structuredContent"] == sent


@act()
async def test_a_megabyte_goes_there_and_back(part: Part) -> None:
    text = "0123456789abcdeü" * 65_536
    assert (await part.client.call("test_echo", {"text": text}))["structuredContent"] == {"text": text}


@act()
async def test_an_error_of_the_tool_is_a_result(part: Part) -> None:
    failed = await part.client.call("test_error_handling")
    assert failed["isError"] is True
    assert failed["content"][0]["text"] == "This tool intentionally returns an error for testing"


@act()
async def test_a_call_that_takes_long_holds_up_no_other(part: Part) -> None:
    client, key = part.client, part.key("wait")
    waiting = client.begin("tools/call", {"name": "test_wait", "arguments": {"key": key}})
    calls = [client.call("test_echo", {"n": number}) for number in range(20)]
    assert [one["structuredContent"]["n"] for one in await asyncio.gather(*calls)] == list(range(20))
    assert not waiting.answered
    await client.call("test_open", {"key": key})
    assert (await waiting.result())["content"][0]["text"] == "It has happened."


@act()
async def test_what_the_client_gives_up_is_given_up_by_the_server(part: Part) -> None:
    client, key = part.client, {"key": part.key("hang")}
    hanging = client.begin("tools/call", {"name": "test_hang", "arguments": key})
    await client.call("test_has_begun", key)
    await client.cancel(hanging)
    assert (await client.call("test_was_cancelled", key))["content"][0]["text"] == "It has happened."
    # A request that was cancelled is not answered.
    assert getattr(client, "unexpected", []) == []


# --- what comes on the way ------------------------------------------------------------------------


async def answered_all_the_same(part: Part) -> None:
    client = part.client
    said = await client.call("test_report", progressToken="t")
    assert said["content"][0]["text"] == "Progress was reported."
    assert client.notifications == []


@act(Unless("nothing but the answer comes back", answered_all_the_same, ALONE))
async def test_progress_comes_in_order_before_the_answer(part: Part) -> None:
    client = part.client
    for token in ("progress", 7):
        since = len(client.notifications)
        await client.call("test_report", progressToken=token)
        seen = client.heard("notifications/progress", since)
        assert [(one["progress"], one["total"]) for one in seen] == [(0, 100), (50, 100), (100, 100)]
        assert [one["message"] for one in seen] == [f"{n} of 100" for n in (0, 50, 100)]
        assert [one["progressToken"] for one in seen] == [token] * 3


async def without_a_log(part: Part) -> None:
    client = part.client
    if part.line.client == "legacy":
        with pytest.raises(RpcError) as caught:
            await client.request("logging/setLevel", {"level": "debug"})
        assert caught.value.error["code"] == -32601
    assert (await client.call("test_log"))["content"][0]["text"] == "Messages were logged."
    assert client.notifications == []


@act(Unless("nothing but the answer comes back", without_a_log, ALONE))
async def test_log_messages_come_to_who_wants_them_from_a_level_on(part: Part) -> None:
    client = part.client
    for level, wanted in (("info", ["info", "error"]), ("emergency", []), ("debug", list(LEVELS))):
        since = len(client.notifications)
        if part.line.client == "legacy":
            await client.request("logging/setLevel", {"level": level})
            await client.call("test_log")
        else:
            await client.call("test_log", None, **{META + "logLevel": level})
        seen = client.heard("notifications/message", since)
        assert [(one["level"], one["data"]) for one in seen] == [(one, {"level": one}) for one in wanted]


async def an_unknown_level(part: Part) -> None:
    with pytest.raises(RpcError) as caught:
        await part.client.call("test_log", None, **{META + "logLevel": "loud"})
    assert caught.value.error["code"] == -32602


@act(
    Unless("the modern era has the level in each request", an_unknown_level, client="modern"),
    Unless("there is no session that could have a level", without_a_log, ALONE),
)
async def test_a_level_that_there_is_not_is_refused(part: Part) -> None:
    with pytest.raises(RpcError) as caught:
        await part.client.request("logging/setLevel", {"level": "loud"})
    assert caught.value.error["code"] == -32602
