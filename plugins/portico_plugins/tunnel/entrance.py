"""Where upstreams dial in: `GET /tunnel/{name}`, a WebSocket, proof of who it is, then a tunnel."""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from starlette.responses import Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from portico.api import Host

from . import proof
from .config import EntranceConfig
from .frames import LONGEST, PROTOCOL, Code, Violation
from .link import Link, Pace
from .links import Held, Links, links_of
from .tries import Tries

_LOOK: Final = 0.1
"""Seconds between two looks at whether the gateway is about to end."""

_SELDOM: Final = 1.0
"""The same while nobody is connected who would have to know."""


class AsgiSocket:
    """The gateway's side of a WebSocket. Implements `Socket`."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._open = True

    async def send(self, data: bytes) -> None:
        """Send a binary message."""
        try:
            await self._socket.send_bytes(data)
        except (RuntimeError, WebSocketDisconnect) as error:
            raise OSError("closed") from error

    async def receive(self) -> bytes | None:
        """The next binary message."""
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            self._open = False
            return None
        data: bytes | None = message.get("bytes")
        if data is None:
            raise Violation("text_frame")
        if len(data) > LONGEST:
            raise Violation("frame_too_long", Code.TOO_BIG)
        return data

    async def close(self, code: int, reason: str) -> None:
        """Close it."""
        if self._open:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await self._socket.close(code, reason)


class Entrance:
    """Lets in those who know the secret of the upstream they name.

    Args:
        config: The transport's configuration.
        host: What the kernel offers.
    """

    def __init__(self, config: EntranceConfig, host: Host) -> None:
        self._config = config
        self._host = host
        self._worker = secrets.token_hex(8)
        self._tries = Tries(config.wrong_tries, host.clock)
        self._unproven = 0
        self._carried = 0
        self._pace = Pace(config.ping, config.ping_timeout)

    def routes(self) -> Sequence[BaseRoute]:
        """The one path; who may connect there is looked at when somebody does."""
        return [WebSocketRoute("/tunnel/{name}", self)]

    def _links(self, name: str) -> Links | None:
        """The tunnels of an upstream; None where there is none that is dialled in from."""
        return links_of(self._host.wiring.upstreams.get(name))

    async def watch(self) -> None:
        """When the gateway is about to end, have everybody dial anew; then end what is left in order."""
        wiring = self._host.wiring
        while not wiring.draining:  # noqa: ASYNC110 (nothing tells of it)
            await asyncio.sleep(_LOOK if self._carried else _SELDOM)
        for each in self._every():
            each.leave()
        while not wiring.closing:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK)
        for each in self._every():
            each.retire()

    def _every(self) -> list[Links]:
        upstreams = self._host.wiring.upstreams.values()
        return [links for each in upstreams if (links := links_of(each)) is not None]

    # --- one connection -------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        socket = WebSocket(scope, receive, send)
        peer = scope["client"][0] if scope.get("client") else ""
        if any(name == b"origin" for name, _ in scope["headers"]):
            await _deny(socket, 403, "no web page dials in")
            return
        if PROTOCOL not in (scope.get("subprotocols") or []):
            await _deny(socket, 400, f"expected Sec-WebSocket-Protocol: {PROTOCOL}")
            return
        if (seconds := self._tries.wait(peer)) > 0:
            await _deny(socket, 429, "too many wrong tries", {"retry-after": str(math.ceil(seconds))})
            return
        if self._unproven >= self._config.max_unproven:
            await _deny(socket, 503, "too many at once", {"retry-after": "1"})
            return
        self._unproven += 1
        try:
            await socket.accept(PROTOCOL)
            found = await self._prove(socket, scope["path_params"]["name"], peer)
        finally:
            self._unproven -= 1
        if found is not None:
            await self._carry(socket, *found)

    async def _prove(self, socket: WebSocket, name: str, peer: str) -> tuple[str, Held] | None:
        """Find out who it is; None when the connection has been closed instead."""
        log = self._host.log
        challenge = proof.Challenge(proof.nonce())
        try:
            async with asyncio.timeout(self._config.handshake_timeout):
                await socket.send_text(msgspec.json.encode(challenge).decode())
                said = proof.read(await _text(socket), proof.Proven)
                links = self._links(name)
                key = proof.prover(links.keys if links is not None else (), name, challenge, said)
                if links is None or key is None:
                    raise proof.Unproven("wrong name or secret")
                theirs = proof.read(said.claims.encode(), proof.Dialler)
        except proof.Unproven as error:
            self._tries.wrong(peer)
            known = {"upstream": name} if self._links(name) is not None else {}
            log.warning("tunnel_refused", peer=peer, reason=str(error), **known)
            await _close(socket, Code.REFUSED, "refused")
            return None
        except (TimeoutError, WebSocketDisconnect, OSError, RuntimeError) as error:
            if isinstance(error, TimeoutError):  # it has kept a place from others
                self._tries.wrong(peer)
            log.info("tunnel_unproven", peer=peer)
            await _close(socket, Code.REFUSED, "refused")
            return None
        verdict = "leaving" if self._host.wiring.draining else links.judge(theirs, self._worker)
        mine = proof.Gateway(verdict, self._worker, self._host.wiring.workers, links.longest)
        answer = proof.as_gateway(key, name, challenge, theirs, mine)
        try:
            async with asyncio.timeout(self._config.handshake_timeout):
                await socket.send_text(msgspec.json.encode(answer).decode())
        except (TimeoutError, WebSocketDisconnect, OSError, RuntimeError):
            return None
        if verdict != "welcome":
            log.debug("tunnel_not_needed", upstream=name, peer=peer, verdict=verdict)
            await _close(socket, Code.DONE, verdict)
            return None
        link = Link(AsgiSocket(socket), self._host.clock, self._pace, links.longest, theirs.longest)
        return name, Held(link, key, theirs.instance)

    async def _carry(self, socket: WebSocket, name: str, held: Held) -> None:
        links = self._links(name)
        if links is None or not links.knows(held.key):  # it has changed while we were talking
            await _close(socket, Code.AWAY, "changed")
            return
        log = self._host.log
        peer = socket.client.host if socket.client else ""
        links.add(held)
        log.info("tunnel_connected", upstream=name, peer=peer)
        why = "gone"
        self._carried += 1
        try:
            why = await held.link.run()
        finally:
            self._carried -= 1
            held.link.end("gone")
            log.info("tunnel_ended", upstream=name, peer=peer, reason=why)


async def _text(socket: WebSocket) -> bytes:
    """The next message of the handshake.

    Raises:
        Unproven: It is not text, or too long.
        WebSocketDisconnect: There is none.
    """
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect
    text = message.get("text")
    if text is None or len(text) > proof.LONGEST:
        raise proof.Unproven("a malformed message")
    return bytes(text.encode("utf-8", "surrogatepass"))


async def _close(socket: WebSocket, code: Code, reason: str) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect, OSError):
        await socket.close(code, reason)


async def _deny(socket: WebSocket, status: int, error: str, headers: Mapping[str, str] | None = None) -> None:
    """Answer the handshake in the words of HTTP."""
    await socket.receive()
    body = msgspec.json.encode({"error": error})
    if "websocket.http.response" in socket.scope.get("extensions", {}):
        await socket.send_denial_response(Response(body, status, headers, "application/json"))
    else:
        await socket.close(Code.REFUSED)
