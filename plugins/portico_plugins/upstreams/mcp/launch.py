"""A program that serves an upstream's URL, run by the gateway for as long as it runs itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import attrs

from portico.api import Host

from .config import McpConfig
from .process import Child
from .programs import environment, resolved
from .restarts import Restarts

_GLANCE = 0.05
"""Seconds between looks at whether it listens yet."""


@asynccontextmanager
async def launched(config: McpConfig, host: Host) -> AsyncIterator[McpConfig]:
    """Run `launch`, restarting it within the budget; gives the config with `{port}` filled in.

    Waits up to `start_grace` seconds for the program to listen. One that does not start is no error here: its
    upstream is degraded, and says so.
    """
    if not config.launch:
        yield config
        return
    port = str(_free_port())
    config = attrs.evolve(
        config,
        url=config.url.replace("{port}", port),
        launch=tuple(word.replace("{port}", port) for word in config.launch),
    )
    running = asyncio.create_task(_run(config, host), name=f"launch.{host.name}")
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(config.start_grace):
                await _listens(config.url, running)
        yield config
    finally:
        running.cancel()
        await asyncio.wait((running,))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


async def _listens(url: str, running: asyncio.Task[None]) -> None:
    """Return when something accepts connections there, or nothing ever will."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    while not running.done():
        try:
            _, writer = await asyncio.open_connection(parts.hostname, port)
        except OSError:
            await asyncio.sleep(_GLANCE)
        else:
            writer.close()
            return


async def _run(config: McpConfig, host: Host) -> None:
    restarts = Restarts(config.restarts, config.restart_window, host.clock.monotonic)
    while not restarts.exhausted:
        await asyncio.sleep(restarts.wait())
        try:
            await _run_once(config, host)
        except OSError as error:
            reason = error.strerror or str(error)
            host.log.error("launch_failed", program=config.launch[0], reason=reason)
            return
        host.log.warning("launched_exited")
        restarts.crashed()
    host.log.error("launch_given_up", restarts=config.restarts)


async def _run_once(config: McpConfig, host: Host) -> None:
    """Run the program until it ends, or until cancelled.

    Raises:
        OSError: It cannot be started.
    """
    over = asyncio.Event()

    def said(data: bytes) -> None:
        for line in data.splitlines():
            host.log.info("launched_stdout", line=line[:2048].decode("utf-8", "replace"))

    def ended(status: int | None) -> None:
        del status
        over.set()

    env = environment(config)
    cwd = host.base / config.cwd if config.cwd is not None else host.base
    child = await Child.start(resolved(config.launch, env), env, cwd, host.log, said, ended)
    host.log.info("launched", program=config.launch[0], pid=child.pid)
    try:
        await over.wait()
    finally:
        # A server that serves a port reads nothing from its input: the polite way alone would only cost time.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGTERM)
        await child.stop()
