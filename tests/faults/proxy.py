"""A TCP proxy that does to connections what networks do, by a schedule that a seed decides."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Callable
from typing import Literal, Self

import attrs

Way = Literal["up", "down"]
"""`up` is towards the server, `down` back to the client."""
End = Literal["", "close", "reset", "half_close", "blackhole"]


@attrs.frozen
class Behaviour:
    """What happens to one direction of one connection. Delays are seconds, sizes bytes.

    Attributes:
        latency: Added to every piece.
        jitter: The most that is added besides, evenly distributed.
        rate: Bytes a second; 0 for as fast as it goes.
        slices: The most bytes passed on in one piece; 0 for as they come.
        corrupt_every: One byte in about so many is changed; 0 for none.
        end_after: After so many bytes the connection ends; None for never.
        end: How.
    """

    latency: float = 0.0
    jitter: float = 0.0
    rate: float = 0.0
    slices: int = 0
    corrupt_every: int = 0
    end_after: int | None = None
    end: End = ""


CALM = Behaviour()
Fault = Callable[[random.Random, Way], Behaviour]
"""Decides what happens to one direction of one connection, with the numbers it is given."""


@attrs.frozen
class Occurrence:
    """An entry of the event log: what the proxy did to which connection, at which byte."""

    connection: int
    way: Way
    what: str
    at: int


class FaultProxy:
    """Passes bytes between clients and one server, and does harm while a fault is set.

    The n-th connection under a fault is treated alike in every run with the same seed.

    Args:
        host: The server's host.
        port: The server's port.
    """

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.port = 0
        self.log: list[Occurrence] = []
        self.fault: Fault | None = None
        self._seed = ""
        self._numbers = 0
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.shut()
        await asyncio.gather(*[link.task for link in self._links], return_exceptions=True)

    async def open(self) -> None:
        """Listen, at the same port as before; nothing if it does."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    def shut(self) -> None:
        """Refuse connections, and reset those there are, as if nobody were there."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.drop()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._links)

    def set(self, fault: Fault, seed: str) -> None:
        """Begin to do harm, to connections that are open and to those to come."""
        self.fault, self._seed, self._numbers = fault, seed, 0
        for link in sorted(self._links, key=lambda each: each.serial):
            self._assign(link)

    def heal(self) -> None:
        """Stop. Connections that were harmed beyond use are reset, as their peers' timeouts would do."""
        self.fault = None
        for link in tuple(self._links):
            if link.harmed:
                link.reset()
            else:
                link.assign(0, CALM, CALM, random.Random(0), random.Random(0))

    def drop(self) -> None:
        """Reset every connection."""
        for link in tuple(self._links):
            link.reset()

    def _assign(self, link: _Link) -> None:
        assert self.fault is not None
        self._numbers += 1
        dice = {way: random.Random(f"{self._seed}:{self._numbers}:{way}") for way in ("up", "down")}
        link.assign(
            self._numbers,
            self.fault(dice["up"], "up"),
            self.fault(dice["down"], "down"),
            dice["up"],
            dice["down"],
        )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(self.log, reader, writer)
        self._links.add(link)
        if self.fault is not None:
            self._assign(link)
        try:
            await link.run(*self.target)
        finally:
            self._links.discard(link)


class _Link:
    """One connection of a client, and the one made for it to the server."""

    _serials = iter(range(1 << 60))

    def __init__(
        self, log: list[Occurrence], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.serial = next(self._serials)
        self.harmed = False
        task = asyncio.current_task()
        assert task is not None
        self.task = task
        self._log = log
        self._number = 0
        self._client = (reader, writer)
        self._writers = [writer]
        self._plans: dict[Way, _Plan] = {"up": _Plan(CALM), "down": _Plan(CALM)}

    def assign(
        self, number: int, up: Behaviour, down: Behaviour, up_dice: random.Random, down_dice: random.Random
    ) -> None:
        """Treat it like this from now on."""
        self._number = number
        self._plans = {"up": _Plan(up, up_dice), "down": _Plan(down, down_dice)}

    def _note(self, way: Way, what: str) -> None:
        self._log.append(Occurrence(self._number, way, what, self._plans[way].seen))

    async def run(self, host: str, port: int) -> None:
        """Pass bytes until both sides have ended, or it is cut."""
        try:
            reader, writer = await asyncio.open_connection(host, port)
        except OSError:
            self.reset()
            return
        self._writers.append(writer)
        pumps = [
            asyncio.create_task(self._pump("up", self._client[0], writer)),
            asyncio.create_task(self._pump("down", reader, self._client[1])),
        ]
        try:
            await asyncio.gather(*pumps)
        except OSError:
            self.reset()
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for each in self._writers:
                each.close()

    async def _pump(self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            while data:
                plan = self._plans[way]
                piece, data = plan.cut(data)
                if plan.over:
                    continue  # swallowed
                if wait := plan.wait(len(piece)):
                    await asyncio.sleep(wait)
                    if plan is not self._plans[way]:
                        data = piece + data
                        continue
                changed = plan.changed(piece)
                if changed != piece:
                    self._note(way, "corrupt")
                plan.seen += len(piece)
                writer.write(changed)
                await writer.drain()
                if plan.due:
                    self._finish(way, plan, writer)
        # A side that has ended says so to the other, unless it is not to hear any more.
        if not self._plans[way].over and not writer.is_closing():
            with contextlib.suppress(OSError):
                writer.write_eof()

    def _finish(self, way: Way, plan: _Plan, writer: asyncio.StreamWriter) -> None:
        plan.over = self.harmed = True
        self._note(way, plan.behaviour.end)
        if plan.behaviour.end == "reset":
            self.reset()
        elif plan.behaviour.end == "close":
            for each in self._writers:
                each.close()
        elif plan.behaviour.end == "half_close":
            with contextlib.suppress(OSError):
                writer.write_eof()
        # A black hole goes on taking bytes, and gives none.

    def reset(self) -> None:
        """End both connections with RST."""
        for each in self._writers:
            with contextlib.suppress(OSError):
                raw: socket.socket = each.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            each.transport.abort()


class _Plan:
    """A behaviour being carried out; `over` when it has ended the direction."""

    def __init__(self, behaviour: Behaviour, dice: random.Random | None = None) -> None:
        self.behaviour = behaviour
        self.seen = 0
        self.over = False
        self._dice = dice or random.Random(0)
        self._next = self._gap()

    def _gap(self) -> int:
        every = self.behaviour.corrupt_every
        return self._dice.randrange(2 * every) if every else -1

    @property
    def due(self) -> bool:
        """Whether the end has come."""
        after = self.behaviour.end_after
        return not self.over and after is not None and self.seen >= after

    def cut(self, data: bytes) -> tuple[bytes, bytes]:
        """What to pass on in one piece, and the rest."""
        size = len(data)
        if self.behaviour.slices:
            size = min(size, self._dice.randint(1, self.behaviour.slices))
        if self.behaviour.end_after is not None and not self.over:
            size = min(size, max(self.behaviour.end_after - self.seen, 1))
        if self.behaviour.rate:
            size = min(size, max(int(self.behaviour.rate / 20), 1))
        return data[:size], data[size:]

    def wait(self, size: int) -> float:
        """Seconds before a piece is passed on."""
        each = self.behaviour
        slow = size / each.rate if each.rate else 0.0
        return each.latency + (self._dice.random() * each.jitter if each.jitter else 0.0) + slow

    def changed(self, piece: bytes) -> bytes:
        """The piece with the bytes in it that are to be wrong."""
        if self._next < 0 or self.seen + len(piece) <= self._next:
            return piece
        out = bytearray(piece)
        while self._next < self.seen + len(piece):
            at = self._next - self.seen
            out[at] ^= 1 << self._dice.randrange(8)
            self._next += 1 + self._gap()
        return bytes(out)
