"""What the supervisor knows of a worker, whichever process it is."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Sequence
from typing import Literal

from portico._core.contracts.json import Json
from portico._core.errors import ConfigError
from portico._host.places import Place
from portico._host.system import memory

Sockets = Callable[[Sequence[str]], Sequence[socket.socket]]
"""Gives the listening sockets for the addresses a configuration names."""


class WorkerFailed(Exception):
    """A worker could not start; says why."""


class Worker:
    """What the supervisor knows of a worker.

    Attributes:
        place: Its name, and where its socket is; None for one that stays alone.
        generation: Of the configuration it serves.
        failures: How many of its predecessors in a row did not live long.
        pid: Its process.
        since: When it was started, on the monotonic clock.
        state: How it is.
        wants: What the supervisor has to know of its settings, once it has read them.
        over: Done when it has ended: its exit code, negative for a signal.
        last_words: What it had to say about its end.
        heard: Takes what it has to say to the other workers.
    """

    def __init__(self, place: Place | None, generation: int, failures: int = 0) -> None:
        self.place = place
        self.generation = generation
        self.failures = failures
        self.pid = os.getpid()
        self.since = time.monotonic()
        self.state: Literal["starting", "ready", "draining"] = "starting"
        self.wants: Json = {}
        self.last_words = ""
        self.heard: Callable[[Json], None] = lambda finding: None
        self.over: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def start(self, sockets: Sockets) -> Json:
        """Start serving; gives what its upstreams are like.

        Raises:
            ConfigError: Its configuration is wrong.
            WorkerFailed: It did not start for another reason.
        """
        raise NotImplementedError

    def retire(self) -> None:
        """End, while others take its place."""
        raise NotImplementedError

    def stop(self) -> None:
        """End in good order; the second time, at once."""
        raise NotImplementedError

    def tell(self, message: Json) -> None:
        """Tell it something of the other workers; see `rounds`."""

    async def load(self) -> Json | None:
        """What it carries; None if it does not say."""
        raise NotImplementedError

    def look(self, seconds: float) -> float:
        """Look, every so many seconds, whether its loop turns; gives for how many it has not."""
        return 0.0

    def kill(self) -> None:
        """End it at once, whatever it does; if it has a process of its own."""


async def described(worker: Worker) -> Json:
    """How a worker is."""
    return {
        "node": worker.place.node if worker.place else None,
        "pid": worker.pid,
        "state": worker.state,
        "generation": worker.generation,
        "age": round(time.monotonic() - worker.since, 1),
        "memory": memory(worker.pid),
        "connections": worker.place.slot.board.held(worker.place.slot.number) if worker.place else None,
        "load": await worker.load(),
    }


def why(error: BaseException) -> str:
    """Why a worker did not start, in words."""
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    if isinstance(error, ConfigError):
        return error.render() + notes
    if isinstance(error, WorkerFailed):
        return f"{error}{notes}"
    return f"{type(error).__name__}: {error}{notes}"
