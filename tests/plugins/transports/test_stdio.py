"""The gateway as an MCP server on stdin and stdout, in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from portico.api import (
    LATEST_LEGACY,
    LATEST_MODERN,
)
from tests.plugins.transports.kit import HELLO, call, cancelled, legacy_call, modern
from tests.plugins.transports.web import PATIENCE, frame

ROOT = Path(__file__).parents[3]


# --- in a process of its own ----------------------------------------------------------------------


class Process:
    """A running gateway, by its pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    def say(self, *lines: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(b"".join(line + b"\n" for line in lines))

    async def hear(self) -> Any:
        assert self.process.stdout
        async with asyncio.timeout(PATIENCE):
            line = await self.process.stdout.readline()
        assert line.endswith(b"\n"), (line, await self.errors())
        return msgspec.json.decode(line)

    async def ask(self, line: bytes) -> Any:
        self.say(line)
        return await self.hear()

    async def errors(self) -> bytes:
        assert self.process.stderr
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                return await self.process.stderr.read()
        return b""

    async def end(self) -> int:
        """Close stdin; the exit status."""
        assert self.process.stdin
        self.process.stdin.close()
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()


@asynccontextmanager
async def gateway_process() -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.plugins.transports.stdio_server"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        limit=1 << 22,
    )
    try:
        assert process.stderr
        while (line := await process.stderr.readline()) != b"ready\n":
            assert line, "it ended at once"
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_both_eras_are_spoken_on_one_pipe_until_stdin_ends() -> None:
    async with gateway_process() as gateway:
        discovered = await gateway.ask(modern("d", "server/discover"))
        assert LATEST_MODERN in discovered["result"]["supportedVersions"]
        assert (await gateway.ask(call("7", "echo", {"n": 2**80})))["result"]["structuredContent"] == {
            "n": 2**80
        }
        assert (await gateway.ask(frame(0, "initialize", HELLO)))["result"][
            "protocolVersion"
        ] == LATEST_LEGACY
        gateway.say(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
        answer = await gateway.ask(legacy_call(7, "echo", {"a": 1}))
        assert (answer["id"], answer["result"]["structuredContent"]) == (7, {"a": 1})
        assert await gateway.end() == 0


async def test_bad_lines_are_answered_and_do_not_end_the_conversation() -> None:
    async with gateway_process() as gateway:
        gateway.say(b"", b"   ", b"\t")
        for line, code in (
            (b"hello", -32700),
            (b"\xff\xfe", -32700),
            (b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"n":' + b"9" * 5000 + b"}}", -32700),
            (b"[" * 99_000, -32700),
            (b'"' + b"x" * 300_000 + b'"', -32700),
            (b"[]", -32600),
            (b"{}", -32600),
        ):
            assert (await gateway.ask(line))["error"]["code"] == code, line[:40]
        gateway.say(cancelled([1]), cancelled({}), cancelled(None))
        assert "result" in await gateway.ask(modern(1, "tools/list"))


async def test_what_was_asked_before_stdin_ended_is_answered() -> None:
    async with gateway_process() as gateway:
        gateway.say(frame(0, "initialize", HELLO), call(1, "echo"), legacy_call(2, "echo"), call(3, "hang"))
        assert await gateway.end() == 0
        assert {(await gateway.hear())["id"] for _ in range(3)} == {0, 1, 2}


async def test_a_signal_ends_it_with_listen_streams_ended_first() -> None:
    async with gateway_process() as gateway:
        gateway.say(modern("l", "subscriptions/listen", {"notifications": {"toolsListChanged": True}}))
        assert (await gateway.hear())["method"] == "notifications/subscriptions/acknowledged"
        gateway.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            assert await gateway.process.wait() == 0
        assert (await gateway.hear())["result"]["resultType"] == "complete"


async def test_a_client_that_reads_no_more_ends_it() -> None:
    async with gateway_process() as gateway:
        transport: Any = gateway.process._transport  # type: ignore[attr-defined]
        transport.get_pipe_transport(1).close()
        gateway.say(modern(1, "tools/list"))
        async with asyncio.timeout(PATIENCE):
            await gateway.process.wait()


async def test_nothing_but_messages_is_on_stdout() -> None:
    async with gateway_process() as gateway:
        assert (await gateway.ask(call(1, "crash")))["error"]["code"] == -32603
        assert "result" in await gateway.ask(modern(2, "tools/list"))
        assert await gateway.end() == 0
        assert gateway.process.stdout
        assert await gateway.process.stdout.read() == b""
        assert b"call.fault" in await gateway.errors()
