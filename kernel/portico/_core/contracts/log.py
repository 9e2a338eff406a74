"""Logging, as everything in the kernel and in plugins does it."""

from __future__ import annotations

from typing import Any, Protocol


class Log(Protocol):
    """A structlog-like bound logger: an event name, then key=value facts."""

    def debug(self, event: str, **facts: Any) -> Any: ...
    def info(self, event: str, **facts: Any) -> Any: ...
    def warning(self, event: str, **facts: Any) -> Any: ...
    def error(self, event: str, **facts: Any) -> Any: ...
