"""What passes between the supervisor and a worker process: messages on a socket pair, and listening sockets.

A message is a MessagePack map after its length in four bytes. In order:

* supervisor: `orders`, `node`, `folder`, `key`, `board` (an inherited descriptor), `slot`
* worker: `composed`, with what the supervisor needs of the settings; or `failed`, and it ends
* supervisor: `sockets`, whose descriptors come with it
* worker: `ready`, with what it serves; or `failed`
* from then on, supervisor: `status`, or `retire` or `stop`, and then `hurry`; worker: `status`
* and whenever there is something to say of upstreams, either: `finding`; supervisor: `crew` (see `rounds`)

The end of the connection is the end of whoever closed it: a worker without supervisor stops in good order.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from portico._core.contracts.json import Json

_HEAD: Final = struct.Struct(">I")
_MOST_SOCKETS: Final = 250
"""How many descriptors one message carries at most (Linux: 253)."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def packed(message: Json) -> bytes:
    """A message as it is sent."""
    body = _encode(message)
    return _HEAD.pack(len(body)) + body


async def receive(reader: asyncio.StreamReader) -> Json | None:
    """The next message; None at the end."""
    try:
        (length,) = _HEAD.unpack(await reader.readexactly(_HEAD.size))
        message: Json = _decode(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, OSError):
        return None
    return message


def send_sockets(link: socket.socket, sockets: Sequence[socket.socket]) -> None:
    """Hand listening sockets to a worker.

    Raises:
        OSError: The worker has gone.
    """
    socket.send_fds(link, [packed({"sockets": len(sockets)})], [each.fileno() for each in sockets])


def receive_now(link: socket.socket) -> tuple[Json, list[socket.socket]]:
    """The next message and the sockets that came with it, on a blocking connection.

    Raises:
        EOFError: The supervisor has gone.
    """
    fds: list[int] = []

    def exactly(size: int) -> bytes:
        held = bytearray()
        while len(held) < size:
            data, more, _, _ = socket.recv_fds(link, size - len(held), _MOST_SOCKETS)
            fds.extend(more)
            if not data:
                raise EOFError("the supervisor has gone")
            held += data
        return bytes(held)

    (length,) = _HEAD.unpack(exactly(_HEAD.size))
    message: Any = _decode(exactly(length))
    return message, [socket.socket(fileno=fd) for fd in fds]
