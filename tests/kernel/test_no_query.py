"""A database is never on the way of a call: what clients do costs no statement."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from portico.api import LATEST_LEGACY, Author, Change, Json, Management, Refused
from portico.testing import RunningGateway, running_gateway
from tests.kernel.test_roster import management, server, until, upstream
from tests.plugins.registries.kept import TABLES
from tests.plugins.upstreams.kit import serving
from tests.plugins.upstreams.scripted import result

ALICE = Author("alice", "api")
LISTS = ("tools/list", "prompts/list", "resources/list", "resources/templates/list")


async def quiet(mgmt: Management) -> None:
    """Return when the definitions that were seen for the first time have been written down."""
    async with asyncio.timeout(30):
        while not await mgmt.history("pins"):
            await asyncio.sleep(0.02)


@contextmanager
def statements() -> Iterator[list[str]]:
    """What any engine of this process executes meanwhile."""
    seen: list[str] = []

    def count(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", count)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", count)


class Legacy:
    """A client of the legacy era."""

    def __init__(self, gateway: RunningGateway) -> None:
        transport = httpx2.ASGITransport(app=gateway.gateway.app)
        self._http = httpx2.AsyncClient(transport=transport, base_url="http://localhost")

    async def begin(self) -> None:
        """Begin a session."""
        info: Json = {"name": "test", "version": "1"}
        params = {"protocolVersion": LATEST_LEGACY, "capabilities": {}, "clientInfo": info}
        answer = await self._post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
        assert "result" in answer.json()
        self._http.headers["Mcp-Session-Id"] = answer.headers["mcp-session-id"]
        self._http.headers["MCP-Protocol-Version"] = LATEST_LEGACY
        await self._post({"jsonrpc": "2.0", "method": "notifications/initialized"})

    async def request(self, method: str, params: Json | None = None) -> Json:
        said = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
        answer: Json = (await self._post(said)).json()
        return answer

    async def end(self) -> None:
        """End the session."""
        assert (await self._http.delete("/mcp")).status_code < 300
        await self._http.aclose()

    async def _post(self, body: Json) -> httpx2.Response:
        return await self._http.post(
            "/mcp", json=body, headers={"Accept": "application/json, text/event-stream"}
        )


async def everything(gateway: RunningGateway) -> None:
    """What clients of both eras do."""
    for _ in range(5):
        answer = await gateway.request("tools/call", {"name": "one", "arguments": {}})
        assert answer["content"][0]["text"] == "said"
        with pytest.raises(Refused):
            await gateway.request("tools/call", {"name": "nothing", "arguments": {}})
        for method in LISTS:
            await gateway.request(method)
        await gateway.request("server/discover")
        await gateway.request("prompts/get", {"name": "p"})
        legacy = Legacy(gateway)
        await legacy.begin()
        for method in LISTS:
            assert "result" in await legacy.request(method)
        assert "result" in await legacy.request("tools/call", {"name": "one", "arguments": {}})
        await legacy.end()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mariadb"])
async def test_calls_lists_and_sessions_cost_no_statement(kind: str, tmp_path: Path) -> None:
    table = TABLES[kind](tmp_path)
    # What looks for changes of others now and then would be counted, too.
    config = "\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items()) + "\npoll = 3600\n"
    config = f"[registries.main]\n{config}[transports.streamable_http]\nstream_after = 60.0\n"
    made = server("one")

    async def call(seen: Any) -> Any:
        return result(seen, {"resultType": "complete", "content": [{"type": "text", "text": "said"}]})

    made.on["tools/call"] = call
    async with serving(made) as url, running_gateway(config, base=tmp_path) as gateway:
        mgmt = management(gateway)
        with statements() as changing:
            await mgmt.change([upstream("a", url), Change("prompts", "p", {"template": "x"})], ALICE)
        assert any("records" in statement.lower() for statement in changing)
        await until(gateway, ["one"])
        await quiet(mgmt)
        # The gateway may still write down what it has seen, and look for news, by itself: then once more.
        passes: list[list[str]] = []
        while len(passes) < 10 and [] not in passes:
            with statements() as seen:
                await everything(gateway)
            passes.append(seen)
        assert [] in passes
