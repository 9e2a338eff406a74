"""Connections to APIs: certificates shown and checked, and proxies, which lead to judged addresses only."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trustme

from portico.api import UPSTREAM_UNAVAILABLE, Refused, Secret
from portico_plugins.http1.tls import Tls, tls_context
from portico_plugins.upstreams.rest.config import RestConfig
from tests.plugins.upstreams.kit import call, text
from tests.plugins.upstreams.rest.kit import http, raw, running, simple

FINE = http(b'{"fine": true}')


@attrs.frozen
class Files:
    """An authority, and a client's certificate and key of it, as files."""

    ca: Path
    cert: Path
    key: Path


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(authority: trustme.CA, tmp_path: Path) -> Files:
    found = Files(tmp_path / "ca.pem", tmp_path / "client.pem", tmp_path / "client.key")
    authority.cert_pem.write_to_path(str(found.ca))
    shown(authority, "alice", found)
    return found


def shown(authority: trustme.CA, name: str, files: Files) -> None:
    """Write a certificate for a client of this name."""
    issued = authority.issue_cert(f"{name}@example.com", common_name=name)
    issued.private_key_pem.write_to_path(str(files.key))
    for at, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(str(files.cert), append=at > 0)


@contextlib.asynccontextmanager
async def secured(
    authority: trustme.CA, name: str = "127.0.0.1", *, asks: bool = True
) -> AsyncIterator[tuple[str, list[str]]]:
    """A server with TLS that answers with its client's name; gives its origin, and its names in SNI."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    if asks:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    names: list[str] = []
    context.sni_callback = lambda _, asked, __: names.append(asked or "")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            await reader.readuntil(b"\r\n\r\n")
            peer = writer.get_extra_info("peercert") or {}
            said = {key: value for row in peer.get("subject", ()) for key, value in row}
            writer.write(
                http(
                    json.dumps({"client": said.get("commonName")}).encode(),
                    "application/json",
                    "200 OK",
                    "Connection: close",
                )
            )
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", names
    finally:
        server.close()


async def reason_of(origin: str, **config: Any) -> str:
    """Why a call fails."""
    async with running(openapi_inline=simple(), base_url=origin, **config) as up:
        with pytest.raises(Refused) as refused:
            await up.send(call("op"))
        assert refused.value.code == UPSTREAM_UNAVAILABLE
        assert "/" not in str(refused.value.data["gateway"]["reason"])
        return str(refused.value.data["gateway"]["reason"])


# --- certificates ----------------------------------------------------------------------------------


async def test_a_certificate_is_shown_to_a_server_that_asks(authority: trustme.CA, files: Files) -> None:
    async with secured(authority) as (origin, _):
        config: Any = {"ca_file": files.ca, "client_cert": files.cert, "client_key": files.key}
        async with running(openapi_inline=simple(), base_url=origin, **config) as up:
            result = await up.send(call("op"))
            assert result.value["structuredContent"] == {"client": "alice"}
            shown(authority, "bob", files)
            os.utime(files.cert, ns=(1, 1))  # another time, however coarse the clock of the files is
            result = await up.send(call("op"))
            assert result.value["structuredContent"] == {"client": "bob"}


async def test_without_the_right_certificates_there_is_no_connection(
    authority: trustme.CA, files: Files, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    config: Any = {"client_cert": files.cert, "client_key": files.key}
    async with secured(authority) as (origin, _):
        assert await reason_of(origin, ca_file=files.ca) in ("tls_failed", "connection_lost")
        assert await reason_of(origin, ca_file=other, **config) == "tls_failed"
        assert await reason_of(origin, **config) == "tls_failed"
    async with secured(authority, "other.example") as (origin, _):
        assert await reason_of(origin, ca_file=files.ca, **config) == "tls_failed"


async def test_certificates_are_unchecked_only_where_that_is_said(authority: trustme.CA) -> None:
    async with secured(authority, "other.example", asks=False) as (origin, _):
        assert await reason_of(origin) == "tls_failed"
        async with running(openapi_inline=simple(), base_url=origin, tls_verify=False) as up:
            assert (await up.send(call("op"))).value["structuredContent"] == {"client": None}


async def test_files_of_no_use_are_a_reason_without_a_path(
    authority: trustme.CA, files: Files, tmp_path: Path
) -> None:
    async with raw(FINE) as server:
        origin = server.origin.replace("http:", "https:")
        missing = tmp_path / "nothing.pem"
        for config in (
            {"ca_file": missing},
            {"client_cert": files.cert, "client_key": missing},
            {"client_cert": files.cert, "client_key": files.cert},
            {"client_cert": files.key, "client_key": files.cert},
        ):
            assert await reason_of(origin, **config) == "tls_files_unusable"
        assert server.connections == 0


def test_nothing_below_tls_1_2_is_spoken(files: Files) -> None:
    for context in (
        tls_context(True, None),
        tls_context(False, None),
        Tls(True, files.ca, files.cert, files.key).context(),
    ):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_files_are_read_again_only_when_they_have_changed(files: Files) -> None:
    tls = Tls(True, files.ca, files.cert, files.key)
    assert tls.context() is tls.context()
    assert Tls().context() is tls_context(True, None)


# --- proxies ---------------------------------------------------------------------------------------


@attrs.define
class Tunnels:
    """A proxy that takes CONNECT.

    Attributes:
        url: Its URL.
        heads: What it was asked.
        to: Where its tunnels lead instead of where they should, if anywhere.
    """

    url: str = ""
    heads: list[bytes] = attrs.field(factory=list)
    to: int = 0


@contextlib.asynccontextmanager
async def proxying(
    answer: bytes = b"HTTP/1.1 200 OK\r\nVia: x\r\n\r\n", to: int = 0
) -> AsyncIterator[Tunnels]:
    """A proxy that answers with this; where that is a tunnel, it leads to a port of this machine."""
    proxy = Tunnels(to=to)
    tasks: set[asyncio.Task[None]] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            proxy.heads.append(head)
            writer.write(answer)
            if answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"\r\n\r\n"):
                authority = head.split()[1].decode()
                there = await asyncio.open_connection(
                    "127.0.0.1", proxy.to or int(authority.rpartition(":")[2])
                )
                for pair in ((reader, there[1]), (there[0], writer)):
                    task = asyncio.create_task(copy(*pair))
                    tasks.add(task)
                return
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        if tasks:
            await asyncio.wait(tasks, timeout=5)


def resolves(monkeypatch: pytest.MonkeyPatch, **names: str) -> list[str]:
    """Have names stand for addresses; gives those that are asked for."""
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo
    asked: list[str] = []

    async def found(host: str, port: int, **hints: Any) -> Any:
        asked.append(host)
        return await real(names.get(host.replace(".", "_"), host), port, **hints)

    monkeypatch.setattr(loop, "getaddrinfo", found, raising=False)
    return asked


async def test_a_proxy_is_told_the_address_that_was_judged_and_the_api_its_own_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolves(monkeypatch, api_test="93.184.216.34")
    secret = Secret("user:pa ss")
    async with raw([FINE, FINE]) as server, proxying(to=int(server.origin.rpartition(":")[2])) as proxy:
        config: Any = {"proxy": proxy.url, "proxy_credentials": secret, "allow_private": False}
        async with running(openapi_inline=simple(), base_url="http://api.test:8080/v1", **config) as up:
            assert text(await up.send(call("op"))) == '{"fine": true}'
            assert "pa ss" not in repr(up.upstream._config)
    pair = base64.b64encode(b"user:pa ss")
    assert proxy.heads == [
        b"CONNECT 93.184.216.34:8080 HTTP/1.1\r\nHost: 93.184.216.34:8080\r\n"
        b"Proxy-Authorization: Basic " + pair + b"\r\n\r\n"
    ]
    assert server.heads[0].startswith(b"GET /v1/x HTTP/1.1\r\nHost: api.test:8080\r\n")
    assert pair not in server.heads[0]


async def test_tls_goes_through_the_tunnel_to_the_api_itself(
    authority: trustme.CA, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolves(monkeypatch, api_test="93.184.216.34")
    config: Any = {"ca_file": files.ca, "client_cert": files.cert, "client_key": files.key}
    async with (
        secured(authority, "api.test") as (origin, names),
        proxying(to=int(origin.rpartition(":")[2])) as proxy,
        running(openapi_inline=simple(), base_url="https://api.test", proxy=proxy.url, **config) as up,
    ):
        assert (await up.send(call("op"))).value["structuredContent"] == {"client": "alice"}
    assert names == ["api.test"]
    assert proxy.heads[0].startswith(b"CONNECT 93.184.216.34:443 HTTP/1.1\r\n")


@pytest.mark.parametrize("private", [True, False])
@pytest.mark.parametrize("host", ["169.254.169.254", "api.test", "127.1", "2130706433"])
async def test_a_forbidden_address_is_not_reached_through_a_proxy_either(
    host: str, private: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolves(monkeypatch, api_test="169.254.169.254" if private else "10.0.0.1")
    if private and host in ("127.1", "2130706433"):
        host = "169.254.169.254"
    async with proxying() as proxy:
        config: Any = {"proxy": proxy.url, "allow_private": private}
        assert (await reason_of(f"http://{host}", **config)).startswith("address_not_allowed (")
    assert proxy.heads == []


async def test_names_are_left_to_a_proxy_only_when_that_is_said_and_addresses_never(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = resolves(monkeypatch)
    async with raw(FINE) as server, proxying(to=int(server.origin.rpartition(":")[2])) as proxy:
        config: Any = {"proxy": proxy.url, "proxy_resolves": True, "allow_private": False}
        async with running(openapi_inline=simple(), base_url="http://inside.test", **config) as up:
            assert text(await up.send(call("op"))) == '{"fine": true}'
        assert proxy.heads[0].startswith(b"CONNECT inside.test:80 HTTP/1.1\r\n")
        assert "inside.test" not in asked
        for host in ("10.0.0.1", "2130706433", "[::ffff:7f00:1]"):
            assert (await reason_of(f"http://{host}", **config)).startswith("address_not_allowed (")
        assert len(proxy.heads) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "proxy_auth_required"),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", "proxy_refused"),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\nsurprise", "proxy_failed"),
        (b"SSH-2.0-x\r\n\r\n", "proxy_failed"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 20_000, "proxy_failed"),
        (b"", "proxy_failed"),
    ],
)
async def test_a_proxy_that_gives_no_tunnel_is_a_reason(answer: bytes, reason: str) -> None:
    async with proxying(answer) as proxy:
        assert await reason_of("http://127.0.0.1:9", proxy=proxy.url) == reason


async def test_a_proxy_that_is_not_there_and_one_that_may_not_be() -> None:
    assert await reason_of("http://127.0.0.1:9", proxy="http://127.0.0.1:9") == "proxy_unreachable"
    forbidden = await reason_of("http://127.0.0.1:9", proxy="http://169.254.169.254:80")
    assert forbidden == "address_not_allowed (metadata)"


async def test_the_document_comes_through_the_proxy_and_that_of_the_environment_is_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document = json.dumps(simple()).encode()
    async with raw(http(document)) as server:
        async with proxying() as proxy, running(openapi=f"{server.origin}/o.json", proxy=proxy.url) as up:
            assert [tool["name"] for tool in up.upstream.offer.tools] == ["op"]
            assert len(proxy.heads) == 1
        async with proxying() as proxy:
            for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
                monkeypatch.setenv(name, proxy.url)
            async with running(openapi=f"{server.origin}/o.json") as up:
                assert len(up.upstream.offer.tools) == 1
            assert proxy.heads == []


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"proxy": "socks5://a:1"}, "expected http"),
        ({"proxy": "https://a:1"}, "not supported"),
        ({"proxy": "http://u:p@a:1"}, "carries no credentials"),
        ({"proxy": "http://a:1/path"}, "not supported"),
        ({"proxy_resolves": True}, "without `proxy`"),
        ({"client_cert": Path("a.pem")}, "go together"),
    ],
)
def test_what_means_nothing_is_refused(config: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        RestConfig(openapi="http://a.test", **config)
