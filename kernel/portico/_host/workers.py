"""The two kinds of worker a supervisor has: processes of their own, and its own process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Literal

from portico._config.orders import Orders
from portico._config.settings import Settings
from portico._core.contracts.json import Json
from portico._core.errors import ConfigError
from portico._host import link
from portico._host.accounts import composed, facts
from portico._host.ending import Ending
from portico._host.places import Place
from portico._host.system import ended, memory

if TYPE_CHECKING:
    from portico._host.gateway import Gateway

_START_SECONDS: Final = 120.0
_STATUS_SECONDS: Final = 2.0

Sockets = Callable[[Sequence[str]], Sequence[socket.socket]]
"""Gives the listening sockets for the addresses a configuration names."""


class WorkerFailed(Exception):
    """A worker could not start; says why."""


class Worker:
    """What the supervisor knows of a worker.

    Attributes:
        place: Its name, and where its socket is; None for one that stays alone.
        generation: Of the configuration it serves.
        failures: How many of its predecessors in a row did not live long.
        pid: Its process.
        since: When it was started, on the monotonic clock.
        state: How it is.
        wants: What the supervisor has to know of its settings, once it has read them.
        over: Done when it has ended: its exit code, negative for a signal.
        last_words: What it had to say about its end.
        heard: Takes what it has to say to the other workers.
    """

    def __init__(self, place: Place | None, generation: int, failures: int = 0) -> None:
        self.place = place
        self.generation = generation
        self.failures = failures
        self.pid = os.getpid()
        self.since = time.monotonic()
        self.state: Literal["starting", "ready", "draining"] = "starting"
        self.wants: Json = {}
        self.last_words = ""
        self.heard: Callable[[Json], None] = lambda finding: None
        self.over: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def start(self, sockets: Sockets) -> Json:
        """Start serving; gives what its upstreams are like.

        Raises:
            ConfigError: Its configuration is wrong.
            WorkerFailed: It did not start for another reason.
        """
        raise NotImplementedError

    def retire(self) -> None:
        """End, while others take its place."""
        raise NotImplementedError

    def stop(self) -> None:
        """End in good order; the second time, at once."""
        raise NotImplementedError

    def tell(self, message: Json) -> None:
        """Tell it something of the other workers; see `rounds`."""

    async def load(self) -> Json | None:
        """What it carries; None if it does not say."""
        raise NotImplementedError

    def look(self, seconds: float) -> float:
        """Look, every so many seconds, whether its loop turns; gives for how many it has not."""
        return 0.0

    def kill(self) -> None:
        """End it at once, whatever it does; if it has a process of its own."""


class OwnProcess(Worker):
    """Serves in the supervisor's process: with one worker, nothing else is needed until a reload."""

    def __init__(self, place: Place | None, settings: Settings) -> None:
        super().__init__(place, 1)
        self._settings = settings
        self._ending = Ending()
        self._gateway: Gateway | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self, sockets: Sockets) -> Json:
        """See `Worker.start`; raises what went wrong as it is."""
        # Here, for a supervisor whose workers all have processes of their own serves nothing itself.
        from portico._host.serve import serve

        self.wants = composed(self._settings)
        ready: asyncio.Future[Gateway] = asyncio.get_running_loop().create_future()
        try:
            mine = [each.dup() for each in sockets(self._settings.gateway.listen)]
            serving = serve(self._settings, mine, self._ending, ready.set_result, self.place)
            self._task = task = asyncio.create_task(serving)
            await asyncio.wait((ready, task), return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                if task.cancelled():
                    raise WorkerFailed("it was stopped before it served")
                task.result()
                raise WorkerFailed("it ended before it served")
        except BaseException:
            self.over.set_result(1)
            raise
        self._gateway = gateway = ready.result()
        if gateway.rounds is not None:
            gateway.rounds.tell = lambda said: self.heard(said)  # noqa: PLW0108 - as it is by then
        self.state = "ready"
        task.add_done_callback(self._ended)
        return gateway.plane.status()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._gateway = None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.over.set_exception(error)
        else:
            self.over.set_result(0)

    def retire(self) -> None:
        """See `Worker.retire`."""
        self.state = "draining"
        self._ending.retire()

    def stop(self) -> None:
        """See `Worker.stop`."""
        if self.state == "starting" and self._task is not None:
            self._task.cancel()
        self.state = "draining"
        self._ending.signal()

    def tell(self, message: Json) -> None:
        """See `Worker.tell`."""
        if self._gateway is not None and self._gateway.rounds is not None:
            self._gateway.rounds.hear(message)

    async def load(self) -> Json | None:
        """See `Worker.load`."""
        return facts(self._gateway) if self._gateway is not None else None


class Process(Worker):
    """Serves in a process of its own.

    Args:
        place: See `Worker`.
        generation: See `Worker`.
        failures: See `Worker`.
        orders: What it serves.
        command: What to run; the descriptor of its end of the link is added.
    """

    def __init__(
        self, place: Place, generation: int, failures: int, orders: Orders, command: Sequence[str]
    ) -> None:
        super().__init__(place, generation, failures)
        self._place = place
        self._orders = orders
        self._command = command
        self._messages: asyncio.Queue[Json] = asyncio.Queue()
        self._asking = asyncio.Lock()
        self._life: asyncio.Task[None] | None = None
        self._last_resort: asyncio.TimerHandle | None = None
        self._turned = 0
        self._stuck = 0.0

    async def start(self, sockets: Sockets) -> Json:
        """See `Worker.start`."""
        mine, theirs = socket.socketpair()
        board = self._place.slot.board
        with theirs:
            try:
                # A group of its own: Ctrl-C in a terminal is for the supervisor, which passes it on.
                self._process = subprocess.Popen(  # noqa: ASYNC220 - forks, and waits for nothing
                    [*self._command, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(), board.fd),
                    process_group=0,
                )
            except OSError as error:
                mine.close()
                self.over.set_result(127)
                raise WorkerFailed(f"no process could be started: {error.strerror or error}") from error
        self.pid = self._process.pid
        mine.setblocking(False)
        reader, self._writer = await asyncio.open_connection(sock=mine)
        self._life = asyncio.create_task(self._live(reader))
        self._send(
            {
                "orders": self._orders.pack(),
                "node": self._place.node,
                "folder": str(self._place.folder),
                "key": self._place.key,
                "board": board.fd,
                "slot": self._place.slot.number,
            }
        )
        try:
            async with asyncio.timeout(_START_SECONDS):
                self.wants = await self._expect("composed")
                link.send_sockets(mine, sockets(self.wants["listen"]))
                upstreams = await self._expect("ready")
        except TimeoutError:
            self.kill()
            raise WorkerFailed(f"it did not start within {_START_SECONDS:g} s") from None
        except BaseException:
            self.kill()
            raise
        self.state = "ready"
        return upstreams

    def _send(self, message: Json) -> None:
        if not self.over.done() and not self._writer.is_closing():
            self._writer.write(link.packed(message))

    async def _expect(self, name: str) -> Json:
        message = await self._messages.get()
        failed = message.get("failed")
        if failed is not None and "problems" in failed:
            problems = [(path, text) for path, text in failed["problems"]]
            error: Exception = ConfigError(problems, failed["source"])
        elif failed is not None:
            error = WorkerFailed(failed["text"])
        elif "over" in message:
            raise WorkerFailed(f"it {ended(message['over'])}")
        else:
            value: Json = message[name]
            return value
        for note in failed["notes"]:
            error.add_note(note)
        raise error

    async def _live(self, reader: asyncio.StreamReader) -> None:
        """Take its messages until it has ended."""
        while (message := await link.receive(reader)) is not None:
            if "finding" in message:
                self.heard(message["finding"])
                continue
            self._messages.put_nowait(message)
            self.last_words = message.get("failed", {}).get("text", "")
        code = await asyncio.get_running_loop().run_in_executor(None, self._process.wait)
        self._writer.close()
        if self._last_resort is not None:
            self._last_resort.cancel()
        self._messages.put_nowait({"over": code})
        self.over.set_result(code)

    def retire(self) -> None:
        """See `Worker.retire`."""
        self.state = "draining"
        self._send({"retire": True})
        self._insist()

    def stop(self) -> None:
        """See `Worker.stop`."""
        if self.state == "starting":
            self._signal(signal.SIGTERM)
        else:
            # Two signals in a row may arrive as one; messages do not.
            self._send({"hurry": True} if self.state == "draining" else {"stop": True})
        self.state = "draining"
        self._insist()

    def tell(self, message: Json) -> None:
        """See `Worker.tell`."""
        self._send(message)

    def look(self, seconds: float) -> float:
        """See `Worker.look`."""
        turned = self._place.slot.board.turned(self._place.slot.number)
        self._stuck = self._stuck + seconds if turned == self._turned else 0.0
        self._turned = turned
        return self._stuck

    def kill(self) -> None:
        """See `Worker.kill`."""
        self._stuck = 0.0  # until it has ended, and that may take a moment
        self._signal(signal.SIGKILL)

    def _insist(self) -> None:
        if self._last_resort is None:
            seconds = float(self.wants.get("patience", 60))
            self._last_resort = asyncio.get_running_loop().call_later(seconds, self.kill)

    def _signal(self, number: signal.Signals) -> None:
        if not self.over.done():
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def load(self) -> Json | None:
        """See `Worker.load`."""
        if self.state == "starting" or self.over.done():
            return None
        async with self._asking:
            while not self._messages.empty():
                self._messages.get_nowait()  # an answer that came too late
            self._send({"status": True})
            try:
                async with asyncio.timeout(_STATUS_SECONDS):
                    return (await self._messages.get()).get("status")
            except TimeoutError:
                return None


async def described(worker: Worker) -> Json:
    """How a worker is."""
    return {
        "node": worker.place.node if worker.place else None,
        "pid": worker.pid,
        "state": worker.state,
        "generation": worker.generation,
        "age": round(time.monotonic() - worker.since, 1),
        "memory": memory(worker.pid),
        "connections": worker.place.slot.board.held(worker.place.slot.number) if worker.place else None,
        "load": await worker.load(),
    }


def why(error: BaseException) -> str:
    """Why a worker did not start, in words."""
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    if isinstance(error, ConfigError):
        return error.render() + notes
    if isinstance(error, WorkerFailed):
        return f"{error}{notes}"
    return f"{type(error).__name__}: {error}{notes}"
