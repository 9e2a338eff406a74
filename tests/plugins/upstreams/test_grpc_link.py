"""The connection to a gRPC server: TLS, judged addresses, health, changes, and what fails in which way."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2

from portico.api import ConfigError, Refused, State
from portico.testing import make_host, running_gateway
from portico_plugins.upstreams.grpc import GRPC, config
from portico_plugins.upstreams.grpc.config import GrpcConfig
from portico_plugins.upstreams.grpc_client.status import unreachable
from tests.plugins.upstreams.grpc_kit import (
    SERVICES,
    Health,
    Shop,
    grpc_server,
    names,
    reflection,
    shop,
    shop_handlers,
    shop_upstream,
    upstream,
)
from tests.plugins.upstreams.kit import call


def everything(health: Health | None = None, services: Any = SERVICES) -> list[Any]:
    own = health.handlers() if health else []
    return [*shop_handlers(Shop(), services), *reflection(services, shop()), *own]


async def gets(running: Any) -> str:
    result = await running.send(call("Orders_Get", {"id": "7"}))
    return str(result.value["structuredContent"]["id"])


async def refused(running: Any) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        await running.send(call("Orders_Get", {"id": "7"}))
    return caught.value.code, caught.value.data["gateway"]["reason"]


# --- TLS -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(tmp_path: Path, authority: trustme.CA) -> Path:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client = authority.issue_cert("client@example.com")
    client.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    client.private_key_pem.write_to_path(tmp_path / "client.key")
    return tmp_path


def secured(authority: trustme.CA, *names_: str, clients: bool = False) -> Any:
    cert = authority.issue_cert(*names_)
    return grpc.ssl_server_credentials(
        [(cert.private_key_pem.bytes(), cert.cert_chain_pems[0].bytes())],
        authority.cert_pem.bytes() if clients else None,
        clients,
    )


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
async def test_a_server_with_tls_is_reached_by_name_and_by_address(
    name: str, authority: trustme.CA, files: Path
) -> None:
    async with (
        grpc_server(everything(), secured(authority, name)) as port,
        upstream(f"grpcs://{name}:{port}", base=files, ca_file=Path("ca.pem")) as running,
    ):
        assert await gets(running) == "7"


async def test_a_certificate_of_another_name_or_authority_is_not_accepted(
    authority: trustme.CA, files: Path
) -> None:
    async with grpc_server(everything(), secured(authority, "shop.example")) as port:
        url = f"grpcs://localhost:{port}"
        async with upstream(url, base=files, ca_file=Path("ca.pem")) as running:
            assert (running.upstream.state, running.upstream.reason) == (State.UNAVAILABLE, "tls_failed")
        async with upstream(url, base=files, server_name="shop.example") as running:
            assert running.upstream.reason == "tls_failed"
        named = {"ca_file": Path("ca.pem"), "server_name": "shop.example"}
        async with upstream(url, base=files, **named) as running:
            assert await gets(running) == "7"


async def test_a_server_that_wants_a_certificate_gets_it(authority: trustme.CA, files: Path) -> None:
    shown = {"client_cert": Path("client.pem"), "client_key": Path("client.key")}
    async with grpc_server(everything(), secured(authority, "localhost", clients=True)) as port:
        url = f"grpcs://localhost:{port}"
        async with upstream(url, base=files, ca_file=Path("ca.pem"), **shown) as running:
            assert await gets(running) == "7"
        async with upstream(url, base=files, ca_file=Path("ca.pem")) as running:
            assert running.upstream.state is State.UNAVAILABLE


async def test_a_missing_certificate_file_is_named(files: Path) -> None:
    async with upstream("grpcs://localhost:1", base=files, ca_file=Path("gone.pem")) as running:
        assert running.upstream.reason.startswith("file_not_readable")


async def test_plaintext_to_a_server_with_tls_fails_and_so_does_the_other_way_round(
    authority: trustme.CA, files: Path
) -> None:
    async with (
        grpc_server(everything(), secured(authority, "localhost")) as port,
        upstream(f"grpc://localhost:{port}", connect_timeout=2) as running,
    ):
        assert running.upstream.state is State.UNAVAILABLE
    async with (
        grpc_server(everything()) as port,
        upstream(f"grpcs://localhost:{port}", base=files, connect_timeout=2) as running,
    ):
        assert (running.upstream.state, running.upstream.reason) == (State.UNAVAILABLE, "tls_failed")


# --- addresses -------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def listener() -> AsyncIterator[tuple[int, list[object]]]:
    """A port, and the connections that were made to it."""
    made: list[object] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.append(reader)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], made


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]"]
)
async def test_no_connection_is_opened_to_an_address_that_is_not_allowed(host: str) -> None:
    async with listener() as (port, made):
        async with upstream(f"grpc://{host}:{port}", allow_private=False) as running:
            assert running.upstream.state is State.UNAVAILABLE
            assert running.upstream.reason == "address_not_allowed (loopback)"
            assert await refused(running) == (50300, "address_not_allowed")
        assert made == []


@pytest.mark.parametrize("host", ["169.254.169.254", "168.63.129.16", "[fd00:ec2::254]"])
async def test_metadata_services_are_never_allowed(host: str) -> None:
    async with upstream(f"grpc://{host}:80") as running:
        assert running.upstream.reason == "address_not_allowed (metadata)"


@pytest.mark.asyncio(loop_factories=["asyncio"])  # whose methods can be put in place of others
async def test_one_forbidden_address_spoils_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listener() as (port, made):
        loop = asyncio.get_running_loop()

        async def both(host: str, port: int, **_: Any) -> Any:
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port))
                for ip in ("93.184.215.14", "127.0.0.1")
            ]

        monkeypatch.setattr(loop, "getaddrinfo", both)
        async with upstream(f"grpc://both.example:{port}", allow_private=False) as running:
            assert running.upstream.reason == "address_not_allowed (loopback)"
        assert made == []


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listener() as (port, made):
        for name in ("grpc_proxy", "http_proxy", "https_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        async with shop_upstream() as running:
            assert await gets(running) == "7"
        assert made == []


# --- failures --------------------------------------------------------------------------------------------


async def test_an_unreachable_server_is_unavailable_and_calls_fail_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with upstream(taken.getsockname()[1]) as running:
            assert (running.upstream.state, running.upstream.reason) == (
                State.UNAVAILABLE,
                "connection_refused",
            )
            assert await refused(running) == (50300, "connection_refused")
            with pytest.raises(Refused) as caught:
                await running.upstream.probe()
            assert caught.value.code == 50300


async def test_a_name_that_is_not_there_is_said() -> None:
    async with upstream("grpc://nowhere.invalid:1") as running:
        assert running.upstream.reason == "name_not_found"


async def test_a_server_that_says_nothing_is_given_up() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        async with upstream(silent.getsockname()[1], connect_timeout=0.5) as running:
            assert (running.upstream.state, running.upstream.reason) == (State.UNAVAILABLE, "connect_timeout")


async def test_a_web_server_is_no_grpc_server() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, upstream(server.sockets[0].getsockname()[1], connect_timeout=2) as running:
        assert running.upstream.state is State.UNAVAILABLE
        assert running.upstream.offer.tools == ()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("failed to connect to all addresses; last error: UNKNOWN: Connection refused", "connection_refused"),
        ("failed to connect to all addresses; last error: Ssl handshake failed", "tls_failed"),
        ("Socket closed", "connection_lost"),
        ("Trying to connect an http1.x server", "not_grpc"),
        ("we are closed today", "upstream_unavailable"),
    ],
)
def test_why_a_server_is_not_available_is_one_word(said: str, reason: str) -> None:
    assert unreachable(said) == reason


async def test_a_server_that_goes_away_and_comes_back_with_other_methods_is_found_again() -> None:
    async with grpc_server(everything()) as port:
        started = upstream(port)
        running = await started.__aenter__()
        assert await gets(running) == "7"
    try:
        await running.until_state(State.UNAVAILABLE)
        assert "Orders_Get" in names(running)  # what it had stays listed
        code, reason = await refused(running)
        assert (code, reason) == (50300, "connection_refused")
        async with grpc_server(everything(services=("acme.shop.v1.Lines",)), port=port):
            await running.until_state(State.READY)
            assert names(running) == ["Lines_Create"]
            assert frozenset({"tools"}) in running.wiring.offers[1:]
    finally:
        await started.__aexit__(None, None, None)


async def test_what_changed_is_seen_by_a_refresh_and_what_did_not_is_not_announced() -> None:
    services = ["acme.shop.v1.Orders"]
    from grpc_reflection.v1alpha._async import ReflectionServicer

    async def info(requests: Any, context: Any) -> Any:
        async for answer in ReflectionServicer(services, pool=shop()).ServerReflectionInfo(requests, context):
            yield answer

    handlers = [*shop_handlers(Shop()), *reflection([], shop(), servicer=info)]
    async with grpc_server(handlers) as port, upstream(port, refresh_seconds=0.2) as running:
        assert "Lines_Create" not in names(running)
        services.append("acme.shop.v1.Lines")
        await running.upstream.refresh()
        await running.wiring.until(lambda: "Lines_Create" in names(running))
        assert running.wiring.offers.count(frozenset({"tools"})) == 2


async def test_health_decides_the_state_and_is_what_a_probe_asks_for() -> None:
    health = Health()
    async with grpc_server(everything(health)) as port:
        async with upstream(port) as running:
            await running.upstream.probe()
            health.status = health_pb2.HealthCheckResponse.NOT_SERVING
            with pytest.raises(Refused) as caught:
                await running.upstream.probe()
            assert (caught.value.code, caught.value.data["gateway"]["reason"]) == (50200, "not_serving")
        async with upstream(port) as running:
            assert (running.upstream.state, running.upstream.reason) == (State.DEGRADED, "not_serving")
            assert await gets(running) == "7"
            health.status = health_pb2.HealthCheckResponse.SERVING
            await running.until_state(State.READY)


async def test_a_server_without_health_service_need_only_answer() -> None:
    async with shop_upstream() as running:
        await running.upstream.probe()


async def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    made = GrpcConfig(url="grpc://127.0.0.1:1")
    monkeypatch.setattr(config, "_NEEDED", (("no_such_module_here", "grpcio"),))
    with pytest.raises(ValueError, match=r"pip install 'portico\[grpc\]'"):
        GrpcConfig(url="grpc://127.0.0.1:1")
    with pytest.raises(ConfigError, match=r"grpcio, which is not installed"):
        async with GRPC.create(made, make_host()):
            pass


async def test_nothing_of_grpc_is_imported_before_there_is_such_an_upstream() -> None:
    code = (
        "import sys, portico_plugins.upstreams.grpc as m; m.GRPC.config(url='grpc://a:1');"
        "sys.exit(any(n in sys.modules for n in ('grpc', 'google.protobuf')))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await process.wait() == 0


async def test_a_gateway_serves_it_like_any_other_upstream() -> None:
    async with grpc_server(everything()) as port:
        toml = f'[upstreams.shop]\nuse = "grpc"\nurl = "grpc://127.0.0.1:{port}"\n'
        dead = '[upstreams.dead]\nuse = "grpc"\nurl = "grpc://127.0.0.1:1"\n'
        async with running_gateway(toml + dead) as running:
            assert "Orders_Create" in await running.names()
            result = await running.call("Orders_Total", {"messages": [{"amount": "40"}, {"amount": 2}]})
            assert result["structuredContent"] == {"amount": "42", "texts": ["", ""]}


def test_processes_are_started_while_calls_are_under_way() -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}
    argv = [sys.executable, "-m", "tests.plugins.upstreams.forking"]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
