"""Other transports beside this one: which of them answers what, and what is an error at start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeAlias

import httpx2
import pytest

from portico.api import ConfigError, SseParser
from portico.testing import running_gateway

Forge: TypeAlias = Any  # of conftest.py, which cannot be imported
Made: TypeAlias = Callable[[str], AsyncIterator[Any]]

HELLO = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
OTHERS = "\n[transports.sse]\n[transports.websocket]\n[transports.jsonrpc]\n"
PATIENCE = 60.0


def together(config: str, mine: str, *, first: bool) -> str:
    """The other transports before this plugin, or after it."""
    head, _, own = config.partition("[transports.contextforge]")
    own = f"[transports.contextforge]{own}{mine}"
    return f"{head}{own}{OTHERS}" if first else f"{head}{OTHERS}{own}"


def request(ident: int, method: str, params: Any = None) -> Any:
    return {"jsonrpc": "2.0", "id": ident, "method": method, "params": params or {}}


async def created(forge: Forge, name: str = "clock") -> str:
    """A virtual server that was not there at start; its id."""
    await forge.register()
    body = {"name": name, "associated_tools": ["fast-time-get-system-time"]}
    return str((await forge.ask("POST", "/servers", body, 201))["id"])


@pytest.mark.parametrize("first", [True, False])
async def test_two_claims_of_rpc_are_an_error_at_start(config: str, tmp_path: Path, first: bool) -> None:
    with pytest.raises(ConfigError) as caught:
        async with running_gateway(together(config, "", first=first), base=tmp_path):
            pass
    ((where, what),) = caught.value.problems
    mine, other = ("jsonrpc", "contextforge") if first else ("contextforge", "jsonrpc")
    assert where == f"transports.{mine}"
    assert what == f"it answers at /rpc, and so does transports.{other}; there can be one only"


@pytest.mark.parametrize("first", [True, False])
async def test_rpc_may_be_left_to_the_other_transport(config: str, forge_of: Made, first: bool) -> None:
    async for forge in forge_of(together(config, "rpc = false\n", first=first)):
        await forge.register()
        named = "fast-time-get-system-time"
        assert (await forge.rpc("list_tools"))["error"]["code"] == -32601  # ContextForge's method
        assert (await forge.ask("POST", "/v1/rpc", request(1, "list_tools")))["result"][0]["name"] == named
        ping = await forge.ask("POST", "/protocol/ping", {"jsonrpc": "2.0", "id": 1, "method": "ping"})
        assert ping["result"] == {}


@pytest.mark.parametrize("first", [True, False])
async def test_other_transports_have_their_paths_whatever_the_order(
    config: str, forge_of: Made, first: bool
) -> None:
    async for forge in forge_of(together(config, "rpc = false\n", first=first)):
        await created(forge)
        for server in ("default", "clock"):
            answer = await forge.ask("POST", f"/servers/{server}/rpc", request(1, "tools/list"))
            assert answer["result"]["tools"]
            refused = await forge.http.post(f"/servers/{server}/sse", json={})
            assert (refused.status_code, refused.headers["allow"]) == (405, "GET")
            assert (await forge.http.post(f"/servers/{server}/messages", json={})).status_code == 404
        assert (await forge.http.post("/sse", json={})).status_code == 405
        assert [each["name"] for each in await forge.ask("GET", "/servers")] == ["clock", "default"]


async def test_the_old_transport_by_id_says_what_it_takes(config: str, forge_of: Made) -> None:
    async for forge in forge_of(together(config, "rpc = false\n", first=True)):
        ident = await created(forge)
        for method, path in (("GET", "sse"), ("POST", "message")):
            answer = await forge.ask(method, f"/servers/{ident}/{path}", status=501)
            assert "`sse`" in answer["detail"]
        assert "`sse`" in (await forge.ask("POST", "/message", {}, 501))["detail"]


@pytest.mark.parametrize("path", ["/servers/{}/sse", "/v1/servers/{}/sse/", "/servers/clock/sse", "/sse"])
async def test_clients_of_the_old_transport_come_in_by_id(
    served_with_sse: str, clock_url: str, path: str
) -> None:
    """Two workers: some of what is posted reaches the one that has not got the stream."""
    bearer = {"authorization": "Bearer admin-0123456789abcdef"}
    async with (
        asyncio.timeout(PATIENCE),
        httpx2.AsyncClient(base_url=served_with_sse, timeout=PATIENCE) as http,
    ):
        await http.post("/gateways", json={"name": "fast_time", "url": clock_url}, headers=bearer)
        body = {"name": "clock", "associated_tools": ["fast-time-get-system-time"]}
        await http.post("/servers", json=body, headers=bearer)
        ident = (await http.get("/servers/clock", headers=bearer)).json()["id"]
        url = path.format(ident)
        accept = {"accept": "text/event-stream"}
        assert (await http.get(url, headers=accept)).status_code == 401
        async with http.stream("GET", url, headers={**bearer, **accept}) as stream:
            assert stream.status_code == 200
            events = _events(stream)
            event, said = await anext(events)
            where, _, query = said.partition("?")
            assert event == "endpoint"
            below = url.strip("/").removeprefix("v1/").removesuffix("sse")
            posts = [where, f"/{below}message", f"/{below}messages", f"/v1/{below}message"]
            for n, post in enumerate(posts):
                asked = request(n, "ping") if n else request(n, "initialize", HELLO)
                async with httpx2.AsyncClient(base_url=served_with_sse, timeout=PATIENCE) as another:
                    posted = await another.post(f"{post}?{query}", json=asked, headers=bearer)
                assert posted.status_code == 202, post
                assert f'"id":{n},"result"' in (await anext(events))[1]


async def _events(stream: Any) -> AsyncIterator[tuple[str, str]]:
    parser = SseParser()
    async for piece in stream.aiter_bytes():
        for event in parser.feed(piece):
            if event.data:
                yield event.event, event.data
