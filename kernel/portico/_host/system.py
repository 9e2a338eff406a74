"""What the operating system knows of processes."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Container


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
