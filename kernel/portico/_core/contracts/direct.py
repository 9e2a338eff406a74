"""Requests that are answered without ASGI: how a server asks, and where the answer goes."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from typing import Any, Protocol

import attrs

Scope = MutableMapping[str, Any]
"""An ASGI HTTP connection scope."""


class Reply(Protocol):
    """Where the answer to one HTTP request goes; every method returns at once.

    Either `send` is called once, or `start`, any number of `write`, and `end`. Calls after the client has
    gone do nothing.

    Attributes:
        on_gone: Called once, if the client leaves before the answer has ended.
    """

    on_gone: Callable[[], object] | None

    def send(self, status: int, headers: Sequence[tuple[bytes, bytes]], *body: bytes) -> None:
        """Send a whole answer, its body in as many pieces as it comes in; adds `content-length`."""
        ...

    def start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Send the head of an answer whose length is not known."""
        ...

    def write(self, data: bytes) -> None:
        """Send a piece of it."""
        ...

    def end(self) -> None:
        """It is complete."""
        ...

    def cut(self) -> None:
        """End it at once and drop what the client has not taken; it cannot take it for whole."""
        ...

    @property
    def full(self) -> bool:
        """Whether the client is behind what has been written; wait for `room()` before the next."""
        ...

    async def room(self) -> None:
        """Return when the client has caught up, or has gone."""
        ...


Direct = Callable[[Scope, bytes, Reply], None]
"""Answers a request whose body has come whole, without ASGI: `(scope, body, reply)`."""


@attrs.define(eq=False)
class Admission:
    """What the kernel says to the head of a request that a server could answer without ASGI.

    It holds for every request on the same connection whose head is the same, byte for byte, but for the
    digits of its content-length; `body_bytes` is then the server's to compare that with.

    Attributes:
        scope: The scope without the headers that clients may not set.
        handle: Answers it; None when it is refused.
        status: Of the refusal.
        body: Of the refusal, JSON.
        body_bytes: The most its body may have; beyond: 413.
        body_seconds: How long its body may take; beyond: 408.
    """

    scope: Scope
    handle: Direct | None
    status: int = 200
    body: bytes = b""
    body_bytes: int = 0
    body_seconds: float = 0.0


Admit = Callable[[Scope], Admission | None]
"""Judges the head of a request; None: ASGI has it (which judges by the same rules)."""
