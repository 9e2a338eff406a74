"""Shaping answers with jq and JSONPath: programs nobody has to trust, in processes that are ended on time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from .shape_worker import ANSWER, CHECK, FINE, JQ, JSONPATH, NO_LIBRARY, REQUEST, TOO_LARGE

Language = Literal["jq", "jsonpath"]
_T = TypeVar("_T")

_KINDS: Final[dict[Language, int]] = {"jq": JQ, "jsonpath": JSONPATH}
_NEEDED: Final = (("jq", "jq"), ("jsonpath", "python-jsonpath"))
_SCRIPT: Final = Path(__file__).with_name("shape_worker.py")
_STARTING: Final = 10.0
"""Seconds a process may take to start."""
_COMPILING: Final = 2.0
"""Seconds a program may take to be compiled."""
_MOST_CHECKED: Final = 4096
_OFTEN: Final = 1000
"""Programs after which a process is replaced, whatever the libraries have lost by then."""
_IDLE: Final = 60.0
"""Seconds after which a process that has nothing to do is ended."""
_MEMORY: Final = 256 * 1024 * 1024
_VALUES: Final = re.compile(r" \(.*\)", re.DOTALL)
"""jq shows values in parentheses when it fails; what is shaped away must not come that way."""


class Unshaped(Exception):
    """A program gave nothing; the text says why, in words for whoever called."""


def missing() -> str:
    """What of the extra is not there, and what to do; "" when all is."""
    if os.name != "posix" or not sys.executable:
        return "is not supported on this system"
    for module, package in _NEEDED:
        if find_spec(module) is None:
            return f"needs {package}, which is not installed: pip install 'portico[shaping]'"
    return ""


class Worker:
    """One process that runs programs. Its methods block, but `kill`; one thread at a time uses it.

    Args:
        memory: The most bytes of memory it may take.

    Attributes:
        runs: How many programs it has run.
    """

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._dead = False
        self.runs = 0

    def start(self) -> None:
        """Start the process, and wait until it is confined.

        Raises:
            OSError: It does not come up.
        """
        given = json.dumps({"path": sys.path, "memory": self._memory})
        with self._lock:
            if self._dead:
                raise BrokenPipeError
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", str(_SCRIPT), given],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={},
                cwd="/",
                start_new_session=True,
            )
        self._answer()

    def run(self, kind: int, program: str, data: bytes, most: int, seconds: float) -> tuple[int, bytes]:
        """Run a program: how it went, and what came of it.

        Raises:
            OSError: The process has ended.
        """
        self.runs += 1
        process = self._process
        if process is None or process.stdin is None:
            raise BrokenPipeError
        own = program.encode("utf-8", "replace")
        head = REQUEST.pack(kind, len(own), len(data), most, min(255, math.ceil(seconds)))
        try:
            process.stdin.write(head + own + data)
            process.stdin.flush()
        except OSError:
            self.end()
            raise
        return self._answer(most)

    def _answer(self, most: int = 0) -> tuple[int, bytes]:
        out = self._process.stdout if self._process is not None else None
        head = out.read(ANSWER.size) if out is not None else b""
        if out is not None and len(head) == ANSWER.size:
            how, size = ANSWER.unpack(head)
            if size <= max(most, 1000):
                body = out.read(size)
                if len(body) == size:
                    return int(how), body
        self.end()
        raise BrokenPipeError

    def kill(self) -> None:
        """End it from any thread; whoever uses it is told."""
        with self._lock:
            self._dead = True
            if self._process is not None:
                self._process.kill()

    def end(self) -> None:
        """End it, and leave nothing of it."""
        self.kill()
        process = self._process
        if process is not None:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            process.wait()


_checked: dict[tuple[Language, str], str] = {}


def problems(programs: Iterable[tuple[Language, str]]) -> dict[tuple[Language, str], str]:
    """What is wrong with programs, with the line and the column; "" with those that are fine.

    They are compiled in a process of their own, one for all that are not known yet.
    """
    wanted = list(dict.fromkeys(programs))
    new = [each for each in wanted if each not in _checked]
    if new:
        lacking = missing()
        if lacking:
            return {(language, program): f"`{language}` {lacking}" for language, program in wanted}
        if len(_checked) > _MOST_CHECKED:
            _checked.clear()
        _checked.update(_compiled(new))
    return {each: _checked[each] for each in wanted}


def _compiled(programs: list[tuple[Language, str]]) -> dict[tuple[Language, str], str]:
    out = {}
    worker: Worker | None = None
    for language, program in programs:
        if worker is None:
            worker = Worker(_MEMORY)
        watch = threading.Timer(_COMPILING if worker.runs else _STARTING, worker.kill)
        watch.start()
        try:
            if not worker.runs:
                worker.start()
            how, said = worker.run(_KINDS[language] | CHECK, program, b"", 1000, _COMPILING)
            out[language, program] = "" if how == FINE else said.decode("utf-8", "replace") or "not compiled"
        except OSError:
            out[language, program] = "it cannot be compiled within the limits of time and memory"
            worker = None
        finally:
            watch.cancel()
    if worker is not None:
        worker.end()
    return out


class Shaper:
    """Runs programs on the answers of one upstream. Its processes start when the first is needed.

    Args:
        most: The most bytes a shaped answer may have.
        seconds: The most seconds a program may take.
        processes: How many programs run at a time.
    """

    def __init__(self, most: int, seconds: float, processes: int = 2) -> None:
        self._most = most
        self._seconds = seconds
        self._memory = _MEMORY + 16 * most
        self._room = asyncio.Semaphore(processes)
        self._idle: list[Worker] = []
        self._working: set[Worker] = set()
        self._busy: set[asyncio.Future[Any]] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def shaped(self, language: Language, program: str, data: bytes) -> bytes:
        """What a program makes of a JSON text.

        Raises:
            Unshaped: Nothing; the process is replaced if it is at fault.
        """
        async with self._room:
            worker = self._idle.pop() if self._idle else Worker(self._memory)
            self._working.add(worker)
            try:
                if not worker.runs:
                    async with asyncio.timeout(_STARTING):
                        await self._in_thread(worker.start)
                async with asyncio.timeout(self._seconds):
                    how, out = await self._in_thread(
                        lambda: worker.run(_KINDS[language], program, data, self._most, self._seconds)
                    )
            except TimeoutError:
                worker.kill()
                raise Unshaped("it takes too long") from None
            except OSError:
                worker.kill()
                raise Unshaped("it ended its process, or takes too much memory") from None
            except BaseException:
                worker.kill()
                raise
            finally:
                self._working.discard(worker)
            self._keep(worker)
        if how == FINE:
            return out
        if how == TOO_LARGE:
            raise Unshaped(f"it gives more than {self._most} bytes")
        if how == NO_LIBRARY:
            raise Unshaped(f"`{language}` {missing()}")
        raise Unshaped(_VALUES.sub("", out.decode("utf-8", "replace"))[:200])

    async def _in_thread(self, run: Callable[[], _T]) -> _T:
        """Run what blocks; it goes on when this is cancelled, and ends when its process is killed."""
        future = asyncio.get_running_loop().run_in_executor(None, run)
        self._busy.add(future)
        future.add_done_callback(self._done)
        return await asyncio.shield(future)

    def _done(self, future: asyncio.Future[Any]) -> None:
        self._busy.discard(future)
        if not future.cancelled():
            future.exception()  # retrieved, whether or not anybody waits

    def _keep(self, worker: Worker) -> None:
        if self._closed or worker.runs >= _OFTEN:
            worker.end()
            return
        self._idle.append(worker)
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._sweeper = asyncio.get_running_loop().call_later(_IDLE, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        while self._idle:
            self._idle.pop().end()

    async def close(self) -> None:
        """End every process."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._sweep()
        for worker in self._working:
            worker.kill()
        if self._busy:
            await asyncio.wait(self._busy)
