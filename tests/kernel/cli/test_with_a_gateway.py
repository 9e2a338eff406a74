"""The commands against the management API of a real gateway, with a client that sees what they do."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import socket
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import Result

from portico._config.discovery import GROUP, discover
from portico._config.settings import Document, Settings, load
from portico._host.ending import Ending
from portico._host.serve import serve
from tests.kernel import kept
from tests.plugins.upstreams.kit import serving
from tests.plugins.upstreams.scripted import Scripted

Cli = Callable[..., Result]
CONFIG = """
[registries.main]
use = "kept"
shelf = "{}"
[transports.api]
use = "management_api"
[transports.http]
use = "streamable_http"
"""


def settings(shelf: str) -> Settings:
    points = list(importlib.metadata.entry_points(group=GROUP))
    points.append(importlib.metadata.EntryPoint("kept", kept.__name__, GROUP))
    if not any(point.name == "management_api" for point in points):  # an older installation beside
        module = "portico_plugins.transports.management_api"
        points.append(importlib.metadata.EntryPoint("management_api", module, GROUP))
    document = Document(tomllib.loads(CONFIG.format(shelf)), "test")
    return load(document, discover(entry_points=points))


@asynccontextmanager
async def gateway(shelf: str) -> AsyncIterator[str]:
    """Serve on a free port; gives the URL."""
    sock = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    ready, ending = asyncio.Event(), Ending()
    serves = asyncio.create_task(serve(settings(shelf), [sock], ending, lambda _: ready.set()))
    waits = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait((serves, waits), return_when=asyncio.FIRST_COMPLETED)
        if serves.done():
            serves.result()
        yield url
    finally:
        waits.cancel()
        ending.stop.set()
        await serves


def upstream() -> Scripted:
    made = Scripted()
    made.tools = [{"name": "find", "inputSchema": {"type": "object"}}]
    return made


async def test_what_the_commands_do_is_what_clients_see(
    cli: Cli, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCS_KEY", "hush hush hush")
    async with serving(upstream()) as docs, gateway(str(request.node.name)) as url:

        async def run(*args: str, fails: bool = False) -> str:
            flag = "--url" if args == ("tools",) else "--gateway"
            result = await asyncio.to_thread(cli, *args, flag, url)
            assert (result.exit_code != 0) == fails, result.output
            return result.output

        assert "find" in await run("upstreams", "test", "--url", f"{docs}/mcp")
        assert "created" in await run("upstreams", "add", "docs", "--url", f"{docs}/mcp", "--tag", "a")
        async with asyncio.timeout(15):
            while "find" not in await run("tools"):
                await asyncio.sleep(0)
        assert "refreshed: ready" in await run("upstreams", "refresh", "docs")
        assert "created" in await run("servers", "add", "people", "--set", 'upstreams=["docs"]')
        wrong = await run("servers", "edit", "people", "--set", 'upstreams=["dosc"]', fails=True)
        assert "no upstream 'dosc' is configured" in wrong
        assert "changed" in await run(
            "servers", "edit", "people", "--set", "prefix=always", "--if-version", "1"
        )
        await run("servers", "edit", "people", "--set", "prefix=never", "--if-version", "1", fails=True)
        await run("tools", "edit", "docs/find", "--description", "Finds.", "--default", "limit=1")
        assert 'description = "Finds."' in await run("tools", "show", "docs/find")
        await run("secrets", "set", "docs-key", "--from-env", "DOCS_KEY")
        assert "hush" not in await run("secrets", "list")
        await run("upstreams", "edit", "docs", "--set", "headers.X-Key=${secret:docs-key}")
        exported = await run("export", "-o", "backup.toml")
        assert "Wrote 3 records" in exported
        await run("servers", "rm", "people")
        await run("upstreams", "disable", "docs")
        assert "disabled" in await run("upstreams", "list")
        report = await run("import", "backup.toml", "--on-conflict", "overwrite")
        assert "3 items: 2 overwritten, 1 created; 0 notes" in report
        assert json.loads(await run("upstreams", "show", "docs", "--json"))["about"]["tags"] == ["a"]
        text = Path("backup.toml").read_text()
        assert '"${env:DOCS_KEY}"' in text
        assert "hush" not in text
