"""A gateway in front of five real servers, one over three transports, and a bridge in front of one."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs

from tests.interop.clients.install import Installed
from tests.interop.processes import START_SECONDS, STOP_SECONDS, NotReady
from tests.ports import free_port


@attrs.frozen
class Stage:
    """A running gateway and what its servers work on.

    Attributes:
        gateway: The gateway's address, without a path.
        bridge: The bridge's.
        folder: The clients' only root, within what the filesystem server may touch without asking for roots.
        repository: A Git repository with one commit and one untracked file.
        memory: The memory server's file.
        log: The gateway's log.
    """

    gateway: str
    bridge: str
    folder: Path
    repository: Path
    memory: Path
    log: Path

    def url(self, server: str, way: str = "http") -> str:
        """The MCP endpoint of a virtual server for a transport; for a command, that of streamable HTTP."""
        end = {"sse": "sse", "websocket": "ws"}.get(way, "mcp")
        base = self.bridge if server == "bridge" else self.gateway
        base = base.replace("http", "ws", 1) if way == "websocket" else base
        return f"{base}/{end}" if server in ("default", "bridge") else f"{base}/servers/{server}/{end}"


@contextlib.contextmanager
def stage(installed: Installed, scratch: Path) -> Iterator[Stage]:
    """Start servers and gateway; end them all.

    Raises:
        NotReady: One of them did not start, or the gateway did not reach one of its upstreams.
    """
    folder, repository, memory = scratch / "files/work", scratch / "repository", scratch / "memory.jsonl"
    folder.mkdir(parents=True)
    _repository(repository)
    port, bridge, http, sse = free_port(), free_port(), free_port(), free_port()
    config = scratch / "gateway.toml"
    config.write_text(_config(installed, port, http, sse, folder, memory))
    everything = [str(installed.node), str(installed.script("mcp-server-everything"))]
    log = scratch / "gateway.log"
    command = str(Path(sys.executable).with_name("gateway"))
    bridging = ["bridge", "--stdio", shlex.join([*everything, "stdio"]), "--port", str(bridge)]
    bridging += ["--expose", "streamable-http,sse,websocket"]
    with (
        _started([*everything, "streamableHttp"], scratch / "http.log", _answers(http), PORT=str(http)),
        _started([*everything, "sse"], scratch / "sse.log", _answers(sse), PORT=str(sse)),
        _started([command, "serve", "--config", str(config)], log, _ready(port)),
        _started([command, *bridging], scratch / "bridge.log", _ready(bridge)),
    ):
        yield Stage(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{bridge}", folder, repository, memory, log)


def _repository(folder: Path) -> None:
    folder.mkdir()
    (folder / "tracked.txt").write_text("one\n")
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    for arguments in (
        ["init", "--initial-branch", "trunk"],
        ["add", "."],
        [*identity, "commit", "-m", "first"],
    ):
        subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)
    (folder / "untracked.txt").write_text("two\n")


def _config(installed: Installed, port: int, http: int, sse: int, folder: Path, memory: Path) -> str:
    def node(name: str, *arguments: str) -> str:
        return json.dumps([str(installed.node), str(installed.script(name)), *arguments])

    def python(name: str, *arguments: str) -> str:
        return json.dumps([str(installed.python("servers")), "-m", name, *arguments])

    return f"""[gateway]
listen = ["127.0.0.1:{port}"]

[upstreams.everything]
use = "mcp"
command = {node("mcp-server-everything", "stdio")}

[upstreams.filesystem]
use = "mcp"
command = {node("mcp-server-filesystem", str(folder.parent))}

[upstreams.memory]
use = "mcp"
command = {node("mcp-server-memory")}
env = {{ MEMORY_FILE_PATH = {json.dumps(str(memory))} }}

[upstreams.git]
use = "mcp"
command = {python("mcp_server_git")}

[upstreams.time]
use = "mcp"
command = {python("mcp_server_time", "--local-timezone=UTC")}

[upstreams.everything_http]
use = "mcp"
url = "http://127.0.0.1:{http}/mcp"

[upstreams.everything_sse]
use = "mcp"
url = "http://127.0.0.1:{sse}/sse"

[transports.streamable_http]
[transports.sse]
[transports.websocket]

[servers.default]
upstreams = ["everything", "filesystem", "memory", "git", "time"]

[servers.http]
upstreams = ["everything_http"]

[servers.sse]
upstreams = ["everything_sse"]
"""


@contextlib.contextmanager
def _started(command: Sequence[str], log: Path, problem: Callable[[], str], **env: str) -> Iterator[None]:
    """A process of a group of its own, once `problem` says nothing any more."""
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command,
            cwd=log.parent,
            stdout=output,
            stderr=output,
            env=os.environ | env,
            start_new_session=True,
        ) as process,
    ):
        try:
            end = time.monotonic() + START_SECONDS
            while found := problem():
                if process.poll() is not None or time.monotonic() > end:
                    raise NotReady(
                        f"{' '.join(command)} did not become ready ({found}):\n{log.read_text()[-4000:]}"
                    )
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def _answers(port: int) -> Callable[[], str]:
    def problem() -> str:
        try:
            _get(f"http://127.0.0.1:{port}/nothing-here")
        except OSError as error:
            return str(error)
        return ""

    return problem


def _ready(port: int) -> Callable[[], str]:
    def problem() -> str:
        try:
            status, body = _get(f"http://127.0.0.1:{port}/readyz")
        except OSError as error:
            return str(error)
        states = json.loads(body).get("upstreams", {}) if status == 200 else {}
        waiting = {name: told for name, told in states.items() if told.get("state") != "ready"}
        return f"HTTP {status}: {waiting or 'no upstreams'}" if waiting or not states else ""

    return problem
