"""The author kit: what a plugin's tests need, without a gateway or with one.

`make_host` and `make_exchange` stand in for the kernel, `check_plugin` holds a plugin to its contract, and
`running_gateway` composes a real gateway in the test's own process. The names are imported when they are
first used, because pytest loads this package in every environment that has Portico installed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from portico.testing.checks import BrokenContract, check_plugin
    from portico.testing.doubles import (
        FakeClock,
        LogLine,
        RecordingClient,
        RecordingLog,
        RecordingWiring,
        make_exchange,
        make_host,
    )
    from portico.testing.running import RunningGateway, running_gateway

__all__ = [
    "BrokenContract",
    "FakeClock",
    "LogLine",
    "RecordingClient",
    "RecordingLog",
    "RecordingWiring",
    "RunningGateway",
    "check_plugin",
    "make_exchange",
    "make_host",
    "running_gateway",
]

_CHECKS = ("BrokenContract", "check_plugin")
_RUNNING = ("RunningGateway", "running_gateway")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    where = "checks" if name in _CHECKS else "running" if name in _RUNNING else "doubles"
    return getattr(importlib.import_module(f"{__name__}.{where}"), name)
