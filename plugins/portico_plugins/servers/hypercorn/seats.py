"""Who is connected: each connection has a seat, and there are only so many, in all and for one client."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import attrs

from portico_plugins.servers.hypercorn.fast import FastConnection
from portico_plugins.servers.hypercorn.service import Bounds

if TYPE_CHECKING:
    from portico_plugins.servers.hypercorn.connection import Connection


@attrs.define(eq=False)
class Seat:
    """The place of one accepted connection.

    Attributes:
        client: What it is counted by.
        connection: What serves it.
        task: What opens it, and serves it in the ordinary lane.
        accepted: Its socket, until the task has begun.
    """

    client: str
    connection: Connection | FastConnection | None = None
    task: asyncio.Task[None] | None = None
    accepted: socket.socket | None = None


class Seats:
    """The places of a server.

    Args:
        bounds: How many there are.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._taken: set[Seat] = set()
        self._clients: Counter[str] = Counter()
        self._freed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._taken)

    def refusal(self, client: str) -> str:
        """Why a client gets no seat: "total" or "per_ip"; "" if it gets one."""
        if len(self._taken) >= self._bounds.max_connections:
            return "total"
        return "per_ip" if client and self._clients[client] >= self._bounds.max_connections_per_ip else ""

    def take(self, client: str) -> Seat:
        """Give a client a seat."""
        self._clients[client] += 1
        seat = Seat(client)
        self._taken.add(seat)
        return seat

    def free(self, seat: Seat) -> None:
        """The connection has ended, and its calls have."""
        if seat not in self._taken:
            return
        self._taken.remove(seat)
        self._clients[seat.client] -= 1
        if not self._clients[seat.client]:
            del self._clients[seat.client]
        self._freed.set()

    def taken(self) -> tuple[Seat, ...]:
        """The seats taken now."""
        return tuple(self._taken)

    async def emptied(self) -> None:
        """Return when no seat is taken."""
        while self._taken:
            self._freed.clear()
            await self._freed.wait()


def peer(address: Any) -> str:
    """What connections are counted by: the IPv4 address or the IPv6 /64; "" for a Unix socket."""
    if not isinstance(address, tuple):
        return ""
    parsed = ip_address(address[0].partition("%")[0])
    if parsed.version == 6:
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped is not None else parsed.exploded[:19]
    return str(parsed)
