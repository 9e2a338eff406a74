"""Ways to run `gateway`: in this process, as a process, and as a gateway that stays up for a while."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner, Result

from portico.cli.group import gateway
from tests.kernel.cli.small_api import SmallApi, small_api

SMALL = [sys.executable, str(Path(__file__).with_name("small_server.py"))]
Finished = subprocess.CompletedProcess[str]


def environment(**more: str) -> dict[str, str]:
    """This process's environment without settings of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PORTICO_")}
    return {**kept, "COLUMNS": "200", **more}


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("PORTICO_")]:
        monkeypatch.delenv(name)

    def run(*args: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(gateway, args, input=stdin, prog_name="gateway")

    return run


@pytest.fixture
def process(tmp_path: Path) -> Callable[..., Finished]:
    """Run a command as a process, in an empty folder, to its end."""

    def run(*args: str, stdin: str = "", **env: str) -> Finished:
        command = [sys.executable, "-m", "portico", *args]
        return subprocess.run(
            command,
            check=False,
            input=stdin,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment(**env),
            timeout=60,
        )

    return run


@attrs.define
class Served:
    """A gateway that runs, and what it has said so far."""

    process: subprocess.Popen[str]
    banner: str
    errors: Path

    @property
    def url(self) -> str:
        """The first URL of its banner."""
        match = re.search(r"https?://\S+", self.banner)
        assert match, self.banner
        return match[0]

    @property
    def clients(self) -> dict[str, Any]:
        """The client configuration of its banner."""
        return dict(json.loads(self.banner[self.banner.index("\n{") :])["mcpServers"])

    def stop(self) -> int:
        """End it as an operator does; gives its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextmanager
def serving(folder: Path, *args: str, listen: str | None = "127.0.0.1:0", **env: str) -> Iterator[Served]:
    """A gateway process from its banner on until the end of the block."""
    command = [sys.executable, "-m", "portico", "serve", *args, *(["--listen", listen] if listen else [])]
    errors = folder / "stderr"
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=folder, env=environment(**env)
        )
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        banner = ""
        for line in process.stdout:
            banner += line
            if line == "}\n":
                break
        assert banner.endswith("}\n"), banner + errors.read_text()
        yield Served(process, banner, errors)
    finally:
        watchdog.cancel()
        process.terminate()
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway in front of the small server, shared by the tests of a module."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "gateway.toml").write_text(
        f"[upstreams.small]\nuse = 'mcp'\ncommand = {json.dumps(SMALL)}\n"
        "[servers.default]\n[servers.team]\ntools = { include = ['add'] }\n"
    )
    with serving(folder) as served:
        yield served


@pytest.fixture
def serve_in(tmp_path: Path) -> Callable[..., Any]:
    """`serving` in the test's own folder."""

    def serve(*args: str, **kwargs: Any) -> Any:
        return serving(tmp_path, *args, **kwargs)

    return serve


@pytest.fixture
def api() -> Iterator[SmallApi]:
    """A management API that keeps records in memory."""
    with small_api() as running:
        yield running


@pytest.fixture
def manage(
    cli: Callable[..., Result], api: SmallApi, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Run a command against it."""
    monkeypatch.setenv("PORTICO_URL", f"{api.url}/mcp")
    return cli
