"""What it costs to tell many clients that a list has changed."""

from __future__ import annotations

import http.client
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs

from bench.listing import modern
from bench.machine import cpu_seconds
from bench.measure import Plan, progress, served, settled_rss
from bench.processes import CannotRun
from bench.scale import held

CHANGES = 40


@attrs.frozen
class Told:
    """What it costs to tell many clients that a list has changed.

    Attributes:
        era: Of the clients; see `Streams`.
        clients: How many there were.
        cpu_us: CPU microseconds of one change: fetching the new list of one tool, and telling everybody.
        errors: Streams that could not be opened.
        first_error: What the first refusal was, "" for none.
    """

    era: str
    clients: int
    cpu_us: float
    errors: int
    first_error: str


def told(plan: Plan, era: str, count: int) -> Told:
    """CPU of a gateway that tells that many clients that the list of tools is another one, several times.

    Raises:
        CannotRun: A part did not start or ended early, or a client was not told.
    """
    with (
        served(plan, 1) as (stub, running),
        held(plan.tools, running.port, era, count, plan.cores.load) as opened,
        _listener(running.port) as heard,
    ):

        def change(times: int) -> float:
            """CPU microseconds of that many changes, and of coming to rest after them."""
            settled_rss(running.pid)
            before = cpu_seconds(running.pid)
            for _ in range(times):
                os.kill(stub.pid, signal.SIGUSR1)
                heard()
            settled_rss(running.pid)
            running.check()
            return (cpu_seconds(running.pid) - before) * 1e6

        change(1)
        cpu = (change(CHANGES) - change(0)) / CHANGES
    progress(f"{era}: {opened.streams:,} clients told in {cpu / 1e3:.1f} ms of CPU")
    return Told(era, opened.streams, cpu, opened.errors, opened.first_error)


@contextmanager
def _listener(port: int) -> Iterator[Callable[[], None]]:
    """A modern client that listens; entered, it gives what waits for the next notice.

    Raises:
        CannotRun: It is not told.
    """
    body, headers = modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", "/mcp", body, headers)
        answer = connection.getresponse()

        def heard(method: bytes = b"list_changed") -> None:
            try:
                while method not in (line := answer.readline()):
                    if not line:
                        raise CannotRun("the listener's stream has ended")
            except OSError as error:
                raise CannotRun(f"the listener was not told: {error}") from None

        heard(b"acknowledged")
        yield heard
    finally:
        connection.close()
