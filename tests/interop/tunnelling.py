"""Gateways and tunnels as processes, and what they say."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.interop.passing import GATEWAY, PATIENCE, SERVER
from tests.ports import free_port

SECRET = "current-0123456789abcdef0123456789"
NEXT = "next-0123456789abcdef0123456789ab"

CONFIG = """
[gateway]
listen = ["127.0.0.1:{port}"]
workers = {workers}
log_level = "debug"
log_format = "json"
drain_timeout = 5
{gateway}
[transports.streamable_http]

[transports.tunnel]
{transport}
[upstreams.lab]
use = "tunnel"
secrets = {secrets}
{upstream}
[servers.default]
upstreams = ["lab"]
prefix = "never"
{more}
"""


class Process:
    """A process whose log lines are kept, and can be waited for.

    Attributes:
        lines: The log's objects so far, and other lines as they came.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[Any] = []
        self._news = asyncio.Condition()
        self._over = False
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            async with self._news:
                try:
                    self.lines.append(json.loads(line))
                except ValueError:
                    self.lines.append({"event": "", "line": line.decode("utf-8", "replace")})
                self._news.notify_all()
        async with self._news:
            self._over = True
            self._news.notify_all()

    def events(self, event: str, **facts: Any) -> list[Any]:
        """The log's objects of an event with these facts."""
        return [
            each
            for each in self.lines
            if each.get("event") == event and all(each.get(name) == value for name, value in facts.items())
        ]

    async def until(self, event: str, count: int = 1, **facts: Any) -> Any:
        """Wait for an event to have come so many times; gives the last."""
        await self.when(lambda: len(self.events(event, **facts)) >= count, f"{count} {event} {facts}")
        return self.events(event, **facts)[-1]

    async def when(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition on `lines`."""
        try:
            async with asyncio.timeout(PATIENCE), self._news:
                await self._news.wait_for(lambda: self._over or condition())
        except TimeoutError:
            pass
        assert condition(), f"not seen: {what}\n{self.text}"

    @property
    def text(self) -> str:
        """Everything it has written."""
        return "\n".join(json.dumps(each) for each in self.lines)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Its exit status, once it has ended."""
        async with asyncio.timeout(PATIENCE):
            status = await self.process.wait()
            await self._reading
        return status

    async def close(self) -> None:
        """End it and all it started, whatever it does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        await self._reading


async def begun(*arguments: str, cwd: Path, env: dict[str, str]) -> Process:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PORTICO_", "MCP_"))}
    return Process(
        await asyncio.create_subprocess_exec(
            *(GATEWAY, *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            cwd=cwd,
            env=kept | env,
            start_new_session=True,
            limit=1 << 24,
        )
    )


@attrs.define
class Gateway:
    """A gateway with the tunnel upstream `lab`.

    Attributes:
        folder: Where its configuration is.
        port: Where it listens.
        process: It; another one after `restart`.
    """

    folder: Path
    port: int
    process: Process

    @property
    def url(self) -> str:
        """Its MCP endpoint."""
        return f"http://127.0.0.1:{self.port}/mcp"

    @property
    def entrance(self) -> str:
        """Where `lab` dials in."""
        return f"ws://127.0.0.1:{self.port}/tunnel/lab"

    def configure(self, **values: Any) -> None:
        """Write its configuration."""
        (self.folder / "gateway.toml").write_text(config_text(self.port, **values))

    async def restart(self) -> None:
        """Start it again."""
        self.process = await _gateway(self.folder)

    def client(self, mode: str, url: str = "", **options: Any) -> Any:
        """The SDK's client."""
        return connected(url or self.url, mode, **options)


def config_text(port: int, **values: Any) -> str:
    """The configuration of a gateway."""
    known = {"workers": 1, "secrets": [SECRET], "gateway": "", "transport": "", "upstream": "", "more": ""}
    values = known | values
    return CONFIG.format(port=port, **values | {"secrets": json.dumps(values["secrets"])})


async def _gateway(folder: Path) -> Process:
    process = await begun("serve", "--config", "gateway.toml", "--quiet", cwd=folder, env={})
    await process.until("gateway.ready")
    return process


@asynccontextmanager
async def gateway(folder: Path, port: int = 0, **values: Any) -> AsyncIterator[Gateway]:
    """A gateway that serves."""
    port = port or free_port()
    (folder / "gateway.toml").write_text(config_text(port, **values))
    made = Gateway(folder, port, await _gateway(folder))
    try:
        yield made
    finally:
        await made.process.close()


@asynccontextmanager
async def tunnel(
    url: str, *arguments: str, folder: Path, secret: str = SECRET, wait: bool = True, **env: str
) -> AsyncIterator[Process]:
    """`gateway tunnel`, from when it is connected; by default with the server of `passing_server`."""
    offered = arguments or ("--stdio", SERVER)
    secrets = () if "--secret-file" in arguments else ("--secret-env", "LAB_SECRET")
    process = await begun(
        *("tunnel", "--connect", url, "--json", "--log-level", "debug", *secrets, *offered),
        cwd=folder,
        env={"LAB_SECRET": secret, **env},
    )
    try:
        if wait:
            await process.until("tunnel_connected")
        yield process
    finally:
        await process.close()


@asynccontextmanager
async def connected(url: str, mode: str, token: str = "", **options: Any) -> AsyncIterator[Client]:
    """The SDK's client over HTTP."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with (
        httpx2.AsyncClient(timeout=PATIENCE, headers=headers) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode, **options) as client,
    ):
        yield client
