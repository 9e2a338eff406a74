"""What a session on any wire looks like from outside, and the wire it runs on."""

from __future__ import annotations

import abc
import asyncio
import time
from collections.abc import Sequence

from portico.api import Era, Exchange, Json, Refused, Result, Target

from .call import Call, Pausable


class Wire(abc.ABC):
    """Carries frames of one session.

    Attributes:
        lost: Set when the session is of no further use; `why` tells the reason.
    """

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self.why: Refused | None = None

    async def open(self) -> None:
        """Connect, where that is a step of its own.

        Raises:
            Refused: It failed.
        """
        return

    @abc.abstractmethod
    async def perform(self, call: Call, body: bytes) -> bytes:
        """Send a request and hand everything that comes for it to the backchannel; gives the result's bytes.

        Cancelling tells the server.

        Raises:
            Refused: The server's error, or ours.
            SessionExpired: The server does not know the session, so it has not executed the request.
        """

    @abc.abstractmethod
    async def post(self, body: bytes) -> None:
        """Send a notification or a response.

        Raises:
            Refused: It could not be sent.
        """

    @abc.abstractmethod
    async def close(self) -> None:
        """End the session and free what it holds."""

    def established(self, version: str) -> None:
        """The handshake is done; `version` is what was negotiated."""
        del version

    def listen(self) -> None:
        """Begin to receive what belongs to no request, where that is a step of its own."""
        return

    def lose(self, why: Refused) -> None:
        """Note that the session is of no further use."""
        if not self.lost.is_set():
            self.why = why
            self.lost.set()


class SessionExpired(Exception):
    """The server does not know our session any more; what was sent has not been executed."""


class Session(abc.ABC):
    """A session with a server: what the pool keeps.

    Attributes:
        wire: What it runs on.
        in_flight: How many calls it carries.
        idle: Set when the last call ends.
        pins: How many others need it to stay (the catalog, watched resources).
        last_used: When a call last ended, by `time.monotonic()`; loops may keep time in whole milliseconds.
        capabilities: What the server declared.
        info: Its `serverInfo`, or None.
        instructions: Its instructions.
    """

    era: Era

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.in_flight = 0
        self.idle = asyncio.Event()
        self.pins = 0
        self.last_used = time.monotonic()
        self.capabilities: Json = {}
        self.info: Json | None = None
        self.instructions = ""

    @abc.abstractmethod
    async def open(self) -> None:
        """Shake hands.

        Raises:
            Refused: The server refused, or could not be reached.
        """

    @abc.abstractmethod
    async def send(self, exchange: Exchange, target: Target, limit: Pausable | None) -> Result:
        """Carry out an exchange."""

    @abc.abstractmethod
    async def request(self, method: str, params: Json | None = None, call: Call | None = None) -> bytes:
        """Make a request of the gateway's own; gives the result's bytes."""

    async def tell(self, method: str, params: Json, capability: str) -> None:
        """Pass a client's notification on, where the session declared the capability."""
        return

    async def watch(self, uris: frozenset[str]) -> Sequence[str]:
        """Subscribe to exactly these resources; gives those that were refused."""
        del uris
        return ()

    async def close(self) -> None:
        """End it."""
        await self.wire.close()
