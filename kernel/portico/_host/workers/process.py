"""A worker that is a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
from collections.abc import Sequence
from typing import Final

from portico._config.orders import Orders
from portico._core.contracts.json import Json
from portico._core.errors import ConfigError
from portico._host.places import Place
from portico._host.system import ended
from portico._host.workers import link
from portico._host.workers.base import Sockets, Worker, WorkerFailed

_START_SECONDS: Final = 120.0
_STATUS_SECONDS: Final = 2.0


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
