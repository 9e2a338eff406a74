"""Heads that have been judged before: a client repeats its own, but for the length of the body.

Reading a head, judging it and making its scope cost a third of a small call. Here that costs a comparison of
bytes: what is the same, byte for byte, but for the digits of its content-length, is judged the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from portico.api import Admission, RepeatedHead
from portico_plugins.servers.hypercorn.head import Head

if TYPE_CHECKING:
    from portico_plugins.servers.hypercorn.requests import Requests

_MOST_EACH: Final = 4
"""Heads a connection remembers: a modern client's name the tool."""
_MOST_CONNECTIONS: Final = 1024
"""Connections that remember any; the one that began first forgets."""
_LONGEST: Final = 4096


@attrs.frozen(eq=False)
class Known:
    """One head, and what it led to.

    Attributes:
        shape: Its bytes, but for the length of the body.
        head: It, taken apart; the length is that of the first one.
        admission: What the kernel said to it.
    """

    shape: RepeatedHead
    head: Head
    admission: Admission


def known_from(raw: bytes, head: Head, admission: Admission) -> Known | None:
    """What to remember of a request, or None where there is nothing to be gained."""
    plain = head.length > 0 and head.keep_alive and not head.expects
    if not plain or admission.handle is None or len(raw) > _LONGEST:
        return None
    shape = RepeatedHead.of(raw)
    return None if shape is None else Known(shape, head, admission)


class Memory:
    """Which connections remember heads: only so many, for what they remember takes room."""

    def __init__(self) -> None:
        self._connections: dict[Requests, None] = {}

    def keep(self, connection: Requests, found: Known) -> None:
        """Have a connection remember one more."""
        if connection not in self._connections:
            if len(self._connections) >= _MOST_CONNECTIONS:
                self.forget(next(iter(self._connections)))
            self._connections[connection] = None
        elif len(connection.known) >= _MOST_EACH:
            connection.known.pop()
        connection.known.insert(0, found)

    def forget(self, connection: Requests) -> None:
        """Have a connection forget all."""
        connection.known.clear()
        self._connections.pop(connection, None)
