"""Lines for stderr, written by a thread: whoever reads them may be slow, and nobody waits for it."""

from __future__ import annotations

import os
import queue
import select
import stat
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final

MOST: Final = 4 * 1024 * 1024
"""Bytes that wait for a slow reader; what comes beyond is counted and let go."""

_WHOLE: Final = select.PIPE_BUF


def to_stderr(data: bytes) -> None:
    """Write whole lines to whatever stderr is at the time; may block.

    Raises:
        OSError: The reader has gone.
        ValueError: It is closed.
    """
    try:
        fd = sys.stderr.fileno()
    except (AttributeError, OSError):  # none at all, or one without a file
        if sys.stderr is not None:
            sys.stderr.write(data.decode())
        return
    # A pipe takes this much at once or not at all: lines of several workers do not end up in each other.
    pieces = _pieces(data) if stat.S_ISFIFO(os.fstat(fd).st_mode) else (data,)
    for piece in pieces:
        left = memoryview(piece)
        while left:
            try:
                left = left[os.write(fd, left) :]
            except BlockingIOError:  # somebody who has it open too wants it so
                poll = select.poll()
                poll.register(fd, select.POLLOUT)
                poll.poll()


def _pieces(data: bytes) -> Iterator[bytes]:
    begin = 0
    while len(data) - begin > _WHOLE:
        end = data.rfind(b"\n", begin, begin + _WHOLE) + 1 or data.index(b"\n", begin) + 1
        yield data[begin:end]
        begin = end
    yield data[begin:]


class Lines:
    """Writes lines in their order, soon.

    Args:
        notice: A line that says how many were let go.
        write: Writes whole lines; may block and raise as `to_stderr`.
        most: Bytes that may wait.
    """

    def __init__(
        self, notice: Callable[[int], str], write: Callable[[bytes], None] = to_stderr, most: int = MOST
    ) -> None:
        self._notice = notice
        self._write = write
        self._most = most
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        # Each is changed by one thread only, so that neither needs a lock.
        self._taken = self.dropped = 0
        self._written = self._told = 0

    def put(self, lines: Sequence[str]) -> None:
        """Have lines written; returns at once. Those there is no room for are let go."""
        data = ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")
        if self._taken - self._written + len(data) > self._most:
            self.dropped += len(lines)
            return
        self._taken += len(data)
        self._queue.put(data)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="portico-lines", daemon=True)
            self._thread.start()

    def close(self, seconds: float) -> bool:
        """Wait until what was put is written, or that long; gives whether it was."""
        thread, self._thread = self._thread, None
        if thread is None:
            return True
        self._queue.put(None)
        thread.join(seconds)
        return not thread.is_alive()

    def _run(self) -> None:
        while (data := self._queue.get()) is not None:
            self._out(data)
            self._written += len(data)
            if missing := self.dropped - self._told:
                self._told += missing
                self._out(self._notice(missing).encode() + b"\n")

    def _out(self, data: bytes) -> None:
        try:
            self._write(data)
        except (OSError, ValueError):
            return  # a reader that went away costs no one a request
