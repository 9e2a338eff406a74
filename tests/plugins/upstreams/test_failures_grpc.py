"""The failure table for gRPC: what connections do is played by a relay, what servers do by the server."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import types
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from portico.api import UPSTREAM_BAD_RESPONSE, UPSTREAM_TIMEOUT, UPSTREAM_UNAVAILABLE, Json, Refused
from portico.testing import RunningGateway, running_gateway
from tests.plugins.upstreams import misbehaving
from tests.plugins.upstreams.grpc_kit import SERVICES, Shop, grpc_server, reflection, shop, shop_handlers
from tests.plugins.upstreams.misbehaving import Server, http_api

BAD, LATE, AWAY = UPSTREAM_BAD_RESPONSE, UPSTREAM_TIMEOUT, UPSTREAM_UNAVAILABLE
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""The frame a server of HTTP/2 begins with."""
GOAWAY = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + b"\x00\x00\x00\x00" + b"\x00\x00\x00\x0b"
FRAME_TOO_LARGE = b"\xff\xff\xff\x00\x00\x00\x00\x00\x01"


@attrs.define(eq=False)
class Relay:
    """Passes on what comes to a port, until it is told to do something else.

    Attributes:
        to: The port behind it.
        says: What it says in place of passing on; None for passing on.
        after: How many bytes of an answer to pass on before the connection is cut; None for all.
        goes: Nothing is passed on, or said, while this is not set.
        port: Its own port.
        tasks: What serves its connections.
        accepted: How many connections were made to it.
    """

    to: int
    says: bytes | None = None
    after: int | None = None
    port: int = 0
    tasks: set[asyncio.Task[Any]] = attrs.field(factory=set)
    accepted: int = 0
    goes: asyncio.Event = attrs.field(factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = attrs.field(factory=set)

    def __attrs_post_init__(self) -> None:
        self.goes.set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Close every connection."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self.goes.set()
        self.cut()
        if self.tasks:
            await asyncio.wait(tuple(self.tasks))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        self.accepted += 1
        self._writers.add(writer)
        behind: asyncio.StreamWriter | None = None
        try:
            await self.goes.wait()
            if self.says is not None:
                writer.write(self.says)
                await reader.read(-1) if self.says in (b"", SETTINGS) else await reader.read(1)
            else:
                there, behind = await asyncio.open_connection("127.0.0.1", self.to)
                self._writers.add(behind)
                await asyncio.gather(self._pass(reader, behind, None), self._pass(there, writer, self.after))
        except OSError:
            pass
        finally:
            for each in (writer, behind):
                if each is not None:
                    self._writers.discard(each)
                    each.close()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int | None
    ) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if most is not None and passed + len(data) > most:
                    writer.write(data[: most - passed])
                    await writer.drain()
                    self.cut()
                    return
                passed += len(data)
                writer.write(data)
                await writer.drain()
        writer.close()


FINE = '[upstreams.fine]\nuse = "rest"\nbase_url = "{}"\ntools = {{ fine = {{ path = "/fine" }} }}\n'


@attrs.define(eq=False)
class World:
    gateway: RunningGateway
    relay: Relay
    shop: Shop

    async def refused(self, name: str, arguments: Json) -> Refused:
        names = await self.gateway.names()
        call = asyncio.create_task(self.gateway.call(name, arguments))
        await self.well()
        with pytest.raises(Refused) as caught:
            async with asyncio.timeout(90):
                await call
        await self.well()
        assert await self.gateway.names() == names
        return caught.value

    async def refused_anew(self, name: str, arguments: Json) -> Refused:
        """How a call fails over a connection made after this: one just cut may still seem to be open."""
        before = self.relay.accepted
        while True:
            anew = self.relay.accepted > before  # and not by somebody else while this call was under way
            refused = await self.refused(name, arguments)
            if anew:
                return refused

    async def well(self) -> None:
        assert (await self.gateway.call("fine"))["structuredContent"] == {"ok": True}

    async def works(self) -> None:
        """Wait until the server's calls succeed: on a busy machine even a good one may come too late."""
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(Refused):
                    if not (await self.gateway.call("Orders_Get", {"id": "7"})).get("isError"):
                        return


@contextlib.asynccontextmanager
async def world(folder: Path, **config: float) -> AsyncIterator[World]:
    seen = Shop()
    config = {"call_timeout": 60.0, "connect_timeout": 30.0} | config
    fine = Server(http_api, lambda _: False)
    async with (
        grpc_server([*shop_handlers(seen), *reflection(SERVICES, shop())]) as port,
        misbehaving.serving(fine),
    ):
        relay = Relay(port)
        await relay.start()
        said = [
            f'[upstreams.bad]\nuse = "grpc"\nurl = "grpc://127.0.0.1:{relay.port}"',
            "max_message_bytes = 65536",
            *(f"{name} = {value}" for name, value in config.items()),
            FINE.format(fine.origin),
        ]
        try:
            async with running_gateway("\n".join(said), base=folder) as gateway:
                yield World(gateway, relay, seen)
        finally:
            await relay.stop()


def ours() -> collections.Counter[str]:
    """The gateway's tasks, by what they do: the gRPC server of this process has some, too."""
    found = [task.get_coro() for task in asyncio.all_tasks()]
    return collections.Counter(
        one.__qualname__
        for one in found
        if isinstance(one, types.CoroutineType) and "portico" in one.cr_code.co_filename
        if one.__qualname__ != "Link.lost"  # watches the connection, from a second after it was made
    )


def judged(refused: Refused, code: int, reasons: set[str], at: World) -> None:
    about = refused.data["gateway"]
    assert refused.code == code, refused.data
    assert about["reason"] in reasons
    assert about["upstream"] == "bad"
    assert about["request_id"]
    said = json.dumps(refused.data) + refused.message
    for secret in ("127.0.0.1", str(at.relay.port), str(at.relay.to), "canary", "ipv4:"):
        assert secret not in said


CONNECTIONS: dict[str, tuple[Callable[[Relay], None], int, set[str]]] = {
    "silence": (lambda relay: setattr(relay, "says", b""), AWAY, {"connect_timeout"}),
    "HTTP/2 without an answer": (lambda relay: setattr(relay, "says", SETTINGS), LATE, {"call_timeout"}),
    "a web page": (
        lambda relay: setattr(relay, "says", b"HTTP/1.1 200 OK\r\n\r\n<html>canary"),
        AWAY,
        {"not_grpc", "connection_lost"},  # as gRPC comes to read the answer or the end first
    ),
    "something else": (
        lambda relay: setattr(relay, "says", b"220 mail.test ESMTP canary\r\n"),
        AWAY,
        {"not_grpc"},
    ),
    "a farewell": (
        lambda relay: setattr(relay, "says", SETTINGS + GOAWAY),
        AWAY,
        {"connection_lost", "connection_refused"},
    ),
    "a frame too large": (
        lambda relay: setattr(relay, "says", SETTINGS + FRAME_TOO_LARGE),
        AWAY,
        {"connection_lost", "connection_refused"},
    ),
    "a cut in the handshake": (
        lambda relay: setattr(relay, "after", 5),
        AWAY,
        {"connection_lost", "connection_refused"},
    ),
}


@pytest.mark.parametrize("row", CONNECTIONS)
async def test_a_connection_that_fails_fails_calls_over_it_only(row: str, tmp_path: Path) -> None:
    change, code, reasons = CONNECTIONS[row]
    soon = {LATE: {"call_timeout": 1.0}, AWAY: {"connect_timeout": 1.0} if row == "silence" else {}}[code]
    async with world(tmp_path, **soon) as at:
        await at.works()
        change(at.relay)
        at.relay.cut()
        judged(await at.refused_anew("Orders_Get", {"id": "7"}), code, reasons, at)
        at.relay.says = at.relay.after = None
        at.relay.cut()
        await at.works()


async def test_a_server_that_takes_its_time_to_greet_is_waited_for(tmp_path: Path) -> None:
    async with world(tmp_path) as at:
        await at.works()
        at.relay.goes.clear()
        at.relay.cut()
        before = at.relay.accepted
        works = asyncio.create_task(at.works())
        async with asyncio.timeout(60):
            while at.relay.accepted == before:
                await asyncio.sleep(0.01)
        await asyncio.wait({works}, timeout=1)  # longer than gRPC waits by itself before it tries again
        assert at.relay.accepted == before + 1
        at.relay.goes.set()
        await works


async def test_a_server_that_is_gone_is_missed_only_where_it_was(tmp_path: Path) -> None:
    async with world(tmp_path) as at:
        await at.works()
        await at.relay.stop()
        judged(
            await at.refused("Orders_Get", {"id": "7"}), AWAY, {"connection_refused", "connection_lost"}, at
        )
        await at.relay.start()
        await at.works()


@pytest.mark.parametrize(
    ("name", "arguments", "code", "reason"),
    [
        ("Orders_Large", {"n": 10_000_000}, BAD, "message_too_large"),
        ("Orders_Garbled", {"id": "x"}, BAD, "malformed_message"),
        ("Orders_Slow", {}, LATE, "call_timeout"),
        ("Orders_Fail", {"id": "UNAVAILABLE"}, AWAY, "upstream_unavailable"),
        ("Orders_Fail", {"id": "UNAUTHENTICATED"}, AWAY, "upstream_unauthorized"),
    ],
)
async def test_an_answer_of_no_use_fails_its_own_call_only(
    name: str, arguments: Json, code: int, reason: str, tmp_path: Path
) -> None:
    async with world(tmp_path, **({"call_timeout": 1.0} if code == LATE else {})) as at:
        await at.works()
        before = ours()
        judged(await at.refused(name, arguments), code, {reason}, at)
        if name == "Orders_Slow":
            await asyncio.wait_for(at.shop.ended.wait(), 60)
        await at.works()
        async with asyncio.timeout(60):
            while ours() - before:
                await asyncio.sleep(0)
