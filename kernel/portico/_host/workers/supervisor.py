"""Worker processes on shared listening sockets: started, replaced when they die, rolled, ended in order."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from portico import __version__
from portico._config.orders import Orders
from portico._config.settings import Settings
from portico._core.contracts.json import Json
from portico._host import control
from portico._host.board import Board, Slot
from portico._host.ending import signals
from portico._host.forwarding.forward import socket_path
from portico._host.listening import Listening
from portico._host.logs.log import configure, logger
from portico._host.notify import notify, reloading
from portico._host.places import Place
from portico._host.premises import leave, prepare
from portico._host.system import ended, memory
from portico._host.workers.base import Worker, WorkerFailed, described, why
from portico._host.workers.hearsay import Hearsay
from portico._host.workers.own_process import OwnProcess
from portico._host.workers.process import Process
from portico._host.workers.vigil import duties

_LIVED: Final = 10.0
"""Seconds of service after which a worker's death says nothing about its successor's chances."""

_FIRST_DELAY: Final = 0.5
_LONGEST_DELAY: Final = 30.0

_COMMAND: Final = (sys.executable, "-m", "portico", "_worker")

Ready = Callable[[Json, Sequence[str]], None]
"""Told when clients can connect: how the upstreams are, and the addresses listened on."""


@attrs.frozen
class Origin:
    """Where a gateway's configuration came from.

    Attributes:
        orders: As it was read.
        again: Reads it again.
        config: The configuration file, if there is one.
    """

    orders: Orders
    again: Callable[[], Orders]
    config: Path | None = None


async def supervise(
    settings: Settings, origin: Origin, ready: Ready, *, command: Sequence[str] = _COMMAND
) -> None:
    """Serve HTTP until SIGTERM or SIGINT, then drain; a second signal ends it at once. SIGHUP reloads.

    One worker is this process itself, until a reload puts another in its place; as process 1, and with more
    workers, each has a process of its own.

    Args:
        settings: What to serve.
        origin: Where that came from, for worker processes and for reloads.
        ready: Told when all workers serve.
        command: What a worker process is.

    Raises:
        ConfigError: What only starting could show: addresses in use, certificates that do not load.
        WorkerFailed: No worker could start.
    """
    gateway = settings.gateway
    configure(gateway.log_format, gateway.log_level)
    supervisor = Supervisor(settings, origin, ready, command)
    with signals(supervisor.stop, signal.SIGTERM, signal.SIGINT), signals(supervisor.hang_up, signal.SIGHUP):
        await supervisor.run()


class Supervisor:
    """Keeps as many workers as the configuration wants. See `supervise`."""

    def __init__(self, settings: Settings, origin: Origin, ready: Ready, command: Sequence[str]) -> None:
        self._settings = settings
        self._origin = origin
        self._ready = ready
        self._command = command
        self._log = logger()
        self._orders = origin.orders
        self._key = secrets.token_bytes(32)
        self._listening = Listening()
        self._folder: Path | None = None
        self._board = Board()
        self._failed: BaseException | None = None
        self._control: control.Control | None = None
        self._workers: list[Worker] = []
        self._hearsay = Hearsay(lambda: self._workers)
        self._wanted = settings.gateway.workers
        self._generation = 1
        self._replaced = 0
        self._since = time.monotonic()
        self._last: Json | None = None
        self._terminal = os.isatty(0)
        self._changing = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self) -> None:
        """Serve until told to stop."""
        try:
            self._listening.on(self._settings.gateway.listen)
            self._folder, self._control = await prepare(
                self._settings, self._origin.config, self._listening, self._asked, self._log
            )
            for duty in duties(lambda: tuple(self._workers), self._log):
                self._later(duty)
            await self._serve()
        finally:
            await self._close()

    async def _serve(self) -> None:
        try:
            upstreams = await self._first()
            self._ready(upstreams, self._listening.shown)
            self._log.info("gateway.ready", workers=len(self._workers))
            notify("READY=1", f"STATUS=Serving with {len(self._workers)} workers")
            await self._stopping.wait()
        except WorkerFailed:
            if not self._stopping.is_set():
                raise
        finally:
            self._stopping.set()
            self._end_all()
            while self._workers:
                await asyncio.wait([each.over for each in self._workers])
                await asyncio.sleep(0)
        if self._failed is not None:
            raise self._failed

    # --- starting -------------------------------------------------------------------------------

    async def _first(self) -> Json:
        """Start the first worker, and when it serves, the others; gives what the upstreams are like.

        Raises:
            ConfigError: The first one's configuration is wrong.
            WorkerFailed: The first one did not start.
        """
        if self._wanted == 1 and os.getpid() != 1:
            own = OwnProcess(self._place(), self._settings)
            upstreams = await self._start(own)
        else:
            upstreams = await self._start(self._process(self._orders))
            others = [self._start(self._process(self._orders)) for _ in range(self._wanted - 1)]
            for failed in await asyncio.gather(*others, return_exceptions=True):
                if isinstance(failed, BaseException):
                    self._report(failed)
                    self._later(self._fill(failures=1))
        return upstreams

    def _place(self) -> Place | None:
        if self._folder is None:
            return None
        slot = Slot(self._board, self._board.claim())
        return Place(secrets.token_hex(6), self._folder, self._key, slot)

    def _process(self, orders: Orders, failures: int = 0) -> Process:
        place = self._place()
        if place is None:
            raise WorkerFailed("there is no place for the sockets of worker processes")
        return Process(place, self._generation, failures, orders, self._command)

    async def _start(self, worker: Worker) -> Json:
        if self._stopping.is_set():
            raise WorkerFailed("the gateway is stopping")
        self._workers.append(worker)
        self._later(self._watch(worker))
        upstreams = await worker.start(self._listening.on)
        self._hearsay.gather()
        return upstreams

    # --- keeping them ---------------------------------------------------------------------------

    async def _watch(self, worker: Worker) -> None:
        """Wait for a worker's end; if nobody wanted it, another takes its place."""
        try:
            code = await worker.over
        except Exception as error:  # this process's own: there is none to replace it with
            code, self._failed = 1, error
        self._workers.remove(worker)
        self._hearsay.gather()
        if worker.place is not None:
            socket_path(worker.place.folder, worker.place.node).unlink(missing_ok=True)
            self._board.release(worker.place.slot.number)
        if worker.state != "ready" or self._stopping.is_set():
            return
        if isinstance(worker, OwnProcess):
            self.stop()
            return
        lived = time.monotonic() - worker.since
        how = ended(code) + (f": {worker.last_words}" if worker.last_words else "")
        self._log.error("worker.died", pid=worker.pid, how=how, age=round(lived, 1))
        await self._fill(0 if lived >= _LIVED else worker.failures + 1)

    async def _fill(self, failures: int = 0) -> None:
        """Start a worker if one is missing; go on trying, at growing intervals."""
        while not self._stopping.is_set():
            if failures:
                delay = min(_FIRST_DELAY * 2 ** (failures - 1), _LONGEST_DELAY)
                await asyncio.sleep(delay)
            async with self._changing:
                serving = [each for each in self._workers if each.state != "draining"]
                if len(serving) >= self._wanted:
                    return
                try:
                    worker = self._process(self._orders, failures)
                    await self._start(worker)
                except Exception as error:
                    failures += 1
                    self._report(error)
                    continue
            self._replaced += 1
            self._log.info("worker.replaced", pid=worker.pid)
            return

    def _report(self, error: BaseException) -> None:
        self._log.error("worker.failed", error=why(error))

    def _later(self, doing: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- changing them --------------------------------------------------------------------------

    def hang_up(self) -> None:
        """SIGHUP: reload; or stop, if the terminal this was started in has been closed."""
        if self._terminal:
            try:
                os.tcgetpgrp(0)
            except OSError:
                self.stop()
                return
        self._later(self.reload())

    async def reload(self) -> Json:
        """Read the configuration again and put new workers in the place of the old, one after the other.

        If the first new worker does not start, nothing has changed.
        """
        async with self._changing:
            reloading()
            try:
                self._last = await self._roll()
            except Exception as error:
                self._log.error("reload.failed", error=why(error))
                self._last = {"ok": False, "error": why(error), "generation": self._generation}
            else:
                self._log.info("reload.done", **{k: v for k, v in self._last.items() if k != "ok"})
            notify("READY=1", f"STATUS=Serving with {self._wanted} workers")
        return self._last

    async def _roll(self) -> Json:
        orders = self._origin.again()
        old = [each for each in self._workers if each.state == "ready"]
        before = self._listening.addresses
        self._generation += 1
        new = 0
        while True:
            try:
                worker = self._process(orders)
                await self._start(worker)
            except Exception:
                if not new:
                    self._generation -= 1
                    self._listening.only(before)
                raise
            new += 1
            self._orders, self._wanted = orders, worker.wants["workers"]
            self._listening.only((*before, *worker.wants["listen"]))
            if old:
                old.pop(0).retire()
            if new >= self._wanted:
                break
        for each in old:
            each.retire()
        self._hearsay.gather()
        self._listening.only(worker.wants["listen"])
        return {"ok": True, "generation": self._generation, "workers": new}

    def stop(self) -> None:
        """End in good order; the second time, at once."""
        if not self._stopping.is_set():
            notify("STOPPING=1")
            self._stopping.set()
            self._end_all()
        else:
            for worker in self._workers:
                worker.stop()

    def _end_all(self) -> None:
        for worker in self._workers:
            if worker.state != "draining":
                worker.stop()

    async def _close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._control is not None:
            await self._control.close()
        self._listening.only(())
        self._board.close()
        if self._folder is not None:
            leave(self._folder, self._key)

    async def _asked(self, request: Json) -> Json:
        """Answer a request on the control socket."""
        if request.get("do") == "status":
            return {"ok": True, **await self.status()}
        if request.get("do") == "reload":
            return await self.reload()
        return {"ok": False, "error": f"expected status or reload, got {request.get('do')!r}"}

    async def status(self) -> Json:
        """How the gateway and its workers are."""
        workers = await asyncio.gather(*(described(each) for each in self._workers))
        return {
            "version": __version__,
            "pid": os.getpid(),
            "age": round(time.monotonic() - self._since, 1),
            "source": self._settings.source,
            "listen": self._listening.shown,
            "generation": self._generation,
            "wanted": self._wanted,
            "replaced": self._replaced,
            "stopping": self._stopping.is_set(),
            "memory": memory(os.getpid()),
            "last_reload": self._last,
            "workers": workers,
        }
