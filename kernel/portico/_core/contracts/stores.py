"""What stores and caches implement."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable


@runtime_checkable
class Store(Protocol):
    """Small shared state with expiry and compare-and-set."""

    async def get(self, key: str) -> bytes | None:
        """The value, or None."""
        ...

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Set it, for `ttl` seconds."""
        ...

    async def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes, ttl: float | None = None
    ) -> bool:
        """Set it if it still is what was expected."""
        ...

    async def publish(self, topic: str, message: bytes) -> None:
        """Tell every subscriber, of every process."""
        ...

    def subscribe(self, topic: str) -> AbstractAsyncContextManager[Callable[[], Awaitable[bytes]]]:
        """While entered: an awaitable function giving the next message."""
        ...


@runtime_checkable
class Cache(Protocol):
    """Get, set with ttl, delete. A key always carries visibility."""

    async def get(self, key: str) -> bytes | None:
        """The value, or None."""
        ...

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        """Keep it for `ttl` seconds."""
        ...

    async def delete(self, key: str) -> None:
        """Forget it."""
        ...
