"""A gateway that also tells what it holds: `python -m tests.faults.gateway_process TOML`.

It serves as `gateway serve` does. On stdout it writes one JSON object a line: the address, once it serves,
and a census (tasks, file descriptors, children, memory, calls) for every SIGUSR1.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import signal
import sys
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil

from portico._config.discovery import discover
from portico._config.settings import Document, load
from portico._host.gateway import Gateway
from portico._host.serve import serve
from portico.cli.running import run


def _say(value: dict[str, Any]) -> None:
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def _tasks() -> Counter[str]:
    names: Counter[str] = Counter()
    for task in asyncio.all_tasks():
        coro: Any = task.get_coro()
        names[getattr(coro, "__qualname__", type(coro).__name__)] += 1
    return names


def _fds() -> Counter[str]:
    kinds: Counter[str] = Counter()
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            kinds[str(each.readlink()).partition(":")[0]] += 1
    return kinds


def census(gateway: Gateway) -> dict[str, Any]:
    """What the process holds just now. Memory that is free is given back first."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
    me = psutil.Process()
    apps = [app for each in gateway.transports.values() for app in getattr(each, "apps", {}).values()]
    return {
        "tasks": dict(_tasks()),
        "fds": dict(_fds()),
        "children": len(me.children(recursive=True)),
        "zombies": sum(child.status() == psutil.STATUS_ZOMBIE for child in me.children()),
        "rss": me.memory_info().rss,
        "calls": len(gateway.plane.load.calls),
        "parked": len(gateway.parking),
        "sessions": sum(len(app.sessions) for app in apps),
    }


def main(text: str) -> None:
    """Serve the configuration until told to stop."""
    settings = load(Document(tomllib.loads(text), "faults", Path.cwd()), discover(), {})

    def ready(gateway: Gateway, addresses: Sequence[str]) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, lambda: _say(census(gateway)))
        _say({"address": addresses[0]})

    run(serve, settings, ready)


if __name__ == "__main__":
    main(sys.argv[1])
