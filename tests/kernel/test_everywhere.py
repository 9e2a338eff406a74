"""One registry, two workers of one gateway and a second gateway: a change is everywhere, and harms nobody."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from portico.api import INVALID_PARAMS, Json
from tests.kernel.staff import PATIENCE, Staff, staff
from tests.plugins.upstreams.kit import serving
from tests.plugins.upstreams.scripted import Scripted, result

if sys.platform != "linux":
    pytest.skip("which worker has a connection is read from /proc", allow_module_level=True)

from bench.registry.line import Line, one_to_each

ECHO = "/overrides/a%2Ftools%2Fone"


def server(*names: str) -> Scripted:
    made = Scripted()
    made.tools = [{"name": name, "inputSchema": {"type": "object"}} for name in names]
    return made


class Ear:
    """A client of one worker that listens for changed lists."""

    def __init__(self, line: Line, path: str) -> None:
        self.heard: list[str] = []
        self._line = line
        self._path = path
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Condition()

    async def listen(self) -> None:
        self._task = asyncio.create_task(self._read())
        await self.until("notifications/subscriptions/acknowledged")
        self.heard.clear()

    async def _read(self) -> None:
        wanted = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}
        async for text in self._line.stream("subscriptions/listen", self._path, notifications=wanted):
            async with self._news:
                self.heard.append(json.loads(text)["method"])
                self._news.notify_all()

    async def until(self, method: str) -> None:
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: method in self.heard)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._line.close()


@attrs.frozen
class Everywhere:
    """What serves.

    Attributes:
        desk: The way to the management API of one worker.
        lines: A connection to each worker of each gateway.
        gateways: The gateways.
        stack: Ends what a test adds.
    """

    desk: Line
    lines: list[Line]
    gateways: list[Staff]
    stack: AsyncExitStack

    async def more(self) -> list[Line]:
        """Another connection to each."""
        found = [line for each in self.gateways for line in await one_to_each(each.address[1], each.pids())]
        for line in found:
            self.stack.callback(line.close)
        return found

    async def put(self, path: str, config: Json, about: Json | None = None) -> None:
        await self.desk.manage("PUT", path, {"config": config, **({"about": about} if about else {})})

    async def until(self, seen: Callable[[Line], Awaitable[bool]]) -> float:
        """Wait until it is so everywhere; gives the seconds that took."""

        async def waiting(line: Line) -> None:
            while not await seen(line):
                await asyncio.sleep(0)

        began = time.monotonic()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*map(waiting, self.lines))
        return time.monotonic() - began


@asynccontextmanager
async def everywhere(folder: Path) -> AsyncIterator[Everywhere]:
    async with AsyncExitStack() as stack:
        gateways = []
        for name, workers in (("first", 2), ("second", 1)):
            place = folder / name
            place.mkdir()
            text = (
                f'[gateway]\nworkers = {workers}\nlisten = ["127.0.0.1:0"]\nlog_format = "json"\n'
                f'state = "{place}"\nencryption_keys = {{ k = "{"k" * 32}" }}\n'
                f'[registries.main]\nuse = "sql"\nurl = "sqlite:///{folder}/main.db"\n'
                "[transports.management_api]\n[transports.streamable_http]\nstream_after = 60.0\n"
            )
            gateways.append(stack.enter_context(staff(place, text)))
        lines: list[Line] = []
        made = Everywhere(Line(gateways[0].address[1]), lines, gateways, stack)
        await made.desk.open()
        stack.callback(made.desk.close)
        lines += await made.more()
        assert len(lines) == 3
        yield made


def lists(*names: str, path: str = "/mcp") -> Callable[[Line], Awaitable[bool]]:
    async def seen(line: Line) -> bool:
        answer = json.loads(await line.rpc("tools/list", path))
        return [tool["name"] for tool in answer.get("result", {}).get("tools", ())] == list(names)

    return seen


def says(text: str) -> Callable[[Line], Awaitable[bool]]:
    async def seen(line: Line) -> bool:
        return text.encode() in await line.rpc("tools/list")

    return seen


async def test_every_worker_and_replica_shows_a_change_within_a_second(tmp_path: Path) -> None:
    async with serving(server("one")) as url, everywhere(tmp_path) as site:
        await site.put("/upstreams/a", {"use": "mcp", "url": f"{url}/mcp"})
        took = [await site.until(lists("one"))]
        for number in range(6):
            text = f"edition {number}."
            await site.put(ECHO, {"description": text})
            took.append(await site.until(says(text)))
        await site.desk.manage("DELETE", "/upstreams/a")
        took.append(await site.until(lists()))
        assert min(took) < 1.0  # any of the others may meet a machine that is busy with something else


async def test_calls_that_run_at_a_change_end_well_at_every_worker(tmp_path: Path) -> None:
    let_go, begun = asyncio.Event(), asyncio.Semaphore(0)
    held = server("one")

    async def call(seen: Any) -> Any:
        begun.release()
        await let_go.wait()
        return result(seen, {"resultType": "complete", "content": [{"type": "text", "text": "held"}]})

    held.on["tools/call"] = call
    async with serving(held) as url, serving(server("two")) as other, everywhere(tmp_path) as site:
        await site.put("/upstreams/a", {"use": "mcp", "url": f"{url}/mcp"})
        await site.until(lists("one"))
        running = [
            asyncio.create_task(line.rpc("tools/call", name="one", arguments={}))
            for line in await site.more()
        ]
        async with asyncio.timeout(PATIENCE):
            for _ in running:
                await begun.acquire()
        await site.put("/upstreams/a", {"use": "mcp", "url": f"{other}/mcp"})
        await site.until(lists("two"))
        await site.desk.manage("DELETE", "/upstreams/a")
        await site.until(lists())
        for line in site.lines:
            refused = json.loads(await line.rpc("tools/call", name="one", arguments={}))
            assert refused["error"]["code"] == INVALID_PARAMS
        assert not any(each.done() for each in running)
        let_go.set()
        for answer in await asyncio.gather(*running):
            assert json.loads(answer)["result"]["content"][0]["text"] == "held"


async def test_clients_of_every_worker_hear_of_what_they_see_and_of_nothing_else(tmp_path: Path) -> None:
    async with serving(server("one")) as url, serving(server("two")) as other, everywhere(tmp_path) as site:
        a: Json = {"use": "mcp", "url": f"{url}/mcp"}
        await site.put("/upstreams/a", a)
        await site.put("/upstreams/b", {"use": "mcp", "url": f"{other}/mcp"})
        await site.put("/servers/narrow", {"upstreams": ["b"]})
        await site.until(lists("one", "two"))
        await site.until(lists("two", path="/servers/narrow/mcp"))
        wide = [Ear(line, "/mcp") for line in await site.more()]
        narrow = [Ear(line, "/servers/narrow/mcp") for line in await site.more()]
        for ear in (*wide, *narrow):
            site.stack.push_async_callback(ear.close)
            await ear.listen()
        # Said of the record, and seen by no client.
        await site.put("/upstreams/a", a, {"description": "for people", "tags": ["x"]})
        await site.put(ECHO, {})
        await site.put(ECHO, {"description": "another"})
        await site.until(says("another"))
        for ear in wide:
            await ear.until("notifications/tools/list_changed")
        await site.put("/overrides/b%2Ftools%2Ftwo", {"description": "a third"})
        for ear in narrow:
            await ear.until("notifications/tools/list_changed")
        await site.until(says("a third"))
        assert [ear.heard for ear in narrow] == [["notifications/tools/list_changed"]] * 3
        assert [ear.heard for ear in wide] == [["notifications/tools/list_changed"] * 2] * 3


async def test_whoever_was_told_that_a_change_is_made_finds_it_at_every_other_worker(tmp_path: Path) -> None:
    async with everywhere(tmp_path) as site:
        for number in range(4):
            name = f"u{number}"
            told, *others = site.lines[number % 3 :] + site.lines[: number % 3]
            body = {"name": name, "config": {"use": "mcp", "url": "http://127.0.0.1:9/mcp"}}
            await told.manage("POST", "/upstreams", body)
            for other in others:
                await other.manage("GET", f"/upstreams/{name}")
                await other.manage("POST", f"/upstreams/{name}/disable")
                await told.manage("POST", f"/upstreams/{name}/enable")
            server = {"name": name, "config": {"upstreams": [name]}}
            await others[-1].manage("POST", "/servers", server)
            await told.manage("DELETE", f"/servers/{name}")
            await others[0].manage("DELETE", f"/upstreams/{name}")
