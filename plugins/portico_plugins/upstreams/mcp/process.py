"""A child process in a process group of its own: started, watched, and ended with all its children."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

from portico.api import Log

_PR_SET_PDEATHSIG: Final = 1
_POLITE: Final = 2.0
"""Seconds a server gets to end by itself when its input closes."""
_PATIENT: Final = 5.0
"""Seconds between SIGTERM and SIGKILL."""
_LONGEST_LINE: Final = 2048
_LINES_A_SECOND: Final = 100


def _die_with_parent(parent: int) -> Callable[[], None] | None:
    """What the child runs before the server's program: tie its life to the gateway's, and inherit nothing."""
    if sys.platform != "linux":
        return None
    import ctypes  # with the first process: most gateways start none

    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)
        # uvloop leaves copies of the pipes open in the child, so that closing stdout would go unnoticed.
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
            if int(name) > 2:
                with contextlib.suppress(OSError):
                    os.set_inheritable(int(name), False)

    return arrange


class Child(asyncio.SubprocessProtocol):
    """One running process.

    Args:
        log: Gets each line of its stderr.
        received: Gets what it writes to stdout.
        ended: Told once when it has exited or closed its output; gets the exit status, None while it runs.
    """

    def __init__(
        self, log: Log, received: Callable[[bytes], None], ended: Callable[[int | None], None]
    ) -> None:
        self._log = log
        self._received = received
        self._ended = ended
        self._told = False
        self._exited = asyncio.Event()
        self._transport: asyncio.SubprocessTransport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._stderr = bytearray()
        self._second = 0
        self._lines = 0
        self.pid = 0

    @classmethod
    async def start(
        cls,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path | None,
        log: Log,
        received: Callable[[bytes], None],
        ended: Callable[[int | None], None],
    ) -> Child:
        """Start it.

        Raises:
            OSError: There is no such command or folder, or it may not be run.
        """
        loop = asyncio.get_running_loop()
        options: dict[str, Any] = {"preexec_fn": _die_with_parent(os.getpid())}
        # Between fork and exec, the child runs Python (see `options`) without the threads of this process: an
        # object that it found to be garbage and that waits for its thread would have both wait for ever.
        collecting = gc.isenabled()
        child = cls(log, received, ended)
        gc.disable()
        try:
            await loop.subprocess_exec(
                lambda: child,
                *argv,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
                **options,
            )
        except asyncio.CancelledError:
            with contextlib.suppress(TimeoutError):  # it is killed, but uvloop does not wait for its end
                async with asyncio.timeout(_PATIENT):
                    await child._exited.wait()
            raise
        finally:
            if collecting:
                gc.enable()
        return child

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio when it runs."""
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self.pid = self._transport.get_pid()

    async def write(self, data: bytes) -> None:
        """Write to its stdin; waits while it does not read.

        Raises:
            OSError: It no longer reads.
        """
        stdin = self._transport.get_pipe_transport(0) if self._transport is not None else None
        if stdin is None or stdin.is_closing() or self._exited.is_set():
            raise BrokenPipeError
        cast("asyncio.WriteTransport", stdin).write(data)
        if not self._writable.is_set():
            await self._writable.wait()

    def pause_writing(self) -> None:
        """Called by asyncio: the pipe is full."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Called by asyncio: the pipe has room again."""
        self._writable.set()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Called by asyncio with output."""
        if fd == 1:
            self._received(data)
        else:
            self._stderr += data
            *lines, rest = self._stderr.split(b"\n")
            self._stderr = bytearray(rest)
            if len(rest) > _LONGEST_LINE:
                lines.append(rest)
                self._stderr = bytearray()
            for line in lines:
                self._say(bytes(line))

    def _say(self, line: bytes) -> None:
        """Log a line; a flood is counted instead."""
        second = int(asyncio.get_running_loop().time())
        if second != self._second:
            if self._lines > _LINES_A_SECOND:
                self._log.warning("upstream_stderr_suppressed", lines=self._lines - _LINES_A_SECOND)
            self._second, self._lines = second, 0
        self._lines += 1
        text = line[:_LONGEST_LINE].decode("utf-8", "replace").rstrip()
        if text and self._lines <= _LINES_A_SECOND:
            self._log.info("upstream_stderr", pid=self.pid, line=text)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Called by asyncio when a pipe closes."""
        del exc
        if fd == 0:
            self._writable.set()
        elif fd == 1:
            self._tell()

    def process_exited(self) -> None:
        """Called by asyncio when the process is gone; its output may still be unread."""
        self._exited.set()
        self._writable.set()
        # Children of its own may hold the pipes open; they go with it.
        self._signal(signal.SIGTERM)
        asyncio.get_running_loop().call_later(0.1, self._tell)

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            self._ended(self._transport.get_returncode() if self._transport is not None else None)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.pid:  # 0 would be our own group
                os.killpg(self.pid, number)

    async def stop(self) -> None:
        """End it and everything it started: close its input, then SIGTERM, then SIGKILL."""
        self._told = True
        transport = self._transport
        if transport is None:
            return
        stdin = transport.get_pipe_transport(0)
        if stdin is not None:
            stdin.close()
        try:
            for patience, number in ((_POLITE, signal.SIGTERM), (_PATIENT, signal.SIGKILL)):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(patience):
                        await self._exited.wait()
                    break
                self._signal(number)
            else:
                await self._exited.wait()
        finally:
            self._signal(signal.SIGKILL)
            transport.close()
