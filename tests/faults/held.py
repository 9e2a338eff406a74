"""What a gateway holds, in numbers that can be compared and added up."""

from __future__ import annotations

from collections import Counter

import attrs
import psutil

NUMBERS = ("children", "zombies", "rss", "calls", "parked", "sessions")
"""What of a census is one number."""


@attrs.frozen
class Census:
    """What the gateway holds.

    Attributes:
        tasks: Asyncio tasks by coroutine.
        fds: File descriptors by kind.
        children: Child processes, their children included.
        zombies: Children that ended and were not waited for.
        rss: Resident memory, bytes, after a collection.
        calls: Exchanges in flight.
        parked: Calls waiting for their client's answer.
        sessions: Legacy sessions.
    """

    tasks: dict[str, int]
    fds: dict[str, int]
    children: int
    zombies: int
    rss: int
    calls: int
    parked: int
    sessions: int

    def over(self, before: Census) -> list[str]:
        """What there is more of than before, memory aside; empty when nothing has leaked."""
        out = []
        for name in ("tasks", "fds"):
            now, then = sum(getattr(self, name).values()), sum(getattr(before, name).values())
            if now > then:
                kinds = getattr(self, name), getattr(before, name)
                more = {k: n - kinds[1].get(k, 0) for k, n in kinds[0].items() if n > kinds[1].get(k, 0)}
                out.append(f"{name} {then}->{now} {more}")
        for name in NUMBERS:
            if name != "rss" and getattr(self, name) > getattr(before, name):
                out.append(f"{name} {getattr(before, name)}->{getattr(self, name)}")
        return out

    def __add__(self, other: Census) -> Census:
        """What two processes hold together."""
        tasks, fds = Counter(self.tasks) + Counter(other.tasks), Counter(self.fds) + Counter(other.fds)
        return Census(tasks, fds, **{name: getattr(self, name) + getattr(other, name) for name in NUMBERS})


def supervising(pid: int, workers: int) -> Census:
    """What a process holds that only looks after workers; they are not counted as its children."""
    process = psutil.Process(pid)
    children = process.children()
    zombies = sum(child.status() == psutil.STATUS_ZOMBIE for child in children)
    fds = {"supervisor": process.num_fds()}
    return Census({}, fds, len(children) - workers, zombies, process.memory_info().rss, 0, 0, 0)
