"""One serving process: sockets, signals, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from portico._config.settings import Settings
from portico._host.ending import Ending
from portico._host.forwarding.peers import Peers
from portico._host.gateway import Gateway, drain, started, without
from portico._host.logs.access import access_log
from portico._host.logs.log import configure, logger
from portico._host.places import Place

_ON_THE_WAY: Final = 1.2
"""Seconds for requests that were sent before their connection could be told to close."""

_MOVE: Final = 1.0
"""Seconds for clients to be told, with an answer, that the next request belongs on another connection."""


async def serve(
    settings: Settings,
    sockets: Sequence[socket.socket],
    ending: Ending,
    ready: Callable[[Gateway], object],
    place: Place | None = None,
) -> None:
    """Serve HTTP on listening sockets until told to end, then drain.

    Args:
        settings: What to serve.
        sockets: Bound and listening; closed in the end.
        ending: Says when.
        ready: Told when clients can connect.
        place: This worker's place among others, if there are any.

    Raises:
        ConfigError: What only starting could show: certificates that do not load.
    """
    log = logger()
    closing = asyncio.Event()
    try:
        async with (
            access_log() as calls,
            started(settings, log, place=place, on_call=calls) as gateway,
        ):
            peers = await _peers(gateway, place)
            try:
                app, admit = gateway.app, gateway.admit
                stop = ending.stop.wait
                # Two servers would tell of their connections in one place.
                share = place.slot if place is not None and len(gateway.servers) == 1 else None
                servers = [
                    asyncio.create_task(_served(each.serve(app, sockets, stop, closing.wait, admit, share)))
                    for each in gateway.servers.values()
                ]
                if place is not None and gateway.rounds is not None:
                    place.slot.eager = gateway.rounds.awaiting
                ready(gateway)
                ended = asyncio.gather(*servers)
                stopping = asyncio.create_task(ending.stop.wait())
                either: tuple[asyncio.Future[Any], ...] = (ended, stopping)
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                stopping.cancel()
                if not ended.done():
                    await _end(gateway, ending, closing, ended, peers)
                    if ending.hurry.is_set():
                        ended.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await ended
            finally:
                if peers is not None:
                    peers.abort()
    finally:
        for sock in sockets:
            sock.close()


async def _peers(gateway: Gateway, place: Place | None) -> Peers | None:
    if place is None:
        return None
    peers = Peers(place.folder, place.node, gateway.directs, gateway.log)
    await peers.open()
    return peers


async def _end(
    gateway: Gateway,
    ending: Ending,
    closing: asyncio.Event,
    ended: asyncio.Future[Any],
    peers: Peers | None,
) -> None:
    """Unready at once; accepting for `drain_notice` yet; then no new connections while calls finish."""
    log, limits = gateway.log, gateway.settings.gateway
    retired = ending.retired.is_set()
    gateway.plane.notice = True
    log.info("gateway.draining", calls=len(gateway.plane.load.calls))
    await _within(max(limits.drain_notice, _MOVE if retired else 0), ending.hurry)
    closing.set()
    # What was on its way when connections were closed is still taken on.
    hurried = asyncio.ensure_future(ending.hurry.wait())
    await asyncio.wait((ended, hurried), timeout=_ON_THE_WAY, return_when=asyncio.FIRST_COMPLETED)
    hurried.cancel()
    loop = asyncio.get_running_loop()
    until = loop.time() + limits.drain_timeout
    while retired and len(gateway.parking) and loop.time() < until and not ending.hurry.is_set():
        await _within(min(0.2, max(until - loop.time(), 0)), ending.hurry)
    if peers is not None:
        peers.close()
    await drain(gateway, hurry=ending.hurry)
    log.info("gateway.stopped")


async def _within(seconds: float, event: asyncio.Event) -> None:
    """Wait for the event, no longer than that."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def serve_io(settings: Settings, ready: Callable[[Gateway, Sequence[str]], None]) -> None:
    """Serve on transports that do their own I/O (stdio) until one ends, or on SIGTERM or SIGINT.

    Args:
        settings: What to serve; its transports are the ones to run, its listeners are left out.
        ready: Told when clients can talk.

    Raises:
        ConfigError: What only starting could show.
    """
    configure(settings.gateway.log_format, settings.gateway.log_level)
    log = logger()
    loop = asyncio.get_running_loop()
    async with access_log() as calls, started(without(settings, "listeners"), log, on_call=calls) as gateway:
        ready(gateway, ())
        runs = [
            run for each in gateway.transports.values() if (run := getattr(each, "run", None)) is not None
        ]
        tasks = [asyncio.create_task(_served(run())) for run in runs]
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        stopped = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
            stopped.cancel()
            # First, so that the transports can still write what this has to say.
            await gateway.plane.close(gateway.parking)
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end


async def _served(serving: Awaitable[None]) -> None:
    await serving
