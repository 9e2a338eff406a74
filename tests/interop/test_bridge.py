"""`gateway bridge`: stdio servers on the network, and the other way round, with the SDK's clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from tests.interop.passing import GATEWAY, PATIENCE, SERVER, Bridge, bridge, gone
from tests.interop.test_wrapper import HELLO, MODES, Heard, said


@asynccontextmanager
async def connected(remote: Bridge, mode: str, path: str = "/mcp", **headers: str) -> AsyncIterator[Client]:
    """The SDK's client over HTTP, with headers of its own."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        httpx2.AsyncClient(headers=named, timeout=PATIENCE) as http,
        Client(
            streamable_http_client(f"http://127.0.0.1:{remote.port}{path}", http_client=http), mode=mode
        ) as client,
    ):
        yield client


async def tool(client: Client, name: str) -> str:
    return said(await client.call_tool(name, {}))


async def env(client: Client) -> dict[str, str]:
    found: dict[str, str] = json.loads(await tool(client, "env"))
    return found


# --- stdio to the network -------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
async def test_a_stdio_server_is_served_with_progress_and_cancellation(mode: str) -> None:
    heard = Heard()
    async with bridge("--stdio", SERVER) as running, connected(running, mode) as client:
        hanging = asyncio.create_task(client.call_tool("hang", {}, progress_callback=heard.report))
        async with asyncio.timeout(PATIENCE):
            await heard.progressed.wait()
            hanging.cancel()
            assert await tool(client, "cancelled") == "it was cancelled"


async def test_several_servers_have_a_path_each_and_their_own_names() -> None:
    more = ("--named-server", "second", f"{SERVER} two", "--named-server", "third", f"{SERVER} three")
    async with bridge("--stdio", f"{SERVER} one", *more) as running:
        for path, extra in (("/mcp", "one"), ("/servers/second/mcp", "two"), ("/servers/third/mcp", "three")):
            assert f"http://127.0.0.1:{running.port}{path}\n" in running.said
            async with connected(running, "legacy", path) as client:
                names = [each.name for each in (await client.list_tools()).tools]
                assert names == ["pid", "env", "hang", "cancelled", extra]
                assert await tool(client, extra) == extra


async def test_sigterm_ends_it_and_every_process_it_has_started() -> None:
    async with bridge("--stdio", SERVER, "--header-to-env", "X-Who=WHO") as running:
        async with connected(running, "legacy") as plain, connected(running, "legacy", X_Who="a") as other:
            pids = {int(await tool(plain, "pid")), int(await tool(other, "pid"))}
        children = running.children()
        assert pids <= {each.pid for each in children}
        assert await running.stop() == 0
        await gone(children)


async def test_it_serves_although_nobody_reads_what_it_prints() -> None:
    theirs, ours = os.pipe()
    os.close(theirs)
    process = await asyncio.create_subprocess_exec(
        *(GATEWAY, "bridge", "--port", "0", "--log-level", "info", "--stdio", SERVER),
        stdout=ours,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    os.close(ours)
    try:
        assert process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            while b'"gateway.ready"' not in (line := await process.stderr.readline()):
                assert line, "it has ended"
            process.terminate()
            rest = await process.stderr.read()
            assert (await process.wait(), b"gateway.stopped" in rest) == (0, True)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def test_one_server_is_served_over_every_transport_at_once() -> None:
    everything = "streamable-http,sse,websocket,jsonrpc"
    async with bridge("--stdio", SERVER, "--expose", everything) as running:
        base = f"//127.0.0.1:{running.port}"
        for place in (f"http:{base}/mcp", f"http:{base}/sse", f"ws:{base}/ws", f"http:{base}/rpc"):
            assert f"passing_server  {place}\n" in running.said
        async with connected(running, "legacy") as client:
            assert (await tool(client, "pid")).isdigit()
        async with Client(sse_client(f"http:{base}/sse"), mode="legacy") as client:
            assert (await tool(client, "pid")).isdigit()
        async with aiohttp.ClientSession() as http:
            async with http.ws_connect(f"ws:{base}/ws", protocols=["mcp"]) as socket:
                await socket.send_json(HELLO)
                assert (await socket.receive_json())["result"]["serverInfo"]["name"] == "passing_server"
            listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
            async with http.post(f"http:{base}/rpc", json=listing) as answer:
                assert len((await answer.json())["result"]["tools"]) == 4


async def test_what_is_not_exposed_is_not_there() -> None:
    async with bridge("--stdio", SERVER, "--expose", "sse") as running, httpx2.AsyncClient() as http:
        assert f"http://127.0.0.1:{running.port}/sse\n" in running.said
        assert (await http.post(running.url, json={})).status_code == 404


async def test_a_header_names_the_process_over_sse_too() -> None:
    async with bridge("--stdio", SERVER, "--expose", "sse", "--header-to-env", "X-Token=TOKEN") as running:
        url = f"http://127.0.0.1:{running.port}/sse"
        async with (
            Client(sse_client(url, headers={"X-Token": "a"}), mode="legacy") as one,
            Client(sse_client(url, headers={"X-Token": "b"}), mode="legacy") as other,
        ):
            assert [(await env(client)).get("TOKEN") for client in (one, other)] == ["a", "b"]


async def test_a_header_names_the_process_over_websocket_too() -> None:
    flags = ("--expose", "websocket", "--header-to-env", "X-Token=TOKEN")
    calling = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "env"}}
    async with bridge("--stdio", SERVER, *flags) as running, aiohttp.ClientSession() as http:
        url = f"ws://127.0.0.1:{running.port}/ws"
        async with http.ws_connect(url, protocols=["mcp"], headers={"X-Token": "a"}) as socket:
            for each in (HELLO, {"jsonrpc": "2.0", "method": "notifications/initialized"}, calling):
                await socket.send_json(each)
            await socket.receive_json()
            answer = await socket.receive_json()
        assert json.loads(answer["result"]["content"][0]["text"])["TOKEN"] == "a"


# --- the environment of processes -----------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
async def test_a_header_becomes_a_variable_of_the_callers_own_process(mode: str) -> None:
    async with (
        bridge(
            "--stdio", SERVER, "--header-to-env", "X-Token=TOKEN", "--env", "FIXED=${env:HOME}"
        ) as running,
        connected(running, mode, X_Token="a", X_Other="o") as one,
        connected(running, mode, X_Token="b") as other,
        connected(running, mode, X_Token="a") as same,
        connected(running, mode) as none,
    ):
        found = [await env(client) for client in (one, other, same, none)]
        assert [each.get("TOKEN") for each in found] == ["a", "b", "a", None]
        assert {each["FIXED"] for each in found} == {"${env:HOME}"}
        assert not any(value == "o" for each in found for value in each.values())
        pids = [await tool(client, "pid") for client in (one, other, same, none)]
        assert pids[0] == pids[2]
        assert len(set(pids)) == 3


async def test_only_what_is_passed_on_of_the_environment_reaches_the_process() -> None:
    async with (
        bridge("--stdio", SERVER, "--pass-env", "KEY_ONE", KEY_ONE="${1}", KEY_TWO="2") as running,
        connected(running, "legacy") as client,
    ):
        found = await env(client)
        assert (found["KEY_ONE"], "KEY_TWO" in found) == ("${1}", False)


# --- who may come in ------------------------------------------------------------------------------


async def test_with_a_token_nobody_comes_in_without() -> None:
    async with bridge("--stdio", SERVER, PORTICO_BRIDGE_TOKEN="a-token-of-some-length") as running:
        async with httpx2.AsyncClient() as http:
            assert (await http.post(running.url, json={})).status_code == 401
        async with connected(running, "legacy", Authorization="Bearer a-token-of-some-length") as client:
            assert (await tool(client, "pid")).isdigit()


async def test_pages_of_a_named_origin_may_call_and_others_may_not() -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    origins = ("https://app.example.com", "https://evil.example.com")
    async with bridge("--stdio", SERVER, "--cors", origins[0]) as running, httpx2.AsyncClient() as http:
        asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
        asked = [await http.options(running.url, headers={"Origin": origin, **asks}) for origin in origins]
        called = [await http.post(running.url, json=body, headers={"Origin": origin}) for origin in origins]
    told = "access-control-allow-origin"
    assert [answer.headers.get(told) for answer in (*asked, *called)] == [origins[0], None] * 2
    assert asked[0].status_code == 200
    assert asked[0].headers["access-control-allow-headers"] == "content-type"
    assert called[0].status_code != 403
    assert [asked[1].status_code, called[1].status_code] == [403, 403]


# --- the other way round --------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
async def test_a_remote_server_becomes_a_stdio_server(mode: str) -> None:
    async with bridge("--stdio", SERVER, "--token", "a-token-of-some-length") as remote:
        arguments = ["bridge", "--connect", remote.url, "--stdio"]
        parameters = StdioServerParameters(
            command=GATEWAY, args=arguments, env={"MCP_AUTH": "a-token-of-some-length"}
        )
        async with Client(parameters, mode=mode) as client:
            assert (await tool(client, "pid")).isdigit()


async def test_a_remote_server_is_served_again() -> None:
    async with (
        bridge("--stdio", SERVER) as remote,
        bridge("--connect", remote.url, "--expose", "streamable-http") as running,
        connected(running, "legacy") as client,
    ):
        assert (await tool(client, "pid")).isdigit()


# --- wrong command lines --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "expected --stdio 'COMMAND LINE' or --connect URL"),
        (("--stdio",), "expected --stdio 'COMMAND LINE' or --connect URL"),
        (("--stdio", "https://host/mcp"), "a URL goes to --connect"),
        (("--stdio", "a", "--connect", "http://b"), "--connect goes with"),
        (("--stdio", "a 'b"), "expected a URL or a command line"),
        (("--connect", "http://b", "--stdio", "--expose", "sse"), "--expose goes with"),
        (("--connect", "http://b", "--env", "A=b"), "are for --stdio"),
        (("--connect", "ws://b"), "expected http://host... or https://host..."),
        (("--stdio", "a", "--expose", "sser"), "there is no transport 'sser'"),
        (("--stdio", "a", "--expose", "stdio"), "there is no transport 'stdio'; installed: "),
        (("--stdio", "a", "--expose", ","), "expected one or more of"),
        (("--stdio", "a", "--header", "B: c"), "--header goes with --connect"),
        (("--stdio", "a", "--auth", "b"), "--auth goes with --connect"),
        (("--stdio", "a", "--cors", "app.example"), "expected SCHEME://HOST"),
        (("--connect", "http://b:99999/mcp", "--stdio"), "expected a port from 1 to 65535"),
        (("--stdio", "a", "--header-to-env", "X-Token"), "expected --header-to-env NAME=VALUE"),
        (("--stdio", "a", "--header-to-env", "X-Token=PATH"), "no caller may set it"),
        (("--stdio", "a", "--header-to-env", "Authorization=TOKEN"), "what callers show the gateway itself"),
        (("--stdio", "a", "--named-server", "a", "b"), "two servers are called 'a'"),
        (("--stdio", "python", "--host", "0.0.0.0"), "--token"),
        (("--stdio", "no-such-program-here"), "there is no 'no-such-program-here' in PATH"),
        (("--stdio", "python no_such_script.py"), "no_such_script.py"),
        (("--stdio", "a", "--pass-env", "NOT_THERE_AT_ALL"), "NOT_THERE_AT_ALL"),
    ],
)
async def test_a_wrong_command_line_is_said_in_one_line(arguments: tuple[str, ...], problem: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(GATEWAY, "bridge", *arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(PATIENCE):
        output, errors = await process.communicate()
    assert (process.returncode, output) == (2, b"")
    assert problem in errors.decode()
    assert b"Traceback" not in errors
