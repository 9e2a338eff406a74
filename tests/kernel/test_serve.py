from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from portico._config.settings import Settings
from portico._host import serve as serving
from portico._host.ending import Ending, signals
from portico._host.gateway import Gateway
from portico._host.listening import bind, shown
from portico._host.logs.log import configure
from portico._host.serve import serve_io
from portico.api import ConfigError
from tests.kernel.doubles import ALICE, Anybody, StubUpstream, composed, modern_params, offer
from tests.ports import free_port

# --- binding -------------------------------------------------------------------------------------------


@pytest.fixture
def taken() -> Any:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield f"127.0.0.1:{sock.getsockname()[1]}"


def test_sockets_listen_on_what_was_asked_for() -> None:
    sockets = bind(["127.0.0.1:0", "localhost:0"])
    try:
        for sock in sockets:
            with socket.create_connection(sock.getsockname()[:2], timeout=5):
                pass
            assert not sock.getblocking()
    finally:
        for sock in sockets:
            sock.close()


def test_an_address_in_use_is_named_with_its_place(taken: str) -> None:
    with pytest.raises(ConfigError) as caught:
        bind(["127.0.0.1:0", taken])
    ((path, message),) = caught.value.problems
    assert path == "gateway.listen[1]"
    assert message == f"cannot listen on {taken}: Address already in use"


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1", "x" * 70 + ".example", "a..b"])
def test_a_host_that_is_not_ours_is_named(host: str) -> None:
    with pytest.raises(ConfigError) as caught:
        bind([f"{host}:0"])
    ((path, message),) = caught.value.problems
    assert path == "gateway.listen[0]"
    assert message.startswith(f"cannot listen on {host}:0: ")
    assert len(message) > len(f"cannot listen on {host}:0: ")


def test_every_problem_is_named_and_nothing_stays_bound(taken: str) -> None:
    free = f"127.0.0.1:{free_port()}"
    with pytest.raises(ConfigError) as caught:
        bind([free, taken, "192.0.2.1:0"])
    assert [path for path, _ in caught.value.problems] == ["gateway.listen[1]", "gateway.listen[2]"]
    for sock in bind([free]):
        sock.close()


# --- serving -------------------------------------------------------------------------------------------


class StubServer:
    """Serves nobody; tells in which order it was told to drain and stop."""

    def __init__(self) -> None:
        self.trail: list[str] = []
        self.sockets: Sequence[socket.socket] = ()

    async def serve(
        self,
        app: Any,
        sockets: Sequence[socket.socket],
        drain: Callable[[], Awaitable[Any]],
        stop: Callable[[], Awaitable[Any]],
        admit: Any,
        share: Any,
    ) -> None:
        self.sockets = sockets
        assert app is not None
        await drain()
        self.trail.append("drain")
        await stop()
        self.trail.append("stop")


def settings(**parts: Any) -> Settings:
    gateway = parts.pop("gateway", {})
    components: dict[tuple[str, str], Any] = {
        ("upstreams", "a"): StubUpstream(offer("t")),
        ("auth", "any"): Anybody(),
        **{(kind, "a" if kind == "upstreams" else "x"): thing for kind, thing in parts.items()},
    }
    return composed(components, log_level="error", **gateway)


def handled(number: signal.Signals = signal.SIGTERM) -> bool:
    """Whether somebody other than Python handles a signal."""
    return signal.getsignal(number) not in (signal.SIG_DFL, signal.default_int_handler)


async def serve(made: Settings, ready: Callable[[Gateway, Sequence[str]], None]) -> None:
    """As a worker serves, on sockets of its own."""
    configure("json", "error")
    sockets = bind(made.gateway.listen)
    addresses = [shown(each) for each in sockets]
    ending = Ending()
    with signals(ending.signal, signal.SIGTERM, signal.SIGINT):
        await serving.serve(made, sockets, ending, lambda gateway: ready(gateway, addresses))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_in_order(number: signal.Signals) -> None:
    server = StubServer()
    told: list[Sequence[str]] = []
    draining: list[bool] = []

    def ready(gateway: Gateway, addresses: Sequence[str]) -> None:
        told.append(addresses)
        draining.append(gateway.plane.draining)
        os.kill(os.getpid(), number)

    async with asyncio.timeout(30):
        await serve(settings(listeners=server), ready)
    ((address,),) = told
    assert address.startswith("127.0.0.1:")
    assert not address.endswith(":0")
    assert draining == [False]
    assert server.trail == ["drain", "stop"]
    assert all(sock.fileno() == -1 for sock in server.sockets)
    assert not handled(number)


async def test_a_second_signal_does_not_wait_for_calls() -> None:
    server = StubServer()
    seen: list[Gateway] = []

    async def stuck(exchange: Any, target: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return await asyncio.get_running_loop().create_future()

    def ready(gateway: Gateway, addresses: Sequence[str]) -> None:
        seen.append(gateway)
        endpoint = gateway.plane.endpoints["default"]
        params = modern_params({"name": "t"})
        endpoint.begin(endpoint.modern_exchange("tools/call", params, ALICE, {}))
        os.kill(os.getpid(), signal.SIGTERM)

    up = StubUpstream(offer("t"), stuck)
    made = settings(listeners=server, upstreams=up, gateway={"drain_timeout": 600})
    async with asyncio.timeout(30):
        await serve(made, ready)
    assert len(up.sent) == 1
    assert seen[0].plane.draining
    assert not seen[0].plane.load.calls


async def test_a_server_that_fails_ends_it_with_its_error() -> None:
    class Broken(StubServer):
        async def serve(self, *args: Any) -> None:
            raise OSError("certificate")

    with pytest.raises(OSError, match="certificate"):
        await serve(settings(listeners=Broken()), lambda gateway, addresses: None)
    assert not handled()


async def test_what_only_starting_shows_frees_the_addresses_again() -> None:
    class Bad:
        def __init__(self, host: Any) -> None:
            raise ConfigError([("listeners.x", "no such certificate")])

    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(ConfigError, match="no such certificate"):
        await serve(settings(listeners=Bad, gateway={"listen": (address,)}), lambda gateway, addresses: None)
    for sock in bind([address]):
        sock.close()
    assert not handled()


# --- transports of their own ---------------------------------------------------------------------------


class Pipe:
    """A transport that does its own I/O until it is let go."""

    def __init__(self, error: Exception | None = None, *, at_once: bool = True) -> None:
        self.error = error
        self.at_once = at_once
        self.ended = ""

    def routes(self) -> list[Any]:
        return []

    async def run(self) -> None:
        try:
            if not self.at_once:
                await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        if self.error is not None:
            raise self.error
        self.ended = "by itself"


async def test_it_ends_with_its_transport() -> None:
    pipe = Pipe()
    ready: list[Sequence[str]] = []
    async with asyncio.timeout(30):
        await serve_io(settings(transports=pipe), lambda gateway, addresses: ready.append(addresses))
    assert pipe.ended == "by itself"
    assert ready == [()]
    assert not handled()


async def test_it_ends_on_a_signal() -> None:
    pipe = Pipe(at_once=False)

    def ready(gateway: Gateway, addresses: Sequence[str]) -> None:
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)

    # Until serve_io has its own handler in place, the signal must not end the tests.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: None)
    async with asyncio.timeout(30):
        await serve_io(settings(transports=pipe), ready)
    assert pipe.ended == "cancelled"


async def test_a_transport_that_fails_says_so() -> None:
    with pytest.raises(OSError, match="stdin"):
        await serve_io(settings(transports=Pipe(OSError("stdin"))), lambda gateway, addresses: None)
