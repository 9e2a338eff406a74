"""What the operating system knows of processes."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Container
from pathlib import Path
from typing import Final

_NO_LIMIT: Final = 1 << 60
_PROCESSES: Final = Path("/proc/self/cgroup")
_GROUPS: Final = Path("/sys/fs/cgroup")


def ended(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def reap(known: Container[int]) -> None:
    """As process 1 of a container: take leave of orphans that others left behind. `known` are waited for."""
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid in known:
            return
        with contextlib.suppress(ChildProcessError):
            os.waitpid(found.si_pid, os.WNOHANG)


def memory(pid: int) -> int | None:
    """Resident bytes of a process; None where the system does not say."""
    try:
        with open(f"/proc/{pid}/statm") as file:  # noqa: PTH123 - a file that is none
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return None


def memory_limit(processes: Path = _PROCESSES, groups: Path = _GROUPS) -> int | None:
    """The bytes that this process's control group may have, or one around it; None without a limit.

    Args:
        processes: Says which groups this process is in.
        groups: Where the groups are, of version 1, 2 or both.
    """
    try:
        lines = processes.read_text().splitlines()
    except OSError:
        return None
    limits = []
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if not kinds:
            base, name = groups, "memory.max"
        elif "memory" in kinds.split(","):
            base, name = groups / "memory", "memory.limit_in_bytes"
        else:
            continue
        # Inside a container the path may be one of the host's, of which only the end, or nothing, is there.
        steps = [] if ".." in path else [step for step in path.split("/") if step]
        for depth in range(len(steps) + 1):
            with contextlib.suppress(OSError, ValueError):  # not there, or "max"
                limits.append(int(base.joinpath(*steps[:depth], name).read_text()))
    return min((each for each in limits if each < _NO_LIMIT), default=None)
