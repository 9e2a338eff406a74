"""One connection to a gateway: a WebSocket, and proof on both sides."""

from __future__ import annotations

import asyncio
import ipaddress
import os
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec

from portico.api import Host, PorticoError

from . import proof
from .client import authorities, secret_of
from .config import DialConfig
from .frames import LONGEST, PROTOCOL, Code, Violation

if TYPE_CHECKING:
    from aiohttp import ClientHandlerType

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class Unreachable(PorticoError):
    """There is no connection to the gateway; its text says why."""


class Later(Unreachable):
    """It is there, and wants us to come later."""


class Turned(PorticoError):
    """The gateway is there, and does not want this; its text says why."""


def guarded(url: str) -> bool:
    """Whether nobody else can read what goes to a URL: TLS, or the way to this machine itself."""
    return urlsplit(url).scheme == "wss" or _here(url)


def _here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def proxy_for(url: str) -> str | None:
    """The HTTP proxy that the environment names for a URL: `HTTPS_PROXY` for wss, `HTTP_PROXY` for ws."""
    parts = urlsplit(url)
    if _here(url) or proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    return proxies.get("https" if parts.scheme == "wss" else "http") or proxies.get("all")


class ClientSocket:
    """The dialling side of a WebSocket. Implements `Socket`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, session: aiohttp.ClientSession) -> None:
        self._socket = socket
        self._session = session

    @property
    def code(self) -> int | None:
        """What the gateway has closed it with."""
        return self._socket.close_code

    async def send(self, data: bytes) -> None:
        """Send a binary message."""
        try:
            await self._socket.send_bytes(data)
        except (aiohttp.ClientError, RuntimeError) as error:
            raise OSError("closed") from error

    async def receive(self) -> bytes | None:
        """The next binary message."""
        message = await self._socket.receive()
        if message.type is aiohttp.WSMsgType.BINARY:
            data: bytes = message.data
            return data
        if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED):
            return None
        if message.type is aiohttp.WSMsgType.TEXT:
            raise Violation("text_frame")
        raise OSError("broken")

    async def text(self) -> bytes:
        """The next message of the handshake.

        Raises:
            Turned: The gateway closes instead.
            Unproven: It is none.
        """
        message = await self._socket.receive()
        if message.type is aiohttp.WSMsgType.TEXT and len(message.data) <= proof.LONGEST:
            return bytes(message.data.encode())
        if self._socket.close_code == Code.REFUSED:
            raise Turned("the gateway does not know this name, or not with this secret")
        if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED):
            raise Unreachable("the gateway has closed the connection")
        raise proof.Unproven("a malformed message")

    async def say(self, message: msgspec.Struct) -> None:
        """Send a message of the handshake."""
        await self._socket.send_str(msgspec.json.encode(message).decode())

    async def close(self, code: int, reason: str) -> None:
        """Close it."""
        try:
            await self._socket.close(code=code, message=reason.encode()[:100])
        finally:
            await self._session.close()


async def _stay(request: aiohttp.ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
    """Go nowhere but where we were told to."""
    response = await handler(request)
    if response.status in _REDIRECTS:
        response.close()
        raise Unreachable(f"the gateway sends us elsewhere (HTTP {response.status})")
    return response


async def dial(
    config: DialConfig, host: Host, name: str, mine: proof.Dialler
) -> tuple[ClientSocket, proof.Gateway]:
    """Connect, and find out that both sides know the secret.

    Raises:
        Unreachable: There is no gateway, or it is too busy.
        Turned: It does not want us, or does not know the secret itself.
    """
    timeout = aiohttp.ClientTimeout(total=None, connect=config.connect_timeout)
    session = aiohttp.ClientSession(timeout=timeout, middlewares=(_stay,))
    try:
        async with asyncio.timeout(config.connect_timeout):
            socket = ClientSocket(await _open(session, config, host), session)
            said = await _prove(socket, config, host, name, mine)
    except BaseException as error:
        await session.close()
        if isinstance(error, TimeoutError):
            raise Unreachable("the gateway does not answer in time") from None
        if isinstance(error, proof.Unproven):
            raise Turned(f"this is not the gateway we know: {error}") from None
        if isinstance(error, aiohttp.WSServerHandshakeError):
            raise _denied(error) from None
        if isinstance(error, OSError | aiohttp.ClientError | RuntimeError):
            raise Unreachable(_words(error)) from None
        raise
    return socket, said


async def _open(
    session: aiohttp.ClientSession, config: DialConfig, host: Host
) -> aiohttp.ClientWebSocketResponse:
    return await session.ws_connect(
        config.url,
        protocols=(PROTOCOL,),
        max_msg_size=max(LONGEST, proof.LONGEST) + 1,
        ssl=authorities(config, host),
        proxy=proxy_for(config.url),
    )


async def _prove(
    socket: ClientSocket, config: DialConfig, host: Host, name: str, mine: proof.Dialler
) -> proof.Gateway:
    challenge = proof.read(await socket.text(), proof.Challenge)
    try:
        key = proof.key_of(secret_of(config, host))
    except (OSError, ValueError) as error:
        raise Unreachable(f"the secret cannot be read: {error}") from None
    await socket.say(proof.as_dialler(key, name, challenge, mine))
    said = proof.read(await socket.text(), proof.Proven)
    return proof.believed(key, name, challenge, mine, said)


def _denied(error: aiohttp.WSServerHandshakeError) -> PorticoError:
    if error.status in (429, 503):
        return Later(f"the gateway wants us to come later (HTTP {error.status})")
    if error.status in (502, 504):
        return Unreachable(f"there is no gateway behind its proxy (HTTP {error.status})")
    return Turned(f"there is nothing to dial in to (HTTP {error.status}): is there a `tunnel` transport?")


def _words(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientSSLError):
        text = f"cannot connect to {error.host}:{error.port}: {_why(error.os_error)}"
    return " ".join(text.split())[:300]


def _why(error: OSError) -> str:
    """The system's words; asyncio has its own around them."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
