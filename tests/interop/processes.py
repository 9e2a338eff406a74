"""Starting and stopping fixture servers and gateways, each a process of its own."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
"""The repository: fixtures are run from here."""

START_SECONDS = 60.0
"""How long a process may take to become ready; machines that run this are slow and shared."""

STOP_SECONDS = 30.0


class NotReady(Exception):
    """A process ended, or stayed silent, before it was ready."""


@attrs.frozen
class Running:
    """A started process.

    Attributes:
        url: Its MCP endpoint.
        log: Where its output goes.
        process: The process itself.
    """

    url: str
    log: Path
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def fixture(
    module: str, folder: Path, era: str | None = None, words: Sequence[str] = ()
) -> Iterator[Running]:
    """A fixture server on a port of its own.

    Args:
        module: A module of `tests.interop` with the fixtures' command line.
        folder: Where its log goes.
        era: `--era`, or None for the fixture's own default.
        words: More arguments.

    Raises:
        NotReady: It did not print its ready line.
    """
    command = [sys.executable, "-m", f"tests.interop.{module}", "--port", "0"]
    command += [*(["--era", era] if era is not None else []), *words]
    log = folder / f"{module}.log"
    with (
        log.open("wb") as stderr,
        subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True
        ) as process,
    ):
        try:
            yield Running(_ready_line(process, log), log, process)
        finally:
            _stop(process)


def _ready_line(process: subprocess.Popen[bytes], log: Path) -> str:
    pipe = process.stdout
    if pipe is not None and select.select([pipe], [], [], START_SECONDS)[0]:
        word, _, url = pipe.readline().decode().strip().partition(" ")
        if word == "ready":
            return url
    raise NotReady(f"{process.args!r} did not become ready:\n{log.read_text()[-4000:]}")


@contextlib.contextmanager
def gateway(upstream: str, folder: Path, protocol: str = "auto") -> Iterator[Running]:
    """A gateway whose only upstream is at a URL, its names unchanged.

    Args:
        upstream: The upstream's endpoint.
        folder: Where the config file and the log go.
        protocol: The upstream's `protocol`: `auto`, `legacy` or `modern`.

    Raises:
        NotReady: `/readyz` did not answer 200.
    """
    config = (
        f'[upstreams.fixture]\nuse = "mcp"\nurl = "{upstream}"\nprotocol = "{protocol}"\n\n'
        '[servers.default]\nupstreams = ["fixture"]\nprefix = "never"\n'
    )
    with served(config, folder) as running:
        yield running


@contextlib.contextmanager
def served(text: str, folder: Path) -> Iterator[Running]:
    """A gateway on a port of its own.

    Args:
        text: Its config, without the table `gateway`.
        folder: Where the config file and the log go.

    Raises:
        NotReady: `/readyz` did not answer 200.
    """
    port = free_port()
    config = folder / "gateway.toml"
    config.write_text(f'[gateway]\nlisten = ["127.0.0.1:{port}"]\n\n{text}')
    with serving(["serve", "--config", str(config)], port, folder / "gateway.log", folder) as running:
        yield running


@contextlib.contextmanager
def serving(arguments: Sequence[str], port: int, log: Path, folder: Path = ROOT) -> Iterator[Running]:
    """A command of `gateway` that serves on a port, once that is ready.

    Args:
        arguments: The command line.
        port: Where it listens.
        log: Where its output goes.
        folder: Its working directory.

    Raises:
        NotReady: `/readyz` did not answer 200.
    """
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [Path(sys.executable).with_name("gateway"), *arguments],
            cwd=folder,
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as process,
    ):
        try:
            _wait_ready(process, port, log)
            yield Running(f"http://localhost:{port}/mcp", log, process)
        finally:
            _stop(process)


@contextlib.contextmanager
def tunnelled(upstream: str, folder: Path) -> Iterator[Running]:
    """A gateway that a server at a URL has dialled in to, its names unchanged.

    Args:
        upstream: The server's endpoint.
        folder: Where the config file and the logs go.

    Raises:
        NotReady: They did not find each other.
    """
    port = free_port()
    config = folder / "tunnel.toml"
    config.write_text(
        f'[gateway]\nlisten = ["127.0.0.1:{port}"]\n\n[transports.streamable_http]\n\n[transports.tunnel]\n\n'
        '[upstreams.fixture]\nuse = "tunnel"\nsecrets = ["0123456789abcdef0123456789abcdef"]\n\n'
        '[servers.default]\nupstreams = ["fixture"]\nprefix = "never"\n'
    )
    executable = Path(sys.executable).with_name("gateway")
    secret = folder / "tunnel.secret"
    secret.write_text("0123456789abcdef0123456789abcdef")
    connect = f"ws://127.0.0.1:{port}/tunnel/fixture"
    dialling = ("tunnel", "--connect", connect, "--secret-file", secret, "--url", upstream)
    log = folder / "tunnel.log"
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("wb"))
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [executable, *words], cwd=folder, stdout=output, stderr=output, start_new_session=True
                )
            )
            for words in (("serve", "--config", config), dialling)
        ]
        try:
            _wait_ready(processes[0], port, log, whole=True)
            yield Running(f"http://localhost:{port}/mcp", log, processes[0])
        finally:
            for process in processes:
                _stop(process)


def _wait_ready(process: subprocess.Popen[bytes], port: int, log: Path, *, whole: bool = False) -> None:
    """Wait for `/readyz`; with `whole`, until no upstream is missing either."""
    last = "no answer"
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
                last = answer.read().decode()
                if not whole or '"status":"ready"' in last:
                    return
        except urllib.error.HTTPError as error:
            last = f"HTTP {error.code}"
        except OSError as error:
            last = str(error)
        time.sleep(0.05)
    raise NotReady(f"the gateway did not become ready ({last}):\n{log.read_text()[-4000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and all it started: politely, then for good."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
