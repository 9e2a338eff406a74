"""A gateway that is dialled in to, and a dialler that says whatever a test has it say."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import attrs
import msgspec

from portico.api import Secret
from portico.testing import RecordingLog
from portico_plugins.tunnel import proof
from portico_plugins.tunnel.frames import PROTOCOL
from tests.plugins.transports.listening import listening
from tests.plugins.transports.web import PATIENCE, Web, gateway

SECRET = "current-0123456789abcdef0123456789"
NEXT = "next-0123456789abcdef0123456789ab"

LAB = """
[transports.tunnel]
{transport}
[upstreams.lab]
use = "tunnel"
secrets = ["current-0123456789abcdef0123456789", "next-0123456789abcdef0123456789ab"]
{upstream}
"""


@attrs.define
class Answered:
    """What became of a handshake.

    Attributes:
        socket: The connection.
        said: The gateway's claims; None when it has closed.
        code: What with.
    """

    socket: aiohttp.ClientWebSocketResponse
    said: proof.Gateway | None
    code: int | None


@attrs.define
class Served:
    """The gateway, listening."""

    web: Web
    client: aiohttp.ClientSession
    base: str
    log: RecordingLog

    def connect(self, name: str = "lab", **options: Any) -> Any:
        """Open a WebSocket."""
        url = f"{self.base}/tunnel/{name}"
        return self.client.ws_connect(url, **{"protocols": (PROTOCOL,), **options})

    async def dial(
        self, secret: str = SECRET, name: str = "lab", *, claimed: str | None = None, **said: Any
    ) -> Answered:
        """Connect and prove it.

        Args:
            secret: Known to the dialler.
            name: In the URL.
            claimed: The name that the proof is for; that of the URL.
            said: Claims.
        """
        socket = await self.connect(name)
        challenge = proof.read((await heard(socket)).encode(), proof.Challenge)
        mine = proof.Dialler(**{"nonce": proof.nonce(), "instance": "one", **said})
        key = proof.key_of(Secret(secret))
        sent = proof.as_dialler(key, claimed or name, challenge, mine)
        await socket.send_str(msgspec.json.encode(sent).decode())
        message = await socket.receive(PATIENCE)
        if message.type is not aiohttp.WSMsgType.TEXT:
            return Answered(socket, None, socket.close_code)
        answer = proof.read(message.data.encode(), proof.Proven)
        return Answered(socket, proof.believed(key, claimed or name, challenge, mine, answer), None)

    @property
    def lab(self) -> Any:
        """The upstream."""
        return self.web.gateway.plane.upstreams["lab"]

    def events(self, event: str) -> list[Any]:
        """What was logged of an event."""
        return [line for line in self.log.lines if line.event == event]


async def heard(socket: aiohttp.ClientWebSocketResponse) -> str:
    """The next text."""
    message = await socket.receive(PATIENCE)
    assert message.type is aiohttp.WSMsgType.TEXT, message
    text: str = message.data
    return text


async def closed(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    """What it is closed with."""
    async with asyncio.timeout(PATIENCE):
        while (await socket.receive()).type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            pass
    return socket.close_code


@contextlib.asynccontextmanager
async def served(transport: str = "", upstream: str = "") -> AsyncIterator[Served]:
    """A gateway that listens."""
    more = LAB.format(transport=transport, upstream=upstream)
    async with gateway("", more) as web, listening(web) as (_, port), aiohttp.ClientSession() as client:
        entrance: Any = web.gateway.transports["tunnel"]
        log = RecordingLog()
        entrance._host = attrs.evolve(entrance._host, log=log)
        yield Served(web, client, f"http://127.0.0.1:{port}", log)
