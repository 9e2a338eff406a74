"""The control socket of a running gateway: one JSON object on a line asks, one answers.

`{"do": "status"}` and `{"do": "reload"}`. Who may open the socket (mode 0600) may do both.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

from portico._core.contracts.json import Json
from portico._host import rundir

AUTO: Final = "auto"
FILE: Final = "control.sock"
_LINE: Final = 4096
_PATIENCE: Final = 10.0

Answer = Callable[[Json], Awaitable[Json]]


class Taken(OSError):
    """Another gateway answers there."""


class Control:
    """Serves the control socket.

    Args:
        path: Where.
        answer: Gives the answer to a request.
    """

    def __init__(self, path: Path, answer: Answer) -> None:
        self.path = path
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Answer from now on.

        Raises:
            Taken: Another gateway is there.
            OSError: The socket cannot be made.
        """
        if _alive(self.path):
            raise Taken(f"another gateway answers on {self.path}")
        with contextlib.suppress(FileNotFoundError):
            rundir.check_socket(self.path)
            self.path.unlink()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)  # private from its first moment, whatever folder it is in
        try:
            sock.bind(str(self.path))
        except OSError:
            sock.close()
            raise
        finally:
            os.umask(before)
        sock.setblocking(False)
        self._server = await asyncio.start_unix_server(self._talk, sock=sock, limit=_LINE)

    async def close(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.close()
            self.path.unlink(missing_ok=True)
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        try:
            async with asyncio.timeout(_PATIENCE):
                line = await reader.readline()
            while line:
                writer.write(msgspec.json.encode(await self._answered(line)) + b"\n")
                await writer.drain()
                async with asyncio.timeout(_PATIENCE):
                    line = await reader.readline()
        except (OSError, ValueError, asyncio.CancelledError):
            pass  # it said nothing, too much, or went away; or the gateway ends
        finally:
            self._talks.discard(task)
            writer.close()

    async def _answered(self, line: bytes) -> Json:
        try:
            request = msgspec.json.decode(line)
        except msgspec.DecodeError:
            request = None
        if not isinstance(request, dict):
            return {"ok": False, "error": 'expected a JSON object such as {"do": "status"}'}
        return await self._answer(request)


def _alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.settimeout(1.0)
            probe.connect(str(path))
        except OSError:
            return False
    return True


def ask(path: Path, request: Json, seconds: float) -> Json:
    """Ask the gateway behind a control socket.

    Args:
        path: The socket.
        request: See the module.
        seconds: How long to wait for the answer.

    Raises:
        OSError: Nobody answers, or the socket is not one to trust.
    """
    rundir.check_socket(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(seconds)
        sock.connect(str(path))
        sock.sendall(msgspec.json.encode(request) + b"\n")
        with sock.makefile("rb") as answers:
            line = answers.readline()
    if not line:
        raise ConnectionResetError(f"the gateway behind {path} went away without an answer")
    answer: Json = msgspec.json.decode(line)
    return answer
