"""`gateway wrapper` between the SDK's stdio client and remote servers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import mcp.types as types
import psutil
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from tests.interop.passing import GATEWAY, PATIENCE, SERVER, bridge, gone, wrapper
from tests.interop.processes import fixture, gateway
from tests.ports import free_port

MODES = ["legacy", "2026-07-28"]
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


class Heard:
    """What a client was told, as events to wait for."""

    def __init__(self) -> None:
        self.progress: list[float] = []
        self.progressed = asyncio.Event()
        self.changed = asyncio.Event()
        self.asked = 0

    async def elicit(self, context: Any, params: Any) -> types.ElicitResult:
        self.asked += 1
        names = params.requested_schema["properties"]
        return types.ElicitResult(action="accept", content=dict.fromkeys(names, "text"))

    async def report(self, value: float, total: float | None, message: str | None) -> None:
        self.progress.append(value)
        self.progressed.set()

    async def receive(self, message: Any) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            self.changed.set()


@asynccontextmanager
async def connected(mode: str, *arguments: str, **env: str) -> AsyncIterator[tuple[Client, Heard]]:
    """The SDK's client, with a wrapper that it started."""
    heard = Heard()
    async with Client(
        wrapper(*arguments, **env),
        mode=mode,
        elicitation_callback=heard.elicit,
        message_handler=heard.receive,
    ) as client:
        yield client, heard


@asynccontextmanager
async def told_of_changes(client: Client, heard: Heard, mode: str) -> AsyncIterator[None]:
    """A modern client has to ask to be told."""
    if mode == "legacy":
        yield
        return

    async def follow(events: Any) -> None:
        async for _ in events:
            heard.changed.set()

    async with client.listen(tools_list_changed=True) as events:
        following = asyncio.create_task(follow(events))
        try:
            yield
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following


def said(result: Any) -> str:
    return str(result.content[0].text)


# --- what passes through --------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["legacy", "modern", "gateway-legacy", "gateway-modern"])
def remote(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """A remote server of one era, and a gateway in front of one."""
    folder = tmp_path_factory.mktemp(request.param)
    era = request.param.removeprefix("gateway-")
    with fixture(f"bridge_{era}", folder) as server:
        if era == request.param:
            yield server.url, era
            return
        with gateway(server.url, folder) as running:
            yield running.url, era


@pytest.mark.parametrize("mode", MODES)
async def test_tools_progress_and_questions_pass_between_all_eras(remote: tuple[str, str], mode: str) -> None:
    url, era = remote
    tool, arguments, expected = (
        ("test_input_required_result_elicitation", {}, "Hello, text!")
        if era == "legacy"
        else (
            "test_elicitation",
            {"message": "m"},
            "User response: action=accept, content={'response': 'text'}",
        )
    )
    async with connected(mode, "--url", url) as (client, heard):
        assert tool in [each.name for each in (await client.list_tools()).tools]
        await client.call_tool("test_tool_with_progress", {}, progress_callback=heard.report)
        assert heard.progress == [0, 50, 100]
        assert said(await client.call_tool(tool, arguments)) == expected
        assert heard.asked == 1
        with pytest.raises(MCPError) as missing:
            await client.read_resource("test://nowhere")
        assert missing.value.error.code == (-32002 if mode == "legacy" else -32602)


async def test_it_calls_itself_what_the_remote_does(remote: tuple[str, str]) -> None:
    url, era = remote
    async with Client(url, mode="legacy" if era == "legacy" else "2026-07-28") as direct:
        await direct.list_tools()
        known = direct.server_info
    async with connected("legacy", "--url", url) as (client, _):
        assert client.server_info is not None
        assert client.server_info.name in (f"portico-bridge-{era}", "portico")
        assert known is None or client.server_info == known


@pytest.mark.parametrize("mode", MODES)
async def test_that_the_tools_have_changed_reaches_the_client(
    tmp_path_factory: pytest.TempPathFactory, mode: str
) -> None:
    folder = tmp_path_factory.mktemp("changing")
    with fixture("fixture", folder) as server, gateway(server.url, folder) as running:
        async with (
            connected(mode, "--url", running.url) as (client, heard),
            told_of_changes(client, heard, mode),
            asyncio.timeout(PATIENCE),
        ):
            await client.call_tool("test_trigger_tool_change", {})
            await heard.changed.wait()


@pytest.mark.parametrize("mode", MODES)
async def test_a_cancelled_call_is_cancelled_in_the_remote_process(mode: str) -> None:
    async with bridge("--stdio", SERVER) as remote, connected(mode, "--url", remote.url) as (client, heard):
        hanging = asyncio.create_task(client.call_tool("hang", {}, progress_callback=heard.report))
        async with asyncio.timeout(PATIENCE):
            await heard.progressed.wait()
            hanging.cancel()
            assert said(await client.call_tool("cancelled", {})) == "it was cancelled"


@pytest.mark.parametrize("mode", MODES)
async def test_a_remote_that_dies_is_missed_with_a_reason_and_found_again_with_what_it_has_now(
    mode: str,
) -> None:
    port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        remote = await stack.enter_async_context(bridge("--stdio", SERVER, port=port))
        client, heard = await stack.enter_async_context(connected(mode, "--url", remote.url))
        await stack.enter_async_context(told_of_changes(client, heard, mode))
        before = said(await client.call_tool("pid", {}))
        await remote.kill()
        with pytest.raises(MCPError) as away:
            await client.call_tool("pid", {})
        assert away.value.error.code == 50300
        assert away.value.error.data["gateway"]["retryable"] is True
        heard.changed.clear()
        await stack.enter_async_context(bridge("--stdio", f"{SERVER} fresh", port=port))
        async with asyncio.timeout(PATIENCE):
            await heard.changed.wait()
            assert "fresh" in [each.name for each in (await client.list_tools(cache_mode="bypass")).tools]
            assert said(await client.call_tool("fresh", {})) == "fresh"
            assert said(await client.call_tool("pid", {})) != before


@pytest.mark.parametrize("mode", MODES)
async def test_a_remote_that_is_not_there_yet_is_waited_for(mode: str) -> None:
    port = free_port()
    async with (
        connected(mode, "--url", f"http://127.0.0.1:{port}") as (client, heard),
        told_of_changes(client, heard, mode),
    ):
        assert (await client.list_tools()).tools == []
        assert (await client.list_prompts()).prompts == []
        assert (await client.list_resources()).resources == []
        with pytest.raises(MCPError) as away:
            await client.call_tool("pid", {})
        assert away.value.error.code == 50300
        assert away.value.error.data["gateway"]["reason"] == "connection_refused"
        async with bridge("--stdio", SERVER, port=port), asyncio.timeout(PATIENCE):
            await heard.changed.wait()
            names = [each.name for each in (await client.list_tools(cache_mode="bypass")).tools]
            assert names == ["pid", "env", "hang", "cancelled"]


async def test_a_token_that_is_not_taken_is_the_reason_why_calls_fail() -> None:
    async with (
        bridge("--stdio", SERVER, "--token", "the-right-one-0123456789") as remote,
        connected("legacy", "--url", remote.url, "--auth", "the-wrong-one-0123456789") as (client, _),
    ):
        with pytest.raises(MCPError) as refused:
            await client.call_tool("pid", {})
        assert refused.value.error.code == 50300
        assert refused.value.error.data["gateway"]["reason"] == "upstream_unauthorized"


# --- how it is told what to do --------------------------------------------------------------------


@pytest.mark.parametrize("auth", ["a-token-of-some-length", "Bearer a-token-of-some-length"])
async def test_the_environment_of_existing_configurations_is_enough(auth: str) -> None:
    async with bridge("--stdio", SERVER, "--token", "a-token-of-some-length") as remote:
        env = {"MCP_SERVER_URL": f"{remote.url.removesuffix('/mcp')}/servers/default/sse", "MCP_AUTH": auth}
        async with connected("legacy", MCP_TOOL_CALL_TIMEOUT="0.5", **env) as (client, _):
            assert said(await client.call_tool("pid", {})).isdigit()
            with pytest.raises(MCPError) as late:
                await client.call_tool("hang", {})
            assert late.value.error.code == 50400


async def test_without_the_right_token_there_is_nothing_and_the_log_says_why() -> None:
    async with bridge("--stdio", SERVER, "--token", "a-token-of-some-length") as remote:
        done = await run("--url", remote.url, "--auth", "another-token-of-length", say=[HELLO, listing()])
    assert done.answers[1]["result"]["tools"] == []
    assert b"upstream_unauthorized" in done.errors
    assert b"another-token" not in done.errors


async def test_a_header_is_sent_with_every_request() -> None:
    async with bridge("--stdio", SERVER, "--header-to-env", "X-Who=WHO") as remote:
        flags = ["--url", remote.url, "--header", "X-Who: ${env:HOME} me"]
        async with connected("legacy", *flags) as (client, _):
            assert json.loads(said(await client.call_tool("env", {})))["WHO"] == "${env:HOME} me"


# --- how it ends ----------------------------------------------------------------------------------


class Done:
    """A wrapper that has ended."""

    def __init__(self, output: bytes, errors: bytes, status: int) -> None:
        self.answers = [json.loads(line) for line in output.splitlines()]
        self.errors = errors
        self.status = status


def listing() -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}


async def started(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(GATEWAY, "wrapper", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def run(*arguments: str, say: list[dict[str, Any]]) -> Done:
    """A wrapper whose stdin ends after some messages."""
    process = await started(*arguments)
    text = "".join(json.dumps(each) + "\n" for each in say).encode()
    async with asyncio.timeout(PATIENCE):
        output, errors = await process.communicate(text)
    assert process.returncode is not None
    return Done(output, errors, process.returncode)


async def test_stdout_holds_nothing_but_the_protocol_however_much_is_logged() -> None:
    async with bridge("--stdio", SERVER) as remote:
        done = await run("--url", remote.url, "--log-level", "debug", say=[HELLO, listing()])
    assert done.status == 0
    assert [each["id"] for each in done.answers] == [1, 2]
    assert b"upstream_ready" in done.errors


@pytest.mark.parametrize("how", ["eof", "sigterm"])
@pytest.mark.parametrize("remote_is", ["there", "silent"])
async def test_it_ends_at_once_and_leaves_nothing_behind(how: str, remote_is: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        if remote_is == "there":
            url = (await stack.enter_async_context(bridge("--stdio", SERVER))).url
        else:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        process = await started("--url", url, "--set", "upstreams.127-0-0-1.start_grace=0.1")
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(HELLO).encode() + b"\n")
        async with asyncio.timeout(PATIENCE):
            assert b"protocolVersion" in await process.stdout.readline()
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        if how == "eof":
            process.stdin.close()
        else:
            process.terminate()
        async with asyncio.timeout(15):
            assert await process.wait() == 0
        await gone(family)


async def test_it_ends_when_its_client_is_killed() -> None:
    """A client that dies says nothing: its end of stdin is closed for it."""
    starting = (
        "import subprocess, sys\n"
        "wrapper = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)\n"
        "print(wrapper.pid, flush=True)\n"
        "wrapper.wait()\n"
    )
    async with bridge("--stdio", SERVER) as remote:
        client = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", starting, GATEWAY, "wrapper", "--url", remote.url),
            stdout=asyncio.subprocess.PIPE,
        )
        assert client.stdout is not None
        async with asyncio.timeout(PATIENCE):
            started_it = psutil.Process(int(await client.stdout.readline()))
        client.kill()
        await client.wait()
        await gone([started_it])


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "Missing option '--url'"),
        (("--url", "stdio"), "expected http://host... or https://host..."),
        (("--url", "ftp://a"), "expected http://host... or https://host..."),
        (("--url", "http://a", "--header", "nothing"), "expected --header 'Name: value'"),
        (("--url", "http://a", "--header", "Host: b"), "set by the gateway itself"),
        (("--url", "http://a", "--timeout", "0"), "--timeout"),
    ],
)
async def test_a_wrong_command_line_is_said_on_stderr(arguments: tuple[str, ...], problem: str) -> None:
    done = await run(*arguments, say=[])
    assert done.status == 2
    assert problem in done.errors.decode()
    assert done.answers == []
    assert b"Traceback" not in done.errors


async def test_an_environment_made_for_a_whole_gateway_adds_nothing() -> None:
    async with bridge("--stdio", SERVER) as remote:
        more = {
            "PORTICO_UPSTREAMS__OTHER__COMMAND": f'["{sys.executable}"]',
            "PORTICO_REGISTRIES__R__USE": "no",
        }
        async with connected("legacy", "--url", remote.url, **more) as (client, _):
            assert len((await client.list_tools()).tools) == 4


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
async def test_it_ends_with_its_input_whatever_of_the_standard_streams_is_closed(closed: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", f'exec "$0" "$@" {closed}', GATEWAY, "wrapper", "--url", "http://127.0.0.1:9/mcp"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            output, errors = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    assert (process.returncode, output) == (0, b"")
    assert b"Traceback" not in errors
    assert b"Assertion" not in errors
