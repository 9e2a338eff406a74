from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from portico.api import State
from portico.testing import RecordingLog, make_host
from portico.testing.running import running_gateway
from portico_plugins.upstreams.mcp.config import McpConfig
from portico_plugins.upstreams.mcp.launch import launched
from portico_plugins.upstreams.mcp.programs import resolved

ROOT = Path(__file__).resolve().parents[3]

LISTENER = """
import os, socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    open(sys.argv[2], "a").write(f"{os.getpid()}\\n")
    while True:
        server.accept()[0].close()
"""


def config(folder: Path, *, code: str = LISTENER, **changes: object) -> McpConfig:
    launch = ("python", "-c", code, "{port}", str(folder / "pids"))
    fields = {"url": "http://127.0.0.1:{port}/mcp", "launch": launch, "start_grace": 30.0, **changes}
    return McpConfig(**fields)  # type: ignore[arg-type]


def pids(folder: Path) -> list[int]:
    return [int(line) for line in (folder / "pids").read_text().split()]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_the_program_listens_before_the_upstream_starts_and_is_gone_after_it(tmp_path: Path) -> None:
    async with launched(config(tmp_path), make_host(base=tmp_path)) as running:
        assert "{port}" not in running.url
        assert running.launch[3] in running.url
        (pid,) = pids(tmp_path)
        assert alive(pid)
    assert not alive(pid)


class WatchedLog(RecordingLog):
    """Hands over the process id of each start."""

    def __init__(self) -> None:
        super().__init__()
        self.started: asyncio.Queue[int] = asyncio.Queue()

    def info(self, event: str, **facts: Any) -> None:
        super().info(event, **facts)
        if event == "launched":
            self.started.put_nowait(facts["pid"])


async def test_a_program_that_crashes_is_started_again(tmp_path: Path) -> None:
    log = WatchedLog()
    async with launched(config(tmp_path), make_host(base=tmp_path, log=log)), asyncio.timeout(30):
        first = await log.started.get()
        os.kill(first, 9)
        second = await log.started.get()
        assert alive(second)
    assert not alive(first)
    assert not alive(second)


async def test_a_program_that_keeps_ending_is_given_up(tmp_path: Path) -> None:
    log = RecordingLog()
    hopeless = config(tmp_path, code="", restarts=1)
    async with launched(hopeless, make_host(base=tmp_path, log=log)):
        pass
    assert log.events.count("launched_exited") == 2
    assert log.events[-1] == "launch_given_up"


async def test_a_program_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    log = RecordingLog()
    missing = config(tmp_path, launch=("no-such-program", "{port}"))
    async with launched(missing, make_host(base=tmp_path, log=log)):
        pass
    assert log.lines[-1].event == "launch_failed"
    assert log.lines[-1].facts["program"] == "no-such-program"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"url": "http://127.0.0.1:{port}/mcp"}, "needs a `launch`"),
        ({"command": ("x",), "launch": ("y",)}, "`launch` means nothing with `command`"),
        ({"url": "http://127.0.0.1:1/mcp", "env": {"A": "b"}}, "`env` means nothing with `url`"),
    ],
)
def test_a_launch_that_means_nothing_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        McpConfig(**wrong)  # type: ignore[arg-type]


async def test_the_launched_server_is_federated(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples" / "data" / "tables", tmp_path / "tables")
    text = """
        [upstreams.tables]
        use = "mcp"
        url = "http://127.0.0.1:{port}/mcp"
        launch = ["python", "-m", "portico_examples.tables", "tables", "--port", "{port}"]
        start_grace = 60
    """
    async with running_gateway(text, base=tmp_path) as gateway:
        assert gateway.gateway.plane.upstreams["tables"].state is State.READY
        answer = await gateway.call("query", {"sql": "SELECT count(*) FROM moons"})
    assert answer["structuredContent"]["rows"] == [[20]]


def test_python_is_the_gateways_own() -> None:
    program, *arguments = resolved(["python", "x.py"], {"PATH": "/usr/bin:/bin"})
    assert Path(program).parent == Path(sys.executable).parent
    assert arguments == ["x.py"]


def test_a_program_that_is_only_in_the_path_is_found_there(tmp_path: Path) -> None:
    tool = tmp_path / "some-tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    assert resolved(["some-tool"], {"PATH": str(tmp_path)}) == [str(tool)]


def test_a_path_is_taken_as_it_is() -> None:
    assert resolved(["./server", "a"], {"PATH": "/usr/bin"}) == ["./server", "a"]
    assert resolved(["no-such-program"], {"PATH": "/usr/bin"}) == ["no-such-program"]
