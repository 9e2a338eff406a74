"""Lines in from stdin, frames out to stdout, without ever blocking the event loop."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator

MAX_WAITING = 256


async def lines_of_stdin(longest: int) -> AsyncIterator[bytes]:
    """The lines of stdin as they come; ends with it, or with a line that is longer than `longest` bytes.

    A thread reads: stdin may be a pipe, a terminal or a file, and only pipes can be polled.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    taken = threading.Semaphore(MAX_WAITING)

    def read() -> None:
        while True:
            line = sys.stdin.buffer.readline(longest + 1)
            if len(line) > longest:
                line = b""  # no message border can be found in what follows
            taken.acquire()
            try:
                loop.call_soon_threadsafe(queue.put_nowait, line)
            except RuntimeError:  # the loop has closed
                return
            if not line:
                return

    threading.Thread(target=read, name="stdin", daemon=True).start()
    while line := await queue.get():
        taken.release()
        if line.strip():
            yield line


class Pipe:
    """The one sink of a stdio session: frames become lines."""

    attached = True

    def __init__(self) -> None:
        self._frames: list[bytes] = []
        self._closed = False
        self._wake = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()

    def push(self, frame: bytes) -> None:
        """Take a frame at once. JSON text has no raw newline, so a frame is a line."""
        self._frames.append(frame + b"\n")
        if len(self._frames) > MAX_WAITING:
            self._drained.clear()
        self._wake.set()

    async def put(self, frame: bytes) -> None:
        """Take a frame when the reader of stdout has caught up."""
        await self._drained.wait()
        self.push(frame)

    async def room(self) -> None:
        """Wait until the reader of stdout has caught up: who does not read is not listened to either."""
        await self._drained.wait()

    def end(self) -> None:
        """One message is answered; the pipe stays."""

    def close(self) -> None:
        """Write out what there is, then stop."""
        self._closed = True
        self._wake.set()

    async def write_out(self) -> None:
        """Write frames until closed, or until nobody reads stdout any more."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            frames, self._frames = self._frames, []
            if frames:
                try:
                    await loop.run_in_executor(None, _write, b"".join(frames))
                except OSError:
                    return
                finally:
                    self._drained.set()
            if self._closed and not self._frames:
                return


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
