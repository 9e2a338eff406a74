"""A server on the pipes of a child process: one JSON-RPC message a line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from portico.api import Host, Refused
from portico_plugins.failures import bad_response, unavailable

from . import wire
from .backchannel import Backchannel
from .config import McpConfig
from .multiplex import Multiplex
from .process import Child
from .programs import environment, resolved

_CHATTER: Final = 100
"""How many lines that are no messages a server may print before its first message."""


class Stdio(Multiplex):
    """One process.

    Args:
        config: The upstream's configuration.
        host: Its host.
        backchannel: Makes the backchannel, given how to respond.
        crashed: Told when the process ends without being asked to.
        given: Environment variables that its caller gives.
    """

    def __init__(
        self,
        config: McpConfig,
        host: Host,
        backchannel: Callable[[Any], Backchannel],
        crashed: Callable[[], None],
        given: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(host, backchannel)
        self._config = config
        self._crashed = crashed
        self._given = dict(given)
        self._child: Child | None = None
        self._rest = bytearray()
        self._scanned = 0
        self._spoken = False
        self._chatter = 0
        self._closing = False

    async def open(self) -> None:
        """Start the process; it may be running already, after a probe."""
        if self._child is not None:
            return
        config = self._config
        env = environment(config) | self._given
        cwd = self._host.base / config.cwd if config.cwd is not None else self._host.base
        try:
            self._child = await Child.start(
                resolved(config.command, env), env, cwd, self._host.log, self._bytes, self._ended
            )
        except OSError as error:
            reason = "command_not_found" if isinstance(error, FileNotFoundError) else "command_not_runnable"
            if not cwd.is_dir():
                reason = "cwd_not_found"
            raise unavailable(self._host.name, reason, retryable=False) from None

    def _over(self) -> Refused:
        return unavailable(self._host.name, "process_exited", retryable=False)

    def _bytes(self, data: bytes) -> None:
        if self.lost.is_set():
            return
        rest = self._rest
        rest += data
        start = 0
        while (end := rest.find(b"\n", max(start, self._scanned))) >= 0:
            line = bytes(rest[start:end])
            start = end + 1
            self._scanned = 0
            if line and not line.isspace() and not self._line(line):
                return
        del rest[:start]
        self._scanned = len(rest)
        if len(rest) > self._config.max_message_bytes:
            self._garbage("message_too_large")

    def _line(self, line: bytes) -> bool:
        """Take one line; False when the process is beyond use."""
        try:
            if len(line) > self._config.max_message_bytes:
                raise wire.Garbled("too long")
            self.received(line)
            self._spoken = True
        except wire.Garbled:
            self._chatter += 1
            if self._spoken or self._chatter > _CHATTER:
                self._garbage("malformed_message")
                return False
            # Greetings on stdout before the handshake are a common mistake that harms nothing.
            self._host.log.warning("upstream_stdout_noise", line=line[:200].decode("utf-8", "replace"))
        return True

    def _garbage(self, reason: str) -> None:
        self._crashed()
        self.lose(bad_response(self._host.name, reason))

    def _ended(self, status: int | None) -> None:
        if self.lost.is_set():
            return
        if not self._closing:
            self._host.log.warning("upstream_exited", status=status)
            self._crashed()
        self.lose(self._over())

    async def write(self, body: bytes) -> None:
        """Write one line."""
        if self._child is None:
            raise self._over()
        try:
            await self._child.write(body + b"\n")
        except OSError:
            raise self.why or self._over() from None

    async def close(self) -> None:
        """End the process."""
        self._closing = True
        self.lose(bad_response(self._host.name, "closed"))
        if self._child is not None:
            await self._child.stop()
