"""Tells a service manager how the gateway is, as sd_notify(3) describes it."""

from __future__ import annotations

import contextlib
import os
import socket
import time


def notify(*lines: str) -> None:
    """Send a state (`READY=1`) to the socket that `NOTIFY_SOCKET` names; does nothing without one."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    name = "\0" + path[1:] if path[0] == "@" else path
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.sendto("\n".join(lines).encode(), name)


def watchdog() -> float | None:
    """Seconds between the `WATCHDOG=1` that the service manager wants of this process; None if it wants none.

    It wants them within `WATCHDOG_USEC`; twice as often is what sd_watchdog_enabled(3) recommends.
    """
    period, whose = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not period.isdecimal() or int(period) == 0 or whose not in ("", str(os.getpid())):
        return None
    return int(period) / 2_000_000


def reloading() -> None:
    """A reload begins; `READY=1` ends it."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
