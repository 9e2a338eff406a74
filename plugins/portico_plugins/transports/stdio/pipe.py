"""Lines in from stdin, frames out to stdout, without ever blocking the event loop."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from itertools import chain

from portico.api import Unread
from portico_plugins.transports.talking.outbox import Bounds, Outbox

MAX_WAITING = 256
_PIECE = 1 << 16
_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


async def lines_of_stdin(longest: int) -> AsyncIterator[bytes | None]:
    """The lines of stdin as they come, None for one that is longer than `longest` bytes; ends with it.

    A thread reads: stdin may be a pipe, a terminal or a file, and only pipes can be polled.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | None] = asyncio.Queue()
    taken = threading.Semaphore(MAX_WAITING)
    # Not `sys.stdin.buffer`: its lock, held by a thread that reads, aborts the interpreter when it exits.
    lines = split(partial(os.read, sys.stdin.fileno(), _PIECE), longest)

    def read() -> None:
        for line in chain(lines, (b"",)):
            taken.acquire()
            try:
                loop.call_soon_threadsafe(queue.put_nowait, line)
            except RuntimeError:  # the loop has closed
                return

    threading.Thread(target=read, name="stdin", daemon=True).start()
    while (line := await queue.get()) != b"":
        taken.release()
        yield line


def split(read: Callable[[], bytes], longest: int) -> Iterator[bytes | None]:
    """The lines that are not blank, without their ends; None in place of one longer than `longest` bytes.

    Args:
        read: Gives the next bytes, b"" at the end.
        longest: In bytes. Of what is longer, nothing is kept.
    """
    rest = bytearray()
    skipping = False
    while piece := _next(read):
        scanned = len(rest)
        rest += piece
        start = 0
        while (end := rest.find(b"\n", max(start, scanned))) >= 0:
            line = bytes(rest[start:end])
            start = end + 1
            if skipping or len(line) > longest:
                yield None
            elif line.strip():
                yield line
            skipping = False
        del rest[:start]
        if len(rest) > longest:
            rest.clear()
            skipping = True
    if skipping:
        yield None
    elif rest.strip():
        yield bytes(rest)


def _next(read: Callable[[], bytes]) -> bytes:
    try:
        return read()
    except OSError:  # a terminal that was closed
        return b""


class Pipe(Outbox):
    """The outbox of a stdio session: frames become lines."""

    def __init__(self) -> None:
        # Nobody but who started us is at the other end; it costs its own memory only.
        never = sys.maxsize
        super().__init__(Bounds(Unread(MAX_WAITING, never), never, never))

    def push(self, frame: bytes) -> None:
        """Take a frame at once. It becomes a line: a raw line break in JSON text is white space."""
        super().push(frame.translate(_ONE_LINE) + b"\n")

    async def write_out(self) -> None:
        """Write frames until closed, or until nobody reads stdout any more."""
        loop = asyncio.get_running_loop()
        while (frames := await self.take()) is not None:
            try:
                await loop.run_in_executor(None, _write, b"".join(frames))
            except (OSError, ValueError):  # a broken pipe, or a closed file
                self.close()
                return


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
