"""Conversations over a network: who has them, how many there may be, and how they end."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from typing import Final

from portico.api import OVERLOADED, Challenge, Credentials, Endpoint, Principal, failure
from portico_plugins.transports.over_http.endpoints import path_of
from portico_plugins.transports.talking.elsewhere import Onward
from portico_plugins.transports.talking.outbox import Bounds, Outbox
from portico_plugins.transports.talking.talk import Talk

LAST_WORDS: Final = 1.0
"""Seconds for answers to what a conversation has under way when it is to end."""

RECHECK: Final = 5.0
"""Seconds between two looks at whether clients are still welcome."""

_TTL: Final = 365 * 86_400.0


class Line:
    """One open conversation.

    Args:
        endpoint: The virtual server.
        principal: Whose it is.
        credentials: What that was found out from.
        bounds: How far behind its client may be.
        ident: Its session's id.
        path: Where other workers take what is theirs.

    Attributes:
        outbox: What is to be sent. When it is closed and empty, the connection is to be closed.
        reason: Why the gateway ends it: "" while it does not, else "ending" or "unwelcome".
    """

    def __init__(
        self,
        endpoint: Endpoint,
        principal: Principal,
        credentials: Credentials,
        bounds: Bounds,
        ident: str,
        path: str,
    ) -> None:
        self.endpoint = endpoint
        self.principal = principal
        self.ident = ident
        self.outbox = Outbox(bounds)
        onward = Onward(endpoint, principal, credentials, path)
        self.talk = Talk(endpoint, principal, self.outbox, ident, self.wind_up, onward)
        self.reason = ""
        self._credentials = credentials
        self._working: asyncio.Task[None] | None = None

    def wind_up(self) -> None:
        """End it, once what it has under way is answered, or soon."""
        if not self.reason:
            self.reason = "ending"
            self._working = asyncio.get_running_loop().create_task(self._wind_up())

    async def _wind_up(self) -> None:
        await self.talk.finish(LAST_WORDS)
        self.outbox.close()

    def look(self) -> None:
        """End it, if its client would not be let in any more."""
        if self.reason or (self._working is not None and not self._working.done()):
            return
        verdict = self.endpoint.recognise(self._credentials)
        if verdict is None:
            self._working = asyncio.get_running_loop().create_task(self._look())
        else:
            self._judge(verdict)

    async def _look(self) -> None:
        self._judge(await self.endpoint.authenticate(self._credentials))

    def _judge(self, verdict: Principal | Challenge) -> None:
        # A scheme that fails says nothing about the client.
        failed = isinstance(verdict, Challenge) and verdict.reason == "auth_error"
        if verdict != self.principal and not failed:
            self.reason = "unwelcome"
            self.outbox.close()

    async def close(self) -> None:
        """Its connection has gone: end what it has open."""
        self.reason = self.reason or "gone"
        self.outbox.close()
        if self._working is not None:
            self._working.cancel()
        await self.talk.close()


class Lines:
    """The open conversations of one virtual server over one transport.

    Args:
        endpoint: The virtual server.
        end: How the path ends where its workers pass each other what is theirs.
        most: How many there may be.
        most_each: How many one principal may have.
        bounds: How far behind clients may be.
    """

    def __init__(self, endpoint: Endpoint, end: str, most: int, most_each: int, bounds: Bounds) -> None:
        self._endpoint = endpoint
        self._path = path_of(endpoint.name, end)
        self._most = most
        self._most_each = most_each
        self._bounds = bounds
        self._lines: dict[str, Line] = {}
        self._owned: Counter[Principal] = Counter()
        self._closing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._lines)

    def open(self, principal: Principal, credentials: Credentials) -> Line:
        """Begin a conversation.

        Raises:
            Refused: 50302, there are too many.
        """
        if len(self._lines) >= self._most or self._owned[principal] >= self._most_each:
            raise failure(OVERLOADED, "Too many sessions are open", reason="session_limit")
        ident = self._endpoint.seal.close("session", principal, secrets.token_hex(16), _TTL)
        line = self._lines[ident] = Line(
            self._endpoint, principal, credentials, self._bounds, ident, self._path
        )
        self._owned[principal] += 1
        return line

    def find(self, ident: str, principal: Principal) -> Line | None:
        """A conversation of this principal; anybody else's does not exist."""
        line = self._lines.get(ident)
        return line if line is not None and line.principal == principal else None

    def gone(self, line: Line) -> None:
        """The connection of a conversation has gone."""
        if self._lines.pop(line.ident, None) is None:
            return
        self._owned[line.principal] -= 1
        if not self._owned[line.principal]:
            del self._owned[line.principal]
        task = asyncio.get_running_loop().create_task(line.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def sweep(self) -> None:
        """End those whose clients are welcome no more."""
        for line in list(self._lines.values()):
            line.look()

    def close(self) -> None:
        """End all of them."""
        for line in list(self._lines.values()):
            line.wind_up()
