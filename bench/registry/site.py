"""The gateways of a run: what they are configured with, and how they are filled."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs

from bench.machine import family
from bench.measure import Plan
from bench.processes import CannotRun, Running, filled, inherited, started
from bench.registry.line import Line
from tests.ports import free_port

TOOLS = 20
PAGE = 100
_AT_ONCE = 250

_CONFIG = """\
[gateway]
listen = ["127.0.0.1:{port}"]
log_level = "warning"

[registries.main]
{registry}

[transports.streamable_http]

[transports.management_api]

[listeners.http]
use = "hypercorn"
max_connections_per_ip = 20000

[servers.default]
page_size = {page}
prefix = "always"
"""

KINDS = ("memory", "sqlite", "postgresql", "mariadb")


@attrs.frozen
class Site:
    """Where a gateway's records are kept, and how one is started on them.

    Attributes:
        plan: What to run, and on which cores.
        kind: One of `KINDS`.
        url: Of the database, "" for none.
    """

    plan: Plan
    kind: str
    url: str = ""

    @property
    def shared(self) -> bool:
        """Whether several processes can have the same records."""
        return self.kind != "memory"

    @contextmanager
    def gateway(self, workers: int = 1, page: int = PAGE) -> Iterator[Running]:
        """A gateway; started, not necessarily ready.

        Args:
            workers: How many worker processes it has.
            page: Tools a page of its lists has; 0: all of them.

        Raises:
            CannotRun: There is no such program.
        """
        port = free_port()
        with tempfile.TemporaryDirectory(prefix="portico-bench-") as folder:
            config = Path(folder, "gateway.toml")
            registry = f'use = "sql"\nurl = "{self.url}"' if self.shared else 'use = "memory"'
            config.write_text(_CONFIG.format(port=port, registry=registry, page=page))
            words = filled(self.plan.command, {"{config}": str(config), "{port}": str(port)})
            words += ["--workers", str(workers)] if workers > 1 else []
            with started(words, port, Path(folder), inherited(), self.plan.cores.gateway) as running:
                yield running


@contextmanager
def site(plan: Plan, kind: str) -> Iterator[Site]:
    """A place for records of a kind, empty.

    Raises:
        CannotRun: The database cannot be had here.
    """
    with ExitStack() as stack:
        url = ""
        if kind == "sqlite":
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="portico-bench-"))
            url = f"sqlite:///{folder}/registry.db"
        elif kind != "memory":
            url = stack.enter_context(_server(kind))
        yield Site(plan, kind, url)


@contextmanager
def _server(kind: str) -> Iterator[str]:
    """The URL of an empty database of a server that is started for it."""
    from tests.databases import SERVERS  # needs what tests need
    from tests.plugins.registries.kept import upgraded

    if missing := SERVERS[kind].missing():
        raise CannotRun(missing)
    server = SERVERS[kind]()
    try:
        server.launch()
        yield upgraded(server.fresh())
    finally:
        server.remove()


def workers_of(running: Running) -> list[int]:
    """The processes that serve: its own, or its workers'."""
    return [pid for pid in family(running.pid) if pid != running.pid] or [running.pid]


def name_of(number: int) -> str:
    """The upstream with this number."""
    return f"u{number:04d}"


def config_of(stub: int, path: str) -> dict[str, object]:
    """What an upstream's record holds."""
    return {"use": "mcp", "url": f"http://127.0.0.1:{stub}/{path}/mcp"}


async def fill(running: Running, stub: int, count: int) -> float:
    """Add so many upstreams, 250 in a request; gives the seconds until the last was acknowledged."""
    line = Line(running.port)
    await line.open()
    began = time.perf_counter()
    for first in range(0, count, _AT_ONCE):
        changes = [
            {
                "action": "create",
                "kind": "upstreams",
                "name": name_of(number),
                "config": config_of(stub, name_of(number)),
            }
            for number in range(first, min(first + _AT_ONCE, count))
        ]
        await line.manage("POST", "/bulk", {"changes": changes, "mode": "all"})
    line.close()
    return time.perf_counter() - began


async def until_listed(running: Running, count: int, seconds: float = 120.0) -> float:
    """Wait until every upstream is ready; gives the seconds since the gateway was started.

    Raises:
        CannotRun: They are not, in that time.
    """
    until = time.perf_counter() + seconds
    said = b"nobody listens"
    while time.perf_counter() < until:
        running.check()
        line = Line(running.port)
        try:
            await line.open()
            said = (await line.ask("GET", "/readyz"))[1]
            line.close()
        except OSError:
            await asyncio.sleep(0.01)
            continue
        if said.count(b'"ready"') >= count and await _last_is_listed(running, count):
            return time.perf_counter() - running.started
        await asyncio.sleep(0.05)
    raise CannotRun(f"not everything was listed in {seconds:.0f} s: {said[:300]!r}{running.last_words()}")


async def _last_is_listed(running: Running, count: int) -> bool:
    line = Line(running.port)
    await line.open()
    name = f"{name_of(count - 1)}__echo"
    answer = await line.rpc("tools/call", name=name, arguments={"text": "here"})
    line.close()
    return b'"result"' in answer
