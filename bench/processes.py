"""The processes of a run: the stub and the gateway, started on their cores, ended by their ids."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs

from bench.machine import on_cores
from bench.native import Tools
from tests.ports import free_port

READY_SECONDS = 30.0
STOP_SECONDS = 15.0

CONFIG = """\
[gateway]
listen = ["127.0.0.1:{port}"]
log_level = "warning"

[listeners.http]
use = "hypercorn"
max_connections = 20000
max_connections_per_ip = 20000

[upstreams.stub]
use = "mcp"
url = "http://127.0.0.1:{upstream}/mcp"

[servers.default]
upstreams = ["stub"]
prefix = "never"
"""


class CannotRun(Exception):
    """The run cannot go on; the message says what happened and what to look at."""


@attrs.frozen
class Running:
    """A started program.

    Attributes:
        process: It.
        port: The port on 127.0.0.1 its MCP endpoint `/mcp` is at.
        log: The file that takes what it prints; None for the stub.
        started: When it was started, on `time.perf_counter()`.
    """

    process: subprocess.Popen[str]
    port: int
    log: Path | None = None
    started: float = 0.0

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def check(self) -> None:
        """Nothing, while it runs.

        Raises:
            CannotRun: It ended; the message has its status and the end of its log.
        """
        if self.process.poll() is not None:
            raise CannotRun(f"the gateway ended with status {self.process.returncode}{self.last_words()}")

    def last_words(self) -> str:
        """The end of its log, as the tail of a message."""
        lines = self.log.read_text(errors="replace").splitlines()[-20:] if self.log else []
        return "; its last lines:\n  " + "\n  ".join(lines) if lines else ""


@contextmanager
def stub_upstream(tools: Tools, cores: frozenset[int] | None = None, count: int = 20) -> Iterator[Running]:
    """The stub with `count` tools, listening; it ends with its stdin, so it never outlives the bench."""
    command = [str(tools.stub), "--tools", str(count)]
    with on_cores(cores):
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise CannotRun("the stub upstream did not start")
        yield Running(process, json.loads(line)["port"])
    finally:
        end(process)


def default_command() -> str:
    """`serve` of this Python environment's `gateway`, or else of the one on the path."""
    beside = Path(sys.executable).with_name("gateway")
    return f"{shlex.quote(str(beside)) if beside.exists() else 'gateway'} serve --config {{config}}"


@contextmanager
def gateway(
    command: str, upstream: int, cores: frozenset[int] | None = None, text: str = CONFIG
) -> Iterator[Running]:
    """The gateway in front of the stub; started, not necessarily ready.

    Args:
        command: What to run; `{config}`, `{port}` and `{upstream}` are filled in.
        upstream: The stub's port.
        cores: Where it runs; None for anywhere.
        text: Its config; `{port}` and `{upstream}` are filled in.

    Raises:
        CannotRun: There is no such program.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="portico-bench-") as folder:
        config = Path(folder, "gateway.toml")
        config.write_text(text.format(port=port, upstream=upstream))
        words = filled(command, {"{config}": str(config), "{port}": str(port), "{upstream}": str(upstream)})
        with started(words, port, Path(folder), inherited(), cores) as running:
            yield running


def inherited() -> dict[str, str]:
    """The environment without `PORTICO_*`: the settings under test are the file's alone."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PORTICO_")}


def filled(command: str, values: Mapping[str, str]) -> list[str]:
    """The words of a command line, each placeholder replaced by its value."""
    words = shlex.split(command)
    for name, value in values.items():
        words = [word.replace(name, value) for word in words]
    return words


@contextmanager
def started(
    words: Sequence[str],
    port: int,
    folder: Path,
    environment: Mapping[str, str],
    cores: frozenset[int] | None = None,
) -> Iterator[Running]:
    """A server program, started in a process group of its own; whatever is left of the group ends with it.

    Args:
        words: Its argument list.
        port: The port it was told to listen on.
        folder: Where it runs; what it prints goes to the file `log` there.
        environment: Its whole environment.
        cores: Where it runs; None for anywhere.

    Raises:
        CannotRun: There is no such program.
    """
    log = folder / "log"
    with log.open("w") as output:
        began = time.perf_counter()
        try:
            with on_cores(cores):
                process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=folder,
                    env=environment,
                    text=True,
                    start_new_session=True,
                )
        except OSError as error:
            raise CannotRun(f"cannot start {words[0]}: {error.strerror}") from None
    try:
        yield Running(process, port, log, began)
    finally:
        end(process)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def wait_ready(running: Running) -> None:
    """Wait until `/readyz` answers 200.

    Raises:
        CannotRun: It ended, or took too long.
    """
    last = "nothing listens"
    while time.perf_counter() - running.started < READY_SECONDS:
        running.check()
        try:
            status, body = ask(running.port, "GET", "/readyz")
        except OSError as error:
            last = str(error) or type(error).__name__
        else:
            if status == 200:
                return
            last = f"/readyz says {status} {body[:200]!r}"
        time.sleep(0.05)
    raise CannotRun(f"the gateway was not ready in {READY_SECONDS:.0f} s: {last}{running.last_words()}")


def first_answer(running: Running, more: Sequence[tuple[str, str]] = (), tool: str = "echo") -> float:
    """Seconds from the start of the program to its first right answer to a tools/call.

    Args:
        running: The program.
        more: Headers to send besides those of the protocol.
        tool: What the stub's `echo` is called there.

    Raises:
        CannotRun: It ended, or took too long.
    """
    body = json.dumps(
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {
                "_meta": {
                    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1.0.0"},
                    "io.modelcontextprotocol/clientCapabilities": {},
                },
                "name": tool,
                "arguments": {"text": "first light"},
            },
        }
    )
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
        **dict(more),
    }
    last = "nothing listens"
    while (passed := time.perf_counter() - running.started) < READY_SECONDS:
        running.check()
        try:
            status, answer = ask(running.port, "POST", "/mcp", body, headers)
        except OSError as error:
            last = str(error) or type(error).__name__
        else:
            if status == 200 and b"first light" in answer and b'"result"' in answer:
                return time.perf_counter() - running.started
            last = f"{status} {answer[:200]!r}"
        time.sleep(0.002 if passed < 5 else 0.05)
    raise CannotRun(f"no answer to a call in {READY_SECONDS:.0f} s: {last}{running.last_words()}")


def ask(
    port: int,
    method: str,
    path: str,
    body: str | None = None,
    headers: dict[str, str] | None = None,
    seconds: float = 5,
) -> tuple[int, bytes]:
    """One HTTP request on a connection of its own: the status and the body.

    Raises:
        OSError: Nobody there, or no HTTP answer within `seconds`.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.HTTPException as error:
        raise ConnectionError(f"not an HTTP answer: {error!r}") from error
    finally:
        connection.close()


def end(process: subprocess.Popen[str]) -> None:
    """Close a program's pipes, and end it: kindly first."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
