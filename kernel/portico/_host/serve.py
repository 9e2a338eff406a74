"""One serving process: sockets, signals, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from portico._config.settings import Settings
from portico._core.errors import ConfigError
from portico._host.gateway import Gateway, drain, host_of, started, without
from portico._host.log import configure, logger


def bind(addresses: Sequence[str], backlog: int = 1024) -> list[socket.socket]:
    """Bind and listen.

    Raises:
        ConfigError: An address is taken, not ours, or names no host; says which.
    """
    sockets: list[socket.socket] = []
    problems: list[tuple[str, str]] = []
    for index, address in enumerate(addresses):
        host, port = host_of(address), int(address.rpartition(":")[2])
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            family, kind, proto, _, where = found[0]
            sock = socket.socket(family, kind, proto)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(where)
            sock.listen(backlog)
            sock.setblocking(False)
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or str(error)
            problems.append((f"gateway.listen[{index}]", f"cannot listen on {address}: {why}"))
    if problems:
        for sock in sockets:
            sock.close()
        raise ConfigError(problems, "listening")
    return sockets


async def serve(settings: Settings, ready: Callable[[Gateway, Sequence[str]], None]) -> None:
    """Serve HTTP until SIGTERM or SIGINT, then drain; a second signal ends it at once.

    Args:
        settings: What to serve.
        ready: Told when clients can connect, with the addresses listened on.

    Raises:
        ConfigError: What only starting could show: addresses in use, certificates that do not load.
    """
    configure(settings.gateway.log_format, settings.gateway.log_level)
    log = logger()
    if settings.gateway.workers > 1:
        raise ConfigError(
            [("gateway.workers", "this version serves with one worker; set it to 1")], settings.source
        )
    sockets = bind(settings.gateway.listen)
    addresses = [_shown(sock) for sock in sockets]
    stop, hurry, closing = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (hurry if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        async with started(settings, log) as gateway:
            app, admit = gateway.app, gateway.admit
            servers = [
                asyncio.create_task(_served(each.serve(app, sockets, stop.wait, closing.wait, admit)))
                for each in gateway.servers.values()
            ]
            ready(gateway, addresses)
            ended = asyncio.gather(*servers)
            stopping = asyncio.create_task(stop.wait())
            either: tuple[asyncio.Future[Any], ...] = (ended, stopping)
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if not ended.done():
                await _end(gateway, hurry, closing)
                if hurry.is_set():
                    ended.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ended
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        for sock in sockets:
            sock.close()


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
    async with started(without(settings, "listeners"), log) as gateway:
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


def settle() -> None:
    """Keep what is alive now out of every later garbage collection; for a process that only serves."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


async def _end(gateway: Gateway, hurry: asyncio.Event, closing: asyncio.Event) -> None:
    """Unready at once; accepting for `drain_notice` yet; then no new connections while calls finish."""
    log = gateway.log
    gateway.plane.notice = True
    log.info("gateway.draining", calls=len(gateway.plane.load.calls))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(gateway.settings.gateway.drain_notice):
            await hurry.wait()
    closing.set()
    await drain(gateway, hurry=hurry)
    log.info("gateway.stopped")


async def _served(serving: Awaitable[None]) -> None:
    await serving


def _shown(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
