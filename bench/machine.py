"""The machine under the bench: which cores the parts run on, and what /proc says of processes and cores."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@attrs.frozen
class Cores:
    """Which cores each part runs on; None: wherever the system puts it."""

    gateway: frozenset[int] | None = None
    stub: frozenset[int] | None = None
    load: frozenset[int] | None = None

    @property
    def used(self) -> frozenset[int]:
        """Every core a pinned part runs on; all available ones when nothing is pinned."""
        pinned = [cores for cores in (self.gateway, self.stub, self.load) if cores]
        return frozenset().union(*pinned) or frozenset(os.sched_getaffinity(0))

    def __str__(self) -> str:
        if self.gateway is None:
            return "not pinned: one core"
        parts = {"gateway": self.gateway, "stub": self.stub, "load": self.load}
        return ", ".join(f"{name} on {sorted(cores or ())}" for name, cores in parts.items())


def choose_cores() -> Cores:
    """One core for the gateway; one for load and stub together, or one each where there are three or more."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        return Cores()
    return Cores(
        gateway=frozenset(available[:1]),
        stub=frozenset(available[1:2]),
        load=frozenset(available[2:3] or available[1:2]),
    )


@contextmanager
def on_cores(cores: frozenset[int] | None) -> Iterator[None]:
    """While entered, processes started here inherit these cores."""
    before = os.sched_getaffinity(0)
    if cores:
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def family(pid: int) -> list[int]:
    """The process and its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for one in found:
        found.extend(children.get(one, ()))
    return found


def _stat(pid: int) -> list[str]:
    # From the state on: the command's name before it may hold blanks and parentheses.
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def cpu_seconds(pid: int, *, children: bool = True) -> float:
    """User and system time of a process, and of its descendants, those it has reaped included."""
    found = family(pid) if children else [pid]
    fields = 15 if children else 13
    return sum(sum(map(int, stat[11:fields])) for one in found if (stat := _stat(one))) / _TICK


def rss_bytes(pid: int) -> int:
    """Resident memory of a process and its living descendants; shared pages count once for each."""
    total = 0
    for one in family(pid):
        try:
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * _PAGE
        except OSError:
            continue
    return total


def busy_seconds(cores: frozenset[int]) -> float:
    """CPU time spent on these cores since boot by anybody, time stolen by other guests included."""
    total = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name[:3] == "cpu" and name[3:].isdigit() and int(name[3:]) in cores:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
            total += user + nice + system + irq + softirq + steal
    return total / _TICK
