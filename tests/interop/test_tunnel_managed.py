"""Tunnel upstreams that are managed while the gateway runs."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.interop.passing import GATEWAY, PATIENCE
from tests.interop.test_tunnel_life import LATEST, hanging, ready
from tests.interop.test_wrapper import said
from tests.interop.tunnelling import NEXT, SECRET, Gateway, gateway, tunnel

MANAGED = """
[registries.main]
use = "{registry}"
[transports.api]
use = "management_api"
"""


@asynccontextmanager
async def managed(folder: Path, registry: str = "memory", workers: int = 1) -> AsyncIterator[Gateway]:
    async with gateway(folder, more=MANAGED.format(registry=registry), workers=workers) as running:
        yield running


async def command(
    running: Gateway, *arguments: str, noun: str = "upstreams"
) -> subprocess.CompletedProcess[str]:
    """`gateway upstreams ...`."""
    words = [GATEWAY, noun, *arguments, "--gateway", f"http://127.0.0.1:{running.port}"]
    return await asyncio.to_thread(
        subprocess.run, words, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


async def state_of(running: Gateway, name: str) -> Any:
    async with httpx2.AsyncClient() as http:
        found = await http.get(f"http://127.0.0.1:{running.port}/api/v1/upstreams/{name}")
        return found.json()


def secrets(*values: str) -> str:
    return f"secrets={json.dumps(values)}"


def bench(running: Gateway) -> str:
    return running.entrance.replace("/lab", "/bench")


async def shown(running: Gateway, name: str, state: str) -> Any:
    """What the API shows of an upstream, once it is in a state."""
    async with asyncio.timeout(PATIENCE):
        while (found := await state_of(running, name))["state"] != state:
            await asyncio.sleep(0.05)
    return found


@pytest.mark.parametrize("workers", [1, 2])
async def test_an_upstream_that_is_added_can_be_dialled_in_from_at_once(tmp_path: Path, workers: int) -> None:
    registry = "memory" if workers == 1 else "file"
    async with managed(tmp_path, registry, workers) as running:
        added = await command(running, "add", "bench", "--use", "tunnel", "--set", secrets(SECRET))
        assert added.returncode == 0, added.stderr
        found = await shown(running, "bench", "unavailable")
        assert found["reason"] == "no tunnel is connected"
        assert SECRET not in json.dumps(found)
        async with tunnel(bench(running), folder=tmp_path) as dialler:
            await dialler.until("tunnel_connected", connections=f"{workers}/{workers}")
            assert (await shown(running, "bench", "ready"))["reason"] == ""
            assert (await command(running, "rm", "bench")).returncode == 0
            gone = "the gateway has no such upstream any more"
            await dialler.until("tunnel_ended", workers, reason=gone)
        assert SECRET not in running.process.text


async def test_a_tunnel_stays_while_its_secret_is_good_and_is_cut_when_it_is_not(tmp_path: Path) -> None:
    async with managed(tmp_path) as running:
        await command(running, "add", "bench", "--use", "tunnel", "--set", secrets(SECRET))
        shows = ("--set", 'upstreams=["bench"]', "--set", "prefix=never")
        assert (await command(running, "add", "more", *shows, noun="servers")).returncode == 0
        url = running.url.replace("/mcp", "/servers/more/mcp")
        async with tunnel(bench(running), folder=tmp_path) as dialler:
            await running.process.until("upstream_ready", component="upstreams.bench")
            async with running.client(LATEST, url=url) as client:
                before = said(await client.call_tool("pid", {}))
                async with hanging(client) as call:
                    both = await command(running, "edit", "bench", "--set", secrets(NEXT, SECRET))
                    assert both.returncode == 0, both.stderr
                    await running.process.until("upstream_ready", 2, component="upstreams.bench")
                    assert dialler.events("tunnel_ended") == []
                    assert said(await client.call_tool("pid", {})) == before
                    assert not call.done()
                    await command(running, "edit", "bench", "--set", secrets(NEXT))
                    cut = "the gateway does not take this secret any more"
                    await dialler.until("tunnel_ended", reason=cut)
                    with pytest.raises(Exception, match=r"tunnel|upstream"):
                        await call
            await shown(running, "bench", "unavailable")
        async with tunnel(bench(running), folder=tmp_path, secret=NEXT):
            await shown(running, "bench", "ready")


async def test_one_that_is_disabled_is_not_there(tmp_path: Path) -> None:
    async with managed(tmp_path) as running:
        await command(running, "add", "bench", "--use", "tunnel", "--set", secrets(SECRET), "--disabled")
        async with tunnel(bench(running), folder=tmp_path, wait=False) as dialler:
            assert await dialler.ended() == 1


async def test_a_secret_that_could_be_guessed_is_not_taken(tmp_path: Path) -> None:
    async with managed(tmp_path) as running:
        for wrong in ('secrets=["short"]', "secrets=[]", secrets(*[f"{SECRET}{n}" for n in range(5)])):
            refused = await command(running, "add", "bench", "--use", "tunnel", "--set", wrong)
            assert refused.returncode == 2
            assert "secret" in refused.stderr
        await ready_without(running)


async def ready_without(running: Gateway) -> None:
    """The gateway goes on as it was."""
    async with tunnel(running.entrance, folder=running.folder):
        await ready(running)
