"""A plugin that tells the harness what a gateway process holds; see `tests.faults.gateway`.

It is an observer only because every gateway may have one of those, and observes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import msgspec
import psutil

from portico.api import Event, Factory, Host, Observer, ObserverFactory, doc, hookimpl

gateway_api = (1, 0)


@attrs.frozen
class CensusConfig:
    """Config of the `census` observer."""

    path: str = attrs.field(metadata=doc("The harness's Unix socket."))


class _Indifferent:
    def observe(self, event: Event) -> None:
        """Nothing is of interest."""


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


def count(wiring: Any) -> dict[str, Any]:
    """What this process holds just now. Memory that is free is given back first."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
    me = psutil.Process()
    endpoints = wiring.endpoints.values()
    return {
        "tasks": dict(_tasks()),
        "fds": dict(_fds()),
        "children": len(me.children(recursive=True)),
        "zombies": sum(child.status() == psutil.STATUS_ZOMBIE for child in me.children()),
        "rss": me.memory_info().rss,
        "calls": len(wiring.load.calls),
        "parked": max((len(each._parking) for each in endpoints), default=0),
        "sessions": sum(len(each.sessions) for each in endpoints),
    }


@asynccontextmanager
async def census(config: CensusConfig, host: Host) -> AsyncIterator[Observer]:
    """Say where this process listens, and then what it holds whenever the harness asks."""
    reader, writer = await asyncio.open_unix_connection(config.path)
    ports = [c.laddr.port for c in psutil.Process().net_connections("tcp") if c.status == "LISTEN"]

    def say(value: dict[str, Any]) -> None:
        writer.write(msgspec.json.encode(value) + b"\n")

    async def answer() -> None:
        while await reader.readline():
            say(count(host.wiring))

    say({"pid": os.getpid(), "port": ports[0]})
    task = asyncio.create_task(answer())
    try:
        yield _Indifferent()
    finally:
        task.cancel()
        writer.close()


CENSUS = Factory(name="census", summary="For the fault tests.", config=CensusConfig, create=census)


@hookimpl
def gateway_observers() -> Sequence[ObserverFactory]:
    """This plugin's observer."""
    return (CENSUS,)
