"""One document served by Portico and by FastMCP, each in a bounded process, asked by one client."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import attrs

PAUSE: Final = 0.05
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_CONFIG: Final = """\
[gateway]
listen = ["127.0.0.1:{port}"]
log_level = "warning"
[upstreams.api]
use = "rest"
openapi_file = {document}
base_url = "http://127.0.0.1:9"
[servers.default]
upstreams = ["api"]
"""
_FASTMCP: Final = """\
import json
import sys
from pathlib import Path

import httpx2
from fastmcp import FastMCP

document = json.loads(Path(sys.argv[1]).read_bytes())
client = httpx2.AsyncClient(base_url="http://127.0.0.1:9")
FastMCP.from_openapi(document, client=client, name="api").run(
    transport="http",
    host="127.0.0.1",
    port=int(sys.argv[2]),
    path="/mcp",
    show_banner=False,
    log_level="error",
    stateless_http=True,
    json_response=True,
)
"""


class GaveUp(Exception):
    """The server was ended: it took too long, ended by itself, or said nonsense; the message says which."""


@attrs.frozen
class Cost:
    """What it takes to serve a document.

    Attributes:
        server: Whose cost it is.
        document: Of which document.
        tools: How many tools are listed.
        ready: Seconds from the start of the process until it takes connections.
        listed: Seconds the first whole `tools/list` takes, all its pages.
        list_bytes: Bytes of it.
        cpu: Seconds of CPU of both.
        rss: Peak resident memory after that, in bytes.
        failed: Why there is no more to tell; "" for nothing.
    """

    server: str
    document: str
    tools: int = 0
    ready: float = 0.0
    listed: float = 0.0
    list_bytes: int = 0
    cpu: float = 0.0
    rss: int = 0
    failed: str = ""


def portico(name: str, document: Path, seconds: float, memory: int) -> Cost:
    """What it costs this gateway, whole, Python's start included."""
    with tempfile.TemporaryDirectory() as folder:
        port = _free()
        config = Path(folder) / "gateway.toml"
        config.write_text(_CONFIG.format(port=port, document=json.dumps(str(document.resolve()))))
        argv = [sys.executable, "-m", "portico", "serve", "--quiet", "--config", str(config)]
        return _measured("Portico", name, argv, port, seconds, memory)


def fastmcp(name: str, document: Path, python: Path, seconds: float, memory: int) -> Cost:
    """What it costs FastMCP, in the environment of that Python."""
    port = _free()
    said = subprocess.run(
        [python, "-c", "import fastmcp; print(fastmcp.__version__)"],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    argv = [str(python), "-c", _FASTMCP, str(document.resolve()), str(port)]
    return _measured(f"FastMCP {said.stdout.strip()}", name, argv, port, seconds, memory)


def _measured(server: str, name: str, argv: list[str], port: int, seconds: float, memory: int) -> Cost:
    cost = Cost(server, name)
    began = time.monotonic()

    with _ended(subprocess.Popen(argv, stdout=subprocess.DEVNULL)) as process:
        resource.prlimit(process.pid, resource.RLIMIT_AS, (memory, memory))
        try:
            _ready(process, port, began + seconds)
            cost = attrs.evolve(cost, ready=time.monotonic() - began)
            asked = time.monotonic()
            tools, size = _listed(port, began + seconds)
            cost = attrs.evolve(cost, listed=time.monotonic() - asked, tools=tools, list_bytes=size)
        except GaveUp as reason:
            cost = attrs.evolve(cost, failed=str(reason))
        if process.poll() is None:
            cost = attrs.evolve(cost, cpu=_cpu(process.pid), rss=_peak(process.pid))
    return cost


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _free() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _ready(process: subprocess.Popen[bytes], port: int, until: float) -> None:
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None:
            raise GaveUp(f"it ended with status {process.returncode}")
        if time.monotonic() > until:
            raise GaveUp("not ready in time")
        time.sleep(PAUSE)


def _listed(port: int, until: float) -> tuple[int, int]:
    """How many tools there are, and in how many bytes that is said."""
    session: dict[str, str] = {}
    _asked(port, until, session, "initialize", {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "corpus", "version": "1"},
    })  # fmt: skip
    session["MCP-Protocol-Version"] = "2025-11-25"
    tools = size = 0
    cursor: Any = None
    while True:
        params = {"cursor": cursor} if cursor is not None else {}
        result, length = _asked(port, until, session, "tools/list", params)
        tools += len(result["tools"])
        size += length
        cursor = result.get("nextCursor")
        if cursor is None:
            return tools, size


def _asked(
    port: int, until: float, session: dict[str, str], method: str, params: dict[str, Any]
) -> tuple[Any, int]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=max(until - time.monotonic(), 0.1))
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        **session,
    }
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    try:
        connection.request("POST", "/mcp", body, headers)
        answer = connection.getresponse()
        text = answer.read()
        known = answer.getheader("Mcp-Session-Id")
        if known:
            session["Mcp-Session-Id"] = known
        return json.loads(text)["result"], len(text)
    except TimeoutError:
        raise GaveUp(f"no answer to {method} in time") from None
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        raise GaveUp(f"no answer to {method}: {error!r}"[:200]) from None
    finally:
        connection.close()


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _peak(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
