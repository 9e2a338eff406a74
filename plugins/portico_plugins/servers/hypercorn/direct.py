"""A request on the fast lane that is answered without ASGI: its body is collected first, within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portico.api import Admission
from portico_plugins.servers.hypercorn.answer import TOO_LARGE, TOO_SLOW, Answer

if TYPE_CHECKING:
    from portico_plugins.servers.hypercorn.requests import Requests


class Body:
    """A body that is wanted whole.

    Args:
        connection: What it comes on.
        admission: Who gets it, and what it may be.
        answer: Where the answer goes.
    """

    __slots__ = ("_admission", "_answer", "_connection", "_pieces", "_size")

    def __init__(self, connection: Requests, admission: Admission, answer: Answer) -> None:
        self._connection = connection
        self._admission = admission
        self._answer = answer
        self._pieces: list[bytes] = []
        self._size = 0

    def begin(self, length: int) -> None:
        """Take what is there already; the rest has `body_seconds`.

        Args:
            length: The declared one, -1 for none.
        """
        admission = self._admission
        if length > admission.body_bytes:
            self._answer.refuse(413, TOO_LARGE)
            return
        self.poke()
        if not (self._answer.begun or self._connection.complete):
            self._connection.expect(admission.body_seconds)

    def poke(self) -> None:
        """More of it may have come."""
        connection, answer = self._connection, self._answer
        piece = connection.take(answer)
        if piece is None:
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > self._admission.body_bytes:
            answer.refuse(413, TOO_LARGE)
        elif connection.complete:
            connection.not_expecting()
            connection.handle(self._admission, b"".join(self._pieces), answer)

    def late(self) -> None:
        """It has taken too long."""
        self._answer.refuse(408, TOO_SLOW)
