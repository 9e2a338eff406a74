"""Every registry there is, for the suites all of them are held to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from portico.api import Registry
from portico.testing import make_host
from portico_plugins.registries.memory import MEMORY, MemoryConfig

Open = Callable[[], AbstractAsyncContextManager[Registry]]
"""Opens the same records, each time it is called, in a registry of its own."""


def _memory(_: Path) -> Open:
    return lambda: MEMORY.create(MemoryConfig(), make_host("main", "registries"))


KEPT_IN: dict[str, Callable[[Path], Open]] = {"memory": _memory}
"""By name: what gives, for an empty directory, a way to open records that are empty at first."""
