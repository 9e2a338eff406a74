"""What a gateway has loaded when it has answered and rests: memory that every process pays for."""

from __future__ import annotations

import json
import os
import signal
import sys
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.cli.conftest import Served
from tests.kernel.cli.test_serve import INITIALIZE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the children of a process")

Serve = Callable[..., Any]

# Other plugins, whatever is installed beside, load what they like.
PLUGINS = (
    "--plugins=anonymous,hypercorn,mcp,streamable_http,stdio,toml,json,token,credentials,"
    "local,rest,grpc,tunnel,registry_sql,registry_file,management_api"
)

PROBE = """
import json, os, signal, sys

def tell(number, frame):
    with open(os.environ["PROBE"], "w") as pipe:
        json.dump(sorted(sys.modules), pipe)

signal.signal(signal.SIGUSR1, tell)
"""

NOBODY = {
    "aiocache": "no cache is configured",
    "aiohttp": "MCP upstreams have a client of their own",
    "authlib": "no OAuth is configured",
    "cryptography": "seven megabytes, for the first handle that is sealed",
    "ctypes": "for the first child process",
    "difflib": "for the nearest right name, when one is wrong",
    "greenlet": "a megabyte, for statements of an SQL registry",
    "h11": "the fast lane has a parser of its own",
    "h2": "without TLS and h2c, nobody speaks HTTP/2 here",
    "hpack": "see h2; its tables are half a megabyte",
    "hypercorn": "only its protocols are used, and they cannot be reached here",
    "mcp": "the SDK is for the client commands",
    "multiprocessing": "workers are processes of the supervisor",
    "opentelemetry": "nothing exports spans",
    "portico._config.exchange": "nothing is imported or exported",
    "portico.testing": "for tests",
    "portico_plugins.credentials.fixed_config": "no credential is configured",
    "portico_plugins.credentials.oauth_config": "no credential is configured",
    "portico_plugins.registries.file.registry": "no registry is configured",
    "portico_plugins.registries.sql.config": "no registry is configured",
    "portico_plugins.transports.talking.talk": "stdin and stdout are not served",
    "portico_plugins.tunnel.config": "nothing dials in",
    "portico_plugins.upstreams.grpc.config": "there is no such upstream",
    "portico_plugins.upstreams.local.config": "there is no such upstream",
    "portico_plugins.upstreams.rest.config": "there is no such upstream",
    "pydantic": "only the SDK's",
    "rich": "structlog would colour tracebacks with it",
    "sqlmodel": "no registry is configured",
    "wsproto": "nothing is upgraded to WebSocket",
}
"""Module -> why a serving process without TLS, handles and child processes needs none of it."""

SERVING = {
    "portico._host.gateway": "the supervisor serves nothing itself",
    "portico_plugins.servers.hypercorn.listener": "see above",
    "portico_plugins.upstreams.mcp.upstream": "see above",
    "starlette": "see above",
}

COMMANDS = {"click": "a worker has no command line", "portico.cli.group": "see above"}


@pytest.fixture
def modules(tmp_path: Path) -> Callable[[int], set[str]]:
    """What a process that was started with this folder as `PYTHONPATH` has loaded."""
    (tmp_path / "sitecustomize.py").write_text(PROBE)
    os.mkfifo(tmp_path / "probe")

    def ask(pid: int) -> set[str]:
        os.kill(pid, signal.SIGUSR1)
        return set(json.loads((tmp_path / "probe").read_text()))

    return ask


@pytest.fixture
def probed(serve_in: Serve, modules: Callable[[int], set[str]], small: Served, tmp_path: Path) -> Serve:
    """`serve_in` in front of the small gateway, with the probe in every process."""
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])

    def serve(*args: str) -> Any:
        upstream = ("--upstream", small.url, PLUGINS)
        return serve_in(*upstream, *args, PYTHONPATH=path, PROBE=str(tmp_path / "probe"))

    return serve


def post(url: str, body: Any, **headers: str) -> bytes:
    """The answer to a message."""
    accepted = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    request = urllib.request.Request(url, json.dumps(body).encode(), {**accepted, **headers})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return bytes(answer.read())


def call(url: str) -> bytes:
    """The answer to a call of the 2026-07-28 era."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": "add", "arguments": {"a": 1, "b": 2}, "_meta": meta}
    headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "add"}
    return post(url, {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}, **headers)


def needless(loaded: set[str], unwanted: Mapping[str, str]) -> dict[str, str]:
    """What is loaded and unwanted, and why."""
    return {name: unwanted[name] for name in unwanted if name in loaded}


def test_a_gateway_that_has_answered_a_call_has_loaded_nothing_it_does_not_need(
    probed: Serve, modules: Callable[[int], set[str]]
) -> None:
    with probed() as served:
        assert b'"result"' in call(served.url)
        loaded = modules(served.process.pid)
    assert "portico_plugins.http1.connection" in loaded
    assert needless(loaded, NOBODY) == {}


def test_the_cipher_comes_with_the_first_session(probed: Serve, modules: Callable[[int], set[str]]) -> None:
    with probed() as served:
        assert b'"result"' in post(served.url, INITIALIZE)
        assert set(needless(modules(served.process.pid), NOBODY)) == {"cryptography"}


def test_worker_processes_have_no_command_line_and_their_supervisor_serves_nothing(
    probed: Serve, modules: Callable[[int], set[str]]
) -> None:
    with probed("--workers", "2") as served:
        assert b'"result"' in call(served.url)
        supervisor = served.process.pid
        workers = [
            int(pid) for pid in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
        ]
        assert len(workers) == 2
        for worker in workers:
            assert needless(modules(worker), NOBODY | COMMANDS) == {}
        assert needless(modules(supervisor), NOBODY | SERVING) == {}
