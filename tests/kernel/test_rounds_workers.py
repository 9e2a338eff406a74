"""Real workers and a real upstream that is killed and comes back: who probes it, and who knows of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from portico.api import Json, Refused
from portico.testing import running_gateway
from tests.kernel.staff import PATIENCE, Staff, kill, staff
from tests.plugins.upstreams.kit import serving
from tests.plugins.upstreams.scripted import Scripted

EVERY = "[gateway]\nworkers = 3\nlisten = ['127.0.0.1:0']\nlog_format = 'json'\nhealth_interval = 0.1\n"


class Counted(Scripted):
    """A server that remembers over which connection it was asked something."""

    def __init__(self) -> None:
        super().__init__()
        self.ports: dict[str, list[int]] = {"server/discover": [], "tools/list": []}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def noting() -> Any:
            message = await receive()
            method = json.loads(message.get("body") or b"{}").get("method")
            if method in self.ports:
                self.ports[method].append(scope["client"][1])
            return message

        await super().__call__(scope, noting, send)

    async def asked(self, method: str, times: int) -> list[int]:
        """The connections of so many requests from now on."""
        ports = self.ports[method]
        begin = len(ports)
        await self.until(lambda: len(ports) > begin + times, PATIENCE)
        return ports[begin : begin + times]

    async def probed(self, times: int) -> list[int]:
        """The connections of so many probes from now on."""
        return await self.asked("server/discover", times)


@asynccontextmanager
async def gateway(folder: Path, url: str, name: str, more: str = "") -> AsyncIterator[Staff]:
    """Three workers with one upstream."""
    text = f"{EVERY}[upstreams.{name}]\nuse = 'mcp'\nurl = '{url}/mcp'\nprotocol = 'modern'\n{more}"
    context = staff(folder, text)
    running = await asyncio.to_thread(context.__enter__)
    try:
        yield running
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)


def found(status: Json, name: str) -> list[tuple[str, str, float]]:
    """What each worker says of an upstream."""
    loads = [each["load"]["upstreams"][name] for each in status["workers"] if each["load"]]
    return [(each["state"], each["reason"], each["since"]) for each in loads]


def agreed(status: Json, name: str, state: str) -> bool:
    """Whether three workers say the very same of an upstream, and this."""
    said = found(status, name)
    return len(said) == 3 and len(set(said)) == 1 and said[0][0] == state


def owner_of(port: int, pids: list[int]) -> int:
    """The process that has this end of a TCP connection."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{row[9]}]" for row in rows if int(row[1].partition(":")[2], 16) == port}
    for pid in pids:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if str(fd.readlink()) in inodes:
                    return pid
            except OSError:
                continue
    raise AssertionError(f"nobody has port {port}")


async def test_of_three_workers_one_probes_and_another_when_it_dies(tmp_path: Path) -> None:
    app = Counted()
    async with serving(app) as url, gateway(tmp_path, url, "a") as it:
        await it.until(lambda status: agreed(status, "a", "ready"))
        await app.probed(3)
        (port,) = set(await app.probed(12))
        owner = owner_of(port, await asyncio.to_thread(it.pids))
        kill(owner)
        await it.until(lambda status: status["replaced"] == 1 and agreed(status, "a", "ready"))
        await app.probed(3)
        (after,) = set(await app.probed(12))
        assert owner_of(after, await asyncio.to_thread(it.pids)) != owner


async def test_of_three_workers_one_asks_for_lists_in_time_and_the_others_when_they_have_changed(
    tmp_path: Path,
) -> None:
    app = Counted()
    async with serving(app) as url, gateway(tmp_path, url, "a", "refresh_seconds = 0.1\n") as it:
        await it.until(lambda status: agreed(status, "a", "ready"))
        pids = await asyncio.to_thread(it.pids)

        async def asking(times: int) -> set[int]:
            return {owner_of(port, pids) for port in set(await app.asked("tools/list", times))}

        await app.asked("tools/list", 6)
        (owner,) = await asking(12)
        app.tools.append({"name": "later", "inputSchema": {"type": "object"}})
        begin = len(app.ports["tools/list"])
        async with asyncio.timeout(PATIENCE):
            while {owner_of(port, pids) for port in set(app.ports["tools/list"][begin:])} != set(pids):
                await app.asked("tools/list", 1)
        await app.asked("tools/list", 3)
        assert await asking(12) == {owner}


async def test_every_worker_says_the_same_of_an_upstream_that_goes_and_comes_back(
    tmp_path: Path,
) -> None:
    app = Counted()
    async with serving(app) as url:
        port = int(url.rpartition(":")[2])
        context = gateway(tmp_path, url, "a")
        it = await context.__aenter__()
        await it.until(lambda status: agreed(status, "a", "ready"))
    try:
        status = await it.until(lambda status: agreed(status, "a", "unavailable"))
        ((_, reason, since),) = set(found(status, "a"))
        assert reason == "connection_refused"
        app.tools.append({"name": "later", "inputSchema": {"type": "object"}})
        async with serving(app, port):
            status = await it.until(lambda status: agreed(status, "a", "ready"))
            assert found(status, "a")[0][2] > since
            # All of them have fetched the lists again, not just the one that found it back.
            await app.until(lambda: len(app.of("tools/list")) >= 6, PATIENCE)
    finally:
        await context.__aexit__(None, None, None)


async def test_an_upstream_that_dies_is_found_out_listed_on_and_found_back_by_a_call(tmp_path: Path) -> None:
    app = Counted()
    async with serving(app) as url:
        port = int(url.rpartition(":")[2])
        text = (
            "[gateway]\nhealth_interval = 0.05\n"
            f"[upstreams.a]\nuse = 'mcp'\nurl = '{url}/mcp'\nprotocol = 'modern'\n"
        )
        context = running_gateway(text, base=tmp_path)
        gw = await context.__aenter__()
        await app.probed(3)
    try:
        plane = gw.gateway.plane

        async def until(state: str) -> None:
            async with asyncio.timeout(PATIENCE):
                while plane.status()["a"]["state"] != state:
                    await asyncio.sleep(0)

        await until("unavailable")
        assert "upstream.away" in gw.log.events
        assert await gw.names() == ["t"]
        with pytest.raises(Refused) as caught:
            await gw.call("t")
        assert (caught.value.code, caught.value.data["gateway"]["reason"]) == (50300, "connection_refused")
        async with serving(app, port):
            await until("ready")
            assert (await gw.call("t"))["content"][0]["text"] == "called"
    finally:
        await context.__aexit__(None, None, None)
