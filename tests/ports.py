"""Ports for servers that are told theirs before they listen."""

from __future__ import annotations

import contextlib
import random
import socket


def free_port() -> int:
    """A port of 127.0.0.1 nobody has, and nobody gets who asks for any: it is below those."""
    for port in random.SystemRandom().sample(range(15000, 32000), 100):
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")
