"""The access log: a line a call, the same that `log` would write, at a tenth of its cost.

Nearly all of a line is the text of an earlier call with the same facts. Lines wait up to `INTERVAL` to be
written together, by a thread, for whoever reads stderr may be slow: the event loop does not wait for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Final

from portico._core.contracts.log import Log
from portico._core.requests.call_records import CALL_FACTS, CallRecord
from portico._host.logs.lines import Lines
from portico._host.logs.log import in_json, rendered, stamp

INTERVAL: Final = 0.1
"""Seconds a line may wait for others."""

PATIENCE: Final = 2.0
"""Seconds a slow reader has to take the last lines in."""

_TOGETHER: Final = 1024
_LONG: Final = 256
_REMEMBERED: Final = 1024


def in_line(log: Log) -> Callable[[CallRecord], None]:
    """An access log that is written through `log`, at once."""

    def write(record: CallRecord) -> None:
        log.info("call", **dict(zip(CALL_FACTS, record, strict=True)))

    return write


@asynccontextmanager
async def access_log() -> AsyncIterator[AccessLog]:
    """An access log on stderr, in the format `log.configure` was told; all of it is out when it is left."""
    lines = Lines(lambda count: rendered("warning", "access_log.dropped", lines=count))
    log = AccessLog(lines)
    try:
        yield log
    finally:
        log.flush()
        lines.close(PATIENCE)


class AccessLog:
    """Takes in what an `Endpoint` tells of its calls. Belongs to one event loop.

    Args:
        lines: Where the lines go.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._json = in_json()
        self._waiting: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._second = 0
        self._begin = ""
        self._around = lru_cache(_REMEMBERED)(_around)

    def __call__(self, record: CallRecord) -> None:
        """Take a call in."""
        name, ms = record[5], record[8]
        short = name is None or (isinstance(name, str) and len(name) <= _LONG)
        if self._json and short and len(record[4]) <= _LONG:
            now = time.time()
            second = int(now)
            if second != self._second:
                self._second = second
                self._begin = f'{{"time":"{stamp(second)[:-4]}'
            middle, end = self._around(*record[1:8])
            # The id is the gateway's own: it needs no escaping.
            line = (
                f'{self._begin}{int((now - second) * 1000):03d}Z","level":"info","event":"call",'
                f'"request_id":"{record[0]}{middle}{ms!r}{end}'
            )
        else:
            line = rendered("info", "call", **dict(zip(CALL_FACTS, record, strict=True)))
        waiting = self._waiting
        waiting.append(line)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._due)
        elif len(waiting) >= _TOGETHER or len(line) > 8 * _LONG:
            self.flush()

    def _due(self) -> None:
        self._timer = None
        self.flush()

    def flush(self) -> None:
        """Hand on what waits."""
        if self._waiting:
            lines, self._waiting = self._waiting, []
            self._lines.put(lines)


def _around(*facts: object) -> tuple[str, str]:
    """What stands between a line's id and its milliseconds, and after them; the facts are those between."""
    line = rendered("info", "call", **dict(zip(CALL_FACTS, ("", *facts, 0.5), strict=True)))
    # No text has these words in it: in a text, the quotes would be escaped.
    before, member, after = line.rpartition(',"ms":0.5')
    return before.partition('"request_id":"')[2] + member.removesuffix("0.5"), after
