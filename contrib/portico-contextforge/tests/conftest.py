"""A real MCP server, and a gateway that speaks ContextForge's dialect."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx2
import pytest
import pytest_asyncio

from portico.testing import RunningGateway, running_gateway

HERE = Path(__file__).parent
TOKEN = "admin-0123456789abcdef"
BEARER = {"authorization": f"Bearer {TOKEN}"}
PATIENCE = 60.0

CONFIG = f"""
[registries.main]
use = "memory"

[auth.people]
use = "token"
tokens = {{ admin = "{TOKEN}" }}

[observers.counts]
use = "contextforge_metrics"

[transports.streamable_http]

[transports.contextforge]
auth = ["people"]
metrics = "counts"
"""


@contextmanager
def process(
    *command: str, stdout: Any, stderr: Any, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is gone when this is left, and all it started with it."""
    with subprocess.Popen(command, start_new_session=True, stdout=stdout, stderr=stderr, cwd=cwd) as started:
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(started.pid, signal.SIGKILL)


@contextmanager
def time_server(kind: str, folder: Path) -> Iterator[str]:
    """The URL of a running time server."""
    with (folder / f"{kind}.log").open("wb") as log:
        command = (sys.executable, str(HERE / "time_server.py"), kind)
        with process(*command, stdout=subprocess.PIPE, stderr=log) as started:
            assert started.stdout is not None
            assert select.select([started.stdout], [], [], PATIENCE)[0], "it did not become ready"
            word, _, url = started.stdout.readline().decode().strip().partition(" ")
            assert word == "ready"
            yield url


@pytest.fixture(scope="session")
def clock_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a time server over streamable HTTP."""
    with time_server("streamable-http", tmp_path_factory.mktemp("http")) as url:
        yield url


@pytest.fixture(scope="session")
def sse_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a time server over HTTP+SSE."""
    with time_server("sse", tmp_path_factory.mktemp("sse")) as url:
        yield url


@attrs.frozen
class Forge:
    """A gateway in this process, and a client of its REST API."""

    gateway: RunningGateway
    http: httpx2.AsyncClient
    clock_url: str

    async def ask(self, method: str, path: str, body: Any = None, status: int = 200, **more: Any) -> Any:
        """The decoded answer to a request that is answered with this status."""
        given = {} if body is None else {"json": body}
        answer = await self.http.request(method, path, **given, **more)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def rpc(self, method: str, params: Any = None, **more: Any) -> Any:
        """The decoded answer to a JSON-RPC request."""
        body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params or {}}
        return await self.ask("POST", "/rpc", body, **more)

    async def register(self, name: str = "fast_time", **more: Any) -> Any:
        """Have the time server as a gateway."""
        return await self.ask("POST", "/gateways", {"name": name, "url": self.clock_url, **more})

    async def tool(self, name: str = "fast-time-get-system-time") -> Any:
        """A tool by name, out of the list."""
        tools = await self.ask("GET", "/tools?include_inactive=true")
        return next(each for each in tools if each["name"] == name)


async def _forge(config: str, clock_url: str, folder: Path) -> AsyncIterator[Forge]:
    async with running_gateway(config, base=folder) as gateway:
        transport = httpx2.ASGITransport(app=gateway.gateway.app)
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://localhost", headers=BEARER, timeout=PATIENCE
        ) as http:
            yield Forge(gateway, http, clock_url)


@pytest_asyncio.fixture
async def forge(clock_url: str, tmp_path: Path) -> AsyncIterator[Forge]:
    """A gateway without upstreams."""
    async for each in _forge(CONFIG, clock_url, tmp_path):
        yield each


@pytest.fixture
def config() -> str:
    """Its configuration; what is added to it is the transport's."""
    return CONFIG


@pytest.fixture
def forge_of(clock_url: str, tmp_path: Path) -> Callable[[str], AsyncIterator[Forge]]:
    """Makes gateways of other configurations."""
    return lambda config: _forge(config, clock_url, tmp_path)


@contextmanager
def gateway_served(folder: Path, config: str, *words: str) -> Iterator[str]:
    """The root URL of `gateway serve`, in a process of its own."""
    port = random.SystemRandom().randrange(15000, 32000)  # below those that others get who ask for any
    file = folder / "gateway.toml"
    file.write_text(f'[gateway]\nlisten = ["127.0.0.1:{port}"]\n{config}')
    command = (str(Path(sys.executable).with_name("gateway")), "serve", "--config", str(file), *words)
    with (folder / "log").open("wb") as log, process(*command, cwd=folder, stdout=log, stderr=log) as running:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5):
                    break
            except (urllib.error.URLError, OSError):
                assert running.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < end, (folder / "log").read_text()
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The root URL of a gateway of one process."""
    with gateway_served(tmp_path_factory.mktemp("gateway"), CONFIG) as url:
        yield url


@pytest.fixture(scope="session")
def served_by_two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The root URL of a gateway of two workers, whose registry is a database."""
    config = CONFIG.replace('use = "memory"', 'use = "sql"')
    with gateway_served(tmp_path_factory.mktemp("two"), config, "--workers", "2") as url:
        yield url


@pytest.fixture(scope="session")
def served_with_sse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same, with HTTP+SSE."""
    config = CONFIG.replace('use = "memory"', 'use = "sql"') + 'sse = "sse"\n\n[transports.sse]\n'
    with gateway_served(tmp_path_factory.mktemp("sse"), config, "--workers", "2") as url:
        yield url
