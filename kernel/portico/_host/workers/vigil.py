"""What a supervisor sees to now and then: workers that are stuck, orphans, the service manager's watchdog."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from portico._core.contracts.log import Log
from portico._host.notify import notify, watchdog
from portico._host.system import reap
from portico._host.workers.base import Worker

_EACH: Final = 0.5
_REAPED_EACH: Final = 1.0

Workers = Callable[[], Sequence[Worker]]


def duties(workers: Workers, log: Log) -> list[Coroutine[Any, Any, None]]:
    """What there is to look after here; each goes on until it is cancelled."""
    found: list[Coroutine[Any, Any, None]] = [end_stuck(workers, log)]
    if os.getpid() == 1:
        found.append(_reap(workers))
    pause = watchdog()
    if pause is not None:
        found.append(_ping(pause))
    return found


async def end_stuck(workers: Workers, log: Log, each: float = _EACH) -> None:
    """Kill workers whose event loop does not turn; whoever waits for their end replaces them.

    Looks are counted rather than time: when the machine or the whole container stood still, nobody is stuck.
    """
    while True:
        await asyncio.sleep(each)
        for worker in workers():
            stuck = worker.look(each)
            allowed = worker.wants.get("hang_timeout", 0)
            if allowed and stuck >= allowed and worker.state != "starting":
                log.error("worker.stuck", pid=worker.pid, seconds=round(stuck, 1))
                worker.kill()


async def _reap(workers: Workers) -> None:
    """Process 1 inherits orphans. Now and then is enough, and the loop keeps SIGCHLD for itself."""
    while True:
        await asyncio.sleep(_REAPED_EACH)
        reap({each.pid for each in workers()})


async def _ping(pause: float) -> None:
    """Tell the service manager that this loop turns."""
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(pause)
