"""A worker process: takes its orders and sockets from the supervisor, serves, and tells how it is."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import traceback
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from portico._config.orders import Orders
from portico._config.settings import Settings
from portico._core.contracts.json import Json
from portico._core.errors import ConfigError
from portico._host.board import Board, Slot
from portico._host.ending import Ending, settle, signals
from portico._host.gateway import Gateway
from portico._host.logs.log import configure
from portico._host.places import Place
from portico._host.serve import serve
from portico._host.workers import link
from portico._host.workers.accounts import composed, facts

Run = Callable[[Callable[[], Coroutine[Any, Any, int]]], int]
"""Runs a coroutine function to its end on an event loop."""


def work(fd: int, run: Run) -> int:
    """Be a worker.

    Args:
        fd: The inherited end of the supervisor's socket pair.
        run: Runs the event loop.

    Returns:
        The exit code.
    """
    pair = socket.socket(fileno=fd)
    pair.set_inheritable(False)  # a process that an upstream starts must not keep it open
    try:
        message, _ = link.receive_now(pair)
        board = Board(message["board"])
        board.close()
        slot = Slot(board, message["slot"])
        place = Place(message["node"], Path(message["folder"]), message["key"], slot)
        settings = Orders.unpack(message["orders"]).settings()
        configure(settings.gateway.log_format, settings.gateway.log_level, worker=place.node)
        pair.sendall(link.packed({"composed": composed(settings)}))
        _, sockets = link.receive_now(pair)
        return run(partial(_serve, pair, settings, sockets, place))
    except (EOFError, ConnectionError):
        return 1
    except asyncio.CancelledError:
        return 0  # told to stop before it served
    except Exception as error:
        with contextlib.suppress(OSError):
            pair.sendall(link.packed({"failed": _why(error)}))
        return 1


def _why(error: Exception) -> Json:
    notes = list(getattr(error, "__notes__", ()))
    if isinstance(error, ConfigError):
        return {"problems": list(error.problems), "source": error.source, "notes": notes}
    return {"text": " ".join(f"{type(error).__name__}: {error}".split()), "notes": notes}


async def _serve(pair: socket.socket, settings: Settings, sockets: list[socket.socket], place: Place) -> int:
    reader, writer = await asyncio.open_connection(sock=pair)
    ending = Ending()
    serving = asyncio.current_task()
    listening: list[asyncio.Task[None]] = []

    def ready(gateway: Gateway) -> None:
        settle()
        if gateway.rounds is not None:
            gateway.rounds.tell = lambda finding: writer.write(link.packed({"finding": finding}))
        writer.write(link.packed({"ready": gateway.plane.status()}))
        listening.append(asyncio.create_task(listen(gateway)))

    async def listen(gateway: Gateway) -> None:
        while (message := await link.receive(reader)) is not None:
            if "retire" in message:
                ending.retire()
            elif "stop" in message:
                ending.stop.set()
            elif "hurry" in message:
                ending.hurry.set()
            elif "status" not in message:
                if gateway.rounds is not None:
                    gateway.rounds.hear(message)
            else:
                writer.write(link.packed({"status": facts(gateway)}))
        ending.stop.set()  # the supervisor has gone

    def stop() -> None:
        if listening:
            ending.signal()
        elif serving is not None:
            serving.cancel()

    try:
        with signals(stop, signal.SIGTERM):
            await serve(settings, sockets, ending, ready, place)
    except Exception as error:
        if settings.gateway.log_level == "debug":
            traceback.print_exception(error)
        with contextlib.suppress(OSError):
            writer.write(link.packed({"failed": _why(error)}))
            await writer.drain()
        return 1
    finally:
        for task in listening:
            task.cancel()
        writer.close()
    return 0
