"""Whose turn it is to accept a connection, where other processes listen on the same socket."""

from __future__ import annotations

import select
import socket
from typing import Final

from portico.api import Share

PAUSE: Final = 0.001
"""Seconds to leave a connection to the others before looking again."""

_PATIENCE: Final = 0.02
"""Seconds that one may wait for the others; then it is taken all the same, and the next one after as long."""


class Turns:
    """Takes a connection when this process has no more than its share, or nobody else takes it.

    The kernel wakes every process, and the first to come takes them all: without this, whoever happens to be
    running has a whole burst, and keeps those connections as long as their clients do.
    """

    def __init__(self, share: Share) -> None:
        self._share = share
        self._since: float | None = None

    def most(self, held: int, now: float) -> int:
        """How many of the connections that wait to accept now; 0 to look again after `PAUSE`.

        Args:
            held: How many are open.
            now: In seconds.
        """
        room = self._share.room(held)
        if room > 0:
            self._since = None
            return room
        if self._since is None:
            self._since = now
        if now - self._since < _PATIENCE:
            return 0
        self._since = now
        return 1

    def look(self, sock: socket.socket) -> None:
        """After a pause: if nobody waits any more, whoever comes next has not waited yet."""
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        if not poll.poll(0):
            self._since = None
