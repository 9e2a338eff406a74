"""Gateways, as processes, that keep what is managed in a database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from tests.kernel.cli.conftest import Served, serving
from tests.plugins.registries.kept import TABLES
from tests.plugins.registries.test_sql import KINDS, SERVED, server_of

CONFIG = """
[registries.main]
use = "sql"
url = {}

[transports.streamable_http]

[transports.management_api]
"""


def gateway(stack: ExitStack, folder: Path, url: str, *args: str) -> Served:
    folder.mkdir()
    (folder / "gateway.toml").write_text(CONFIG.format(json.dumps(url)))
    return stack.enter_context(serving(folder, *args))


def api(served: Served) -> str:
    return served.url.removesuffix("/mcp") + "/api/v1/upstreams"


async def until(found: Callable[[], Awaitable[bool]], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not await found():
            await asyncio.sleep(0)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_one_gateway_is_told_every_other_knows(kind: str, tmp_path: Path) -> None:
    url = TABLES[kind](tmp_path)["url"]
    with ExitStack() as stack:
        one, other = (gateway(stack, tmp_path / name, url) for name in ("one", "other"))
        async with httpx2.AsyncClient() as client:
            for version, description in enumerate(("first", "second"), 1):
                body = {
                    "config": {"use": "mcp", "url": "http://127.0.0.1:9/mcp"},
                    "about": {"description": description, "enabled": False},
                }
                answer = await client.put(f"{api(one)}/far", json=body)
                assert answer.status_code in (200, 201), answer.text

                async def heard(version: int = version) -> bool:
                    answer = await client.get(f"{api(other)}/far")
                    return answer.status_code == 200 and answer.json()["version"] == version

                await until(heard)
        assert (one.stop(), other.stop()) == (0, 0)


@pytest.mark.parametrize("kind", SERVED)
async def test_a_gateway_starts_without_its_database_and_takes_up_what_is_there(
    kind: str, tmp_path: Path
) -> None:
    async with server_of(kind, tmp_path) as (server, table):
        with ExitStack() as stack:
            body = {"config": {"use": "mcp", "url": "http://127.0.0.1:9/mcp"}, "about": {"enabled": False}}
            async with httpx2.AsyncClient() as client:
                first = await asyncio.to_thread(gateway, stack, tmp_path / "first", table["url"])
                assert (await client.put(f"{api(first)}/far", json=body)).status_code == 201
                await server.stop()
                late = await asyncio.to_thread(gateway, stack, tmp_path / "late", table["url"])
                ready = (await client.get(late.url.removesuffix("/mcp") + "/readyz")).json()
                assert (ready["status"], ready["registry"]["state"]) == ("degraded", "down")
                assert (await client.put(f"{api(late)}/new", json=body)).status_code == 503
                assert (await client.get(f"{api(first)}/far")).status_code == 200
                await server.start()

                async def up() -> bool:
                    return (await client.get(f"{api(late)}/far")).status_code == 200

                await until(up)
                assert (await client.put(f"{api(late)}/new", json=body)).status_code == 201
            assert (first.stop(), late.stop()) == (0, 0)
            log = (tmp_path / "late" / "stderr").read_text()
    assert "registry.database" in log
    assert "s3cret" not in log
    assert "Traceback" not in log
