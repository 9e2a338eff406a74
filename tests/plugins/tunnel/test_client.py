"""The dialling side alone: where it goes, where it does not, and whom it believes."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme
from aiohttp import web

from portico.api import ConfigError, Secret
from portico.testing import make_host, running_gateway
from portico_plugins.tunnel import proof
from portico_plugins.tunnel.config import DialConfig, name_in
from portico_plugins.tunnel.dial import Turned, Unreachable, dial, guarded
from portico_plugins.tunnel.frames import PROTOCOL
from tests.plugins.tunnel.kit import NEXT, SECRET

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def listening(handler: Handler, tls: Any = None) -> AsyncIterator[str]:
    """A server whose every request goes to a handler; gives HOST:PORT."""
    runner = web.AppRunner(_app(handler), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _app(handler: Handler) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    return app


def gateway_with(secret: str, verdict: str = "welcome") -> Handler:
    """What answers as a gateway that knows this secret."""

    async def handle(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=(PROTOCOL,))
        await socket.prepare(request)
        challenge = proof.Challenge(proof.nonce())
        await socket.send_str(msgspec.json.encode(challenge).decode())
        said = proof.read((await socket.receive_str()).encode(), proof.Proven)
        theirs = proof.read(said.claims.encode(), proof.Dialler)
        mine = proof.Gateway(verdict, "worker", 1)
        answer = proof.as_gateway(proof.key_of(Secret(secret)), "lab", challenge, theirs, mine)
        await socket.send_str(msgspec.json.encode(answer).decode())
        await socket.receive()
        return socket

    return handle


async def dialled(url: str, **config: Any) -> proof.Gateway:
    """What the gateway says of itself."""
    made = DialConfig(url=url, **{"secret": Secret(SECRET), "connect_timeout": 5.0, **config})
    mine = proof.Dialler(proof.nonce(), "one")
    socket, said = await dial(made, make_host(kind="transports", base=Path("/")), name_in(url), mine)
    await socket.close(1000, "")
    return said


async def test_a_gateway_that_knows_the_secret_is_believed() -> None:
    async with listening(gateway_with(SECRET)) as place:
        said = await dialled(f"ws://{place}/tunnel/lab")
        assert (said.verdict, said.worker) == ("welcome", "worker")


async def test_a_gateway_that_does_not_know_the_secret_is_not() -> None:
    async with listening(gateway_with(NEXT)) as place:
        with pytest.raises(Turned, match="not the gateway we know"):
            await dialled(f"ws://{place}/tunnel/lab")


async def test_the_secret_is_not_in_anything_that_is_sent() -> None:
    seen = bytearray()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(*up)

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                seen.extend(data)
                target.write(data)
            target.close()

        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer), return_exceptions=True)

    async with listening(gateway_with(SECRET)) as place:
        up = ("127.0.0.1", int(place.rpartition(":")[2]))
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            await dialled(f"ws://127.0.0.1:{port}/tunnel/lab")
            server.close()
    assert b"challenge" in seen or b"nonce" in seen
    assert SECRET.encode() not in seen
    assert SECRET[:12].encode() not in seen


async def test_a_redirect_is_not_followed() -> None:
    visited: list[str] = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        visited.append(request.path)
        return await gateway_with(SECRET)(request)

    async with listening(elsewhere) as other:

        async def redirect(request: web.Request) -> web.StreamResponse:
            raise web.HTTPTemporaryRedirect(f"http://{other}/tunnel/lab")

        async with listening(redirect) as place:
            with pytest.raises(Unreachable, match="elsewhere"):
                await dialled(f"ws://{place}/tunnel/lab")
    assert visited == []


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, Turned), (403, Turned), (429, Unreachable), (503, Unreachable), (502, Unreachable)],
)
async def test_what_http_says_is_told_apart(status: int, error: type[Exception]) -> None:
    async def deny(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    async with listening(deny) as place:
        with pytest.raises(error, match=str(status)):
            await dialled(f"ws://{place}/tunnel/lab")


@pytest.mark.parametrize(
    ("said", "error"),
    [("hello", Turned), ("{}", Turned), ("x" * 20_000, Turned), (None, Unreachable)],
)
async def test_what_is_no_gateway_is_not_believed(said: str | None, error: type[Exception]) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=(PROTOCOL,))
        await socket.prepare(request)
        if said is not None:
            await socket.send_str(said)
            await socket.receive()
        return socket

    async with listening(handle) as place:
        with pytest.raises(error):
            await dialled(f"ws://{place}/tunnel/lab")


async def test_a_gateway_that_says_nothing_is_not_waited_for() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=(PROTOCOL,))
        await socket.prepare(request)
        await socket.receive()
        return socket

    async with listening(handle) as place:
        with pytest.raises(Unreachable, match="in time"):
            await dialled(f"ws://{place}/tunnel/lab", connect_timeout=0.2)


async def test_nobody_there_is_said_in_words() -> None:
    with pytest.raises(Unreachable, match=r"^cannot connect to 127\.0\.0\.1:9: Connection refused$"):
        await dialled("ws://127.0.0.1:9/tunnel/lab")


async def test_over_tls_the_gateway_s_certificate_is_checked(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    async with listening(gateway_with(SECRET), context) as place:
        assert (await dialled(f"wss://{place}/tunnel/lab", ca_file=trusted)).verdict == "welcome"
        with pytest.raises(Unreachable, match="certificate"):
            await dialled(f"wss://{place}/tunnel/lab")


async def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def proxy(request: web.Request) -> web.StreamResponse:
        asked.append(str(request.url))
        return await gateway_with(SECRET)(request)

    for name in ("NO_PROXY", "no_proxy", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with listening(proxy) as place:
        monkeypatch.setenv("HTTP_PROXY", f"http://{place}")
        await dialled("ws://gateway.invalid/tunnel/lab", insecure=True)
    assert asked == ["http://gateway.invalid/tunnel/lab"]


async def test_no_proxy_stands_between_this_machine_and_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with listening(gateway_with(SECRET)) as place:
        assert (await dialled(f"ws://{place}/tunnel/lab")).verdict == "welcome"


@pytest.mark.parametrize(
    ("url", "guards"),
    [
        ("wss://gateway.example/tunnel/lab", True),
        ("ws://127.0.0.1:1/tunnel/lab", True),
        ("ws://127.9.9.9/tunnel/lab", True),
        ("ws://[::1]:1/tunnel/lab", True),
        ("ws://localhost/tunnel/lab", True),
        ("ws://gateway.example/tunnel/lab", False),
        ("ws://10.0.0.1/tunnel/lab", False),
        ("ws://localhost.example/tunnel/lab", False),
        ("ws://127.0.0.1.example/tunnel/lab", False),
    ],
)
def test_only_this_machine_is_reached_without_tls(url: str, guards: bool) -> None:
    assert guarded(url) is guards


@pytest.mark.parametrize(
    "config",
    [
        {"url": "https://a/tunnel/b", "secret": SECRET},
        {"url": "wss://a/tunnel/", "secret": SECRET},
        {"url": "wss://a/b", "secret": SECRET},
        {"url": "wss://a/tunnel/b?x=y", "secret": SECRET},
        {"url": "wss://a:65536/tunnel/b", "secret": SECRET},
        {"url": "wss://me@a/tunnel/b", "secret": SECRET},
        {"url": "wss://a/tunnel/b", "secret": "short"},
        {"url": "wss://a/tunnel/b"},
        {"url": "wss://a/tunnel/b", "secret": SECRET, "secret_file": Path("x")},
    ],
)
def test_what_cannot_be_is_refused_when_it_is_configured(config: dict[str, Any]) -> None:
    if "secret" in config:
        config = {**config, "secret": Secret(config["secret"])}
    with pytest.raises(ValueError, match=r"expected|secret|URL"):
        DialConfig(**config)


async def test_authorities_that_are_missing_are_said_at_the_start_and_not_for_ever(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    for name in ("none", "empty"):
        table = f"""
            [transports.streamable_http]
            [transports.tunnel_client]
            url = "wss://a.example/tunnel/b"
            secret = "{SECRET}"
            ca_file = "{tmp_path / name}"
        """
        with pytest.raises(ConfigError, match=f"ca_file.*{name}"):
            async with running_gateway(table):
                pass


async def test_a_secret_file_that_is_missing_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("short\n")
    for name in ("none", "short"):
        table = f"""
            [transports.streamable_http]
            [transports.tunnel_client]
            url = "wss://a.example/tunnel/b"
            secret_file = "{tmp_path / name}"
        """
        with pytest.raises(ConfigError, match="secret_file"):
            async with running_gateway(table):
                pass
