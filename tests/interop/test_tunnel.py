"""`gateway tunnel`: servers that dial in, between real processes, with the SDK's clients."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import mcp.types as types
import pytest
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError

from tests.interop.passing import PATIENCE
from tests.interop.processes import ROOT, fixture
from tests.interop.test_wrapper import MODES, Heard, said, told_of_changes
from tests.interop.tunnelling import Gateway, connected, gateway, tunnel

FAR = f"{sys.executable} {ROOT / 'tests/interop/far_server.py'}"


async def ready(running: Gateway, count: int = 1) -> None:
    """Wait until the gateway has listed what dialled in."""
    await running.process.until("upstream_ready", count, component="upstreams.lab")


# --- what passes through --------------------------------------------------------------------------


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway that a stdio server has dialled in to."""
    async with gateway(tmp_path) as running, tunnel(running.entrance, folder=tmp_path):
        await ready(running)
        yield running


@pytest.mark.parametrize("mode", MODES)
async def test_a_stdio_server_is_served_with_progress_and_cancellation(lab: Gateway, mode: str) -> None:
    heard = Heard()
    async with lab.client(mode) as client:
        names = [each.name for each in (await client.list_tools()).tools]
        assert names == ["pid", "env", "hang", "cancelled"]
        hanging = asyncio.create_task(client.call_tool("hang", {}, progress_callback=heard.report))
        async with asyncio.timeout(PATIENCE):
            await heard.progressed.wait()
            hanging.cancel()
            assert said(await client.call_tool("cancelled", {})) == "it was cancelled"


@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.parametrize("mode", MODES)
async def test_progress_and_questions_pass_between_all_eras(tmp_path: Path, mode: str, era: str) -> None:
    tool, arguments, expected = (
        ("test_input_required_result_elicitation", {}, "Hello, text!")
        if era == "legacy"
        else (
            "test_elicitation",
            {"message": "m"},
            "User response: action=accept, content={'response': 'text'}",
        )
    )
    heard = Heard()
    with fixture(f"bridge_{era}", tmp_path) as server:
        async with (
            gateway(tmp_path) as running,
            tunnel(running.entrance, "--url", server.url, folder=tmp_path),
        ):
            await ready(running)
            async with running.client(mode, elicitation_callback=heard.elicit) as client:
                await client.call_tool("test_tool_with_progress", {}, progress_callback=heard.report)
                assert heard.progress == [0, 50, 100]
                assert said(await client.call_tool(tool, arguments)) == expected
                assert heard.asked == 1
                with pytest.raises(MCPError) as missing:
                    await client.read_resource("test://nowhere")
                assert missing.value.error.code == (-32002 if mode == "legacy" else -32602)


@pytest.mark.parametrize("mode", MODES)
async def test_that_the_tools_have_changed_reaches_the_client(tmp_path: Path, mode: str) -> None:
    heard = Heard()
    with fixture("fixture", tmp_path) as server:
        async with (
            gateway(tmp_path) as running,
            tunnel(running.entrance, "--url", server.url, folder=tmp_path),
        ):
            await ready(running)
            async with (
                running.client(mode, message_handler=heard.receive) as client,
                told_of_changes(client, heard, mode),
                asyncio.timeout(PATIENCE),
            ):
                await client.call_tool("test_trigger_tool_change", {})
                await heard.changed.wait()


async def test_what_a_client_can_do_is_asked_of_it(tmp_path: Path) -> None:
    async def sample(context: Any, params: Any) -> types.CreateMessageResult:
        text = types.TextContent(type="text", text="Hello.")
        return types.CreateMessageResult(role="assistant", content=text, model="m")

    async def roots(context: Any) -> types.ListRootsResult:
        return types.ListRootsResult(roots=[types.Root(uri="file:///work", name="work")])

    with fixture("bridge_legacy", tmp_path) as server:
        async with (
            gateway(tmp_path) as running,
            tunnel(running.entrance, "--url", server.url, folder=tmp_path),
        ):
            await ready(running)
            for mode in MODES:
                async with running.client(
                    mode, sampling_callback=sample, list_roots_callback=roots
                ) as client:
                    asked = await client.call_tool("test_input_required_result_sampling", {})
                    assert said(asked) == "The model said: Hello."
                    asked = await client.call_tool("test_input_required_result_list_roots", {})
                    assert said(asked) == "The client has 1 root(s)."


@pytest.mark.parametrize("mode", MODES)
async def test_updates_of_a_watched_resource_come_through(tmp_path: Path, mode: str) -> None:
    updated = asyncio.Event()

    async def receive(message: Any) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            updated.set()

    async with (
        gateway(tmp_path, upstream="shared = true") as running,
        tunnel(running.entrance, "--stdio", FAR, folder=tmp_path),
    ):
        await ready(running)
        async with running.client(mode, message_handler=receive) as client, asyncio.timeout(PATIENCE):
            if mode == "legacy":
                with pytest.warns(MCPDeprecationWarning):
                    await client.subscribe_resource("test://watched")
                await client.call_tool("touch", {})
                await updated.wait()
                return
            async with client.listen(resource_subscriptions=["test://watched"]) as events:
                while True:  # the far end subscribes when it has heard of it
                    await client.call_tool("touch", {})
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0.3):
                            async for _ in events:
                                return


# --- much of it -----------------------------------------------------------------------------------


async def test_long_messages_pass_both_ways_and_hold_up_nobody(tmp_path: Path) -> None:
    more = f"shared = true\nmax_message_bytes = {6 << 20}"
    async with (
        gateway(tmp_path, upstream=more) as running,
        tunnel(running.entrance, "--stdio", FAR, folder=tmp_path),
    ):
        await ready(running)
        async with running.client("2026-07-28") as client:
            sizes = [5 << 20, 1, 3 << 20, 1000]
            answers = await asyncio.gather(*(client.call_tool("bulk", {"size": size}) for size in sizes))
            assert [len(said(each)) for each in answers] == sizes
            assert said(await client.call_tool("echo", {"text": "x" * (3 << 20)})) == str(3 << 20)
            small = [client.call_tool("echo", {"text": "x" * number}) for number in range(100)]
            assert [said(each) for each in await asyncio.gather(*small)] == [str(n) for n in range(100)]


async def test_what_is_too_long_is_refused_alone(tmp_path: Path) -> None:
    offer = ("--stdio", FAR, "--set", f"transports.tunnel_client.max_message={1 << 20}")
    async with (
        gateway(tmp_path, upstream=f"max_message_bytes = {1 << 20}") as running,
        tunnel(running.entrance, *offer, folder=tmp_path) as dialler,
    ):
        await ready(running)
        async with running.client("2026-07-28") as client:
            with pytest.raises(MCPError) as answer:
                await client.call_tool("bulk", {"size": 2 << 20})
            assert answer.value.error.code == 50200
            assert answer.value.error.data["gateway"]["reason"] == "message_too_large"
            with pytest.raises(MCPError) as request:
                await client.call_tool("echo", {"text": "x" * (2 << 20)})
            assert request.value.error.code == -32602
            assert said(await client.call_tool("bulk", {"size": 10})) == "x" * 10
        assert len(dialler.events("tunnel_connected")) == 1


async def test_more_sessions_than_the_far_end_takes_are_refused_and_those_it_has_go_on(
    tmp_path: Path,
) -> None:
    offer = ("--stdio", FAR, "--set", "transports.tunnel_client.max_sessions=1")
    async with gateway(tmp_path) as running, tunnel(running.entrance, *offer, folder=tmp_path):
        await ready(running)  # whose own session is the one
        async with running.client("2026-07-28") as client:
            assert len((await client.list_tools()).tools) == 3
            with pytest.raises(MCPError) as full:
                await client.call_tool("echo", {})
            assert full.value.error.code == 50302
            assert full.value.error.data["gateway"]["reason"] == "too_many_sessions"


# --- whose it is ----------------------------------------------------------------------------------


async def test_each_principal_has_a_process_of_its_own_at_the_far_end_and_no_name_there(
    tmp_path: Path,
) -> None:
    tokens = '{ alice = "alice-0123456789abcdef", bob = "bob-0123456789abcdef" }'
    auth = f'[auth.people]\nuse = "token"\ntokens = {tokens}'
    async with (
        gateway(tmp_path, more=f'auth = ["people"]\n{auth}') as running,
        tunnel(running.entrance, folder=tmp_path) as dialler,
    ):
        await ready(running)
        pids = {}
        for who in ("alice", "bob", "alice"):
            async with connected(running.url, "legacy", token=f"{who}-0123456789abcdef") as client:
                pids.setdefault(who, set()).add(said(await client.call_tool("pid", {})))
        assert len(pids["alice"]) == len(pids["bob"]) == 1
        assert pids["alice"] != pids["bob"]
        assert "alice" not in dialler.text
        assert "0123456789abcdef" not in dialler.text
