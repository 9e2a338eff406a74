"""`gateway tunnel`: servers that dial in, between real processes, with the SDK's clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.shared.exceptions import MCPError

from tests.interop.passing import PATIENCE
from tests.interop.processes import fixture
from tests.interop.test_wrapper import MODES, Heard, said
from tests.interop.tunnelling import Gateway, gateway, tunnel


async def state_of(running: Gateway) -> Any:
    async with httpx2.AsyncClient() as http:
        return (await http.get(f"http://127.0.0.1:{running.port}/readyz")).json()["upstreams"]["lab"]


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
