"""ContextForge's quick start, with `gateway serve` in its place."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

BEARER = {"authorization": "Bearer admin-0123456789abcdef"}


async def seen(url: str, mode: str) -> tuple[str, list[str], str]:
    """The revision, the tools, and what the first says."""
    async with (
        httpx2.AsyncClient(headers=BEARER, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        tools = [tool.name for tool in (await client.list_tools()).tools]
        result = await client.call_tool(tools[0], {"timezone": "Europe/Dublin"})
        (block,) = result.content
        assert block.type == "text"
        return client.protocol_version, tools, block.text


async def test_a_server_is_registered_bundled_and_connected_to(
    served: str, clock_url: str, sse_url: str
) -> None:
    async with httpx2.AsyncClient(base_url=served, headers=BEARER, timeout=60) as http:

        async def ask(method: str, path: str, **more: Any) -> Any:
            return (await http.request(method, path, **more)).raise_for_status().json()

        gateway = await ask("POST", "/gateways", json={"name": "fast_time", "url": sse_url})
        assert gateway["reachable"]
        tools = await ask("GET", "/tools")
        wanted = [tool["id"] for tool in tools if tool["originalName"] == "get_system_time"]
        body = {"server": {"name": "time_server", "description": "Time", "associated_tools": wanted}}
        server = await ask("POST", "/servers", json=body)
        assert server["id"] in [each["id"] for each in await ask("GET", "/servers")]

        url = f"{served}/servers/{server['id']}/mcp"
        answers = [await seen(url, mode) for mode in ("auto", "legacy")]
        names = ["fast-time-get-system-time"]
        assert answers == [
            ("2026-07-28", names, "12:00 Europe/Dublin"),
            ("2025-11-25", names, "12:00 Europe/Dublin"),
        ]
        # By name, and with the slash and prefix that ContextForge takes, it is the same server.
        for path in (
            "/servers/time_server/mcp",
            f"/servers/{server['id']}/mcp/",
            f"/v1/servers/{server['id']}/mcp",
        ):
            assert (await seen(f"{served}{path}", "legacy"))[1] == names


async def everywhere(url: str) -> None:
    """Return when several connections in a row, to whichever worker, find something there."""
    known = 0
    async with asyncio.timeout(30):
        while known < 8:
            async with httpx2.AsyncClient(headers=BEARER, timeout=60) as http:
                known = known + 1 if (await http.get(url)).status_code == 200 else 0


async def test_an_id_means_the_same_to_every_worker(served_by_two: str, clock_url: str) -> None:
    async with httpx2.AsyncClient(base_url=served_by_two, headers=BEARER, timeout=60) as http:
        await http.post("/gateways", json={"name": "fast_time", "url": clock_url})
        await everywhere(f"{served_by_two}/tools/get_system_time")
        body = {"server": {"name": "clock", "associated_tools": ["get_system_time"]}}
        server = (await http.post("/servers", json=body)).raise_for_status().json()
    await everywhere(f"{served_by_two}/servers/{server['id']}")
    url = f"{served_by_two}/servers/{server['id']}/mcp"
    # A session belongs to one worker; its requests come in at either, by that path.
    for _ in range(4):
        version, tools, text = await seen(url, "legacy")
        assert (version, tools, text) == (
            "2025-11-25",
            ["fast-time-get-system-time"],
            "12:00 Europe/Dublin",
        )


@pytest.mark.parametrize("path", ["/servers/{}/mcp", "/mcp"])
async def test_nobody_without_a_token_gets_in(served: str, path: str) -> None:
    async with httpx2.AsyncClient(base_url=served, timeout=60) as http:
        assert (await http.get("/gateways")).status_code == 401
        assert (
            await http.post("/rpc", json={"jsonrpc": "2.0", "id": 1, "method": "ping"})
        ).status_code == 401
        known = await http.get("/servers", headers=BEARER)
        url = path.format(known.json()[0]["id"])
        assert (await http.post(url, json={}, headers={"accept": "*/*"})).status_code == 401
