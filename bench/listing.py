"""What a long list costs beside the writing of it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs

from bench.load import Round, Shape, median
from bench.measure import Plan, one_round, progress, served
from bench.processes import CannotRun, Running, ask, inherited, started
from bench.scale import CONNECTIONS, LONG_LIST
from tests.ports import free_port


@attrs.frozen
class Listed:
    """A long list, and what it costs at least to write one, in turn.

    Attributes:
        shape: The load.
        whole: Through the gateway.
        bare: The same bytes from `bench.bare`.
    """

    shape: Shape
    whole: Sequence[Round]
    bare: Sequence[Round]

    @property
    def errors(self) -> int:
        """Errors of all its rounds."""
        return sum(one.errors for one in (*self.whole, *self.bare))

    @property
    def beside_us(self) -> float | None:
        """CPU microseconds of a list beside the write; None when a side has no figure."""
        whole, bare = median(self.whole, "cpu_us"), median(self.bare, "cpu_us")
        return whole - bare if whole and bare else None


def modern(method: str, params: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """The body and the headers of a modern request."""
    version = "2026-07-28"
    prefix = "io.modelcontextprotocol/"
    meta = {f"{prefix}protocolVersion": version, f"{prefix}clientCapabilities": {}}
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
    return json.dumps(body), {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": version,
        "Mcp-Method": method,
    }


def lists_less_the_write(plan: Plan, eras: Sequence[str]) -> list[Listed]:
    """A long list through the gateway, and the same bytes from `bench.bare`, which only writes.

    Raises:
        CannotRun: A part did not start or ended early.
    """
    found = []
    with served(plan, LONG_LIST) as (_, running), _bare(plan, _list_of(running)) as bare:
        for era in eras:
            shape = Shape(era, "tools/list", CONNECTIONS, tools=LONG_LIST)
            whole: list[Round] = []
            written: list[Round] = []
            for number in range(plan.rounds):
                for side in (0, 1) if number % 2 == 0 else (1, 0):
                    other, rounds = ((running, whole), (bare, written))[side]
                    other.check()
                    rounds.append(one_round(plan, other.port, shape, other.pid))
                progress(
                    f"{shape} round {number + 1}/{plan.rounds}: {whole[-1].cpu_us:.1f} us, "
                    f"bare {written[-1].cpu_us:.1f} us"
                )
            found.append(Listed(shape, whole, written))
    return found


def _list_of(running: Running) -> bytes:
    """The result of a modern `tools/list`, as it comes.

    Raises:
        CannotRun: It did not come.
    """
    body, headers = modern("tools/list", {})
    _, answer = ask(running.port, "POST", "/mcp", body, headers)
    _, found, result = answer.partition(b'"result":')
    if not found:
        raise CannotRun(f"no list: {answer[:200]!r}")
    return result[:-1]


@contextmanager
def _bare(plan: Plan, result: bytes) -> Iterator[Running]:
    """`bench.bare` on the gateway's core, answering with `result`.

    Raises:
        CannotRun: It did not start.
    """
    port = free_port()
    with TemporaryDirectory(prefix="portico-bench-") as folder:
        file = Path(folder, "result")
        file.write_bytes(result)
        words = [sys.executable, str(Path(__file__).with_name("bare.py")), str(port), str(file)]
        with started(words, port, Path(folder), inherited(), plan.cores.gateway) as running:
            while b"listening" not in Path(folder, "log").read_bytes():
                running.check()
                time.sleep(0.01)
            yield running
