"""Gateways inside the test, that commands can be pointed at."""

from __future__ import annotations

import asyncio
import importlib.metadata
import socket
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from portico._config.discovery import GROUP, discover
from portico._config.settings import Document, Settings, load
from portico._host.ending import Ending
from portico._host.serve import serve
from tests.kernel import kept

MANAGED = """
[registries.main]
use = "memory"
[transports.api]
use = "management_api"
[transports.http]
use = "streamable_http"
"""
EARLIER = {
    "management_api": "portico_plugins.transports.management_api",
    "registry_v01": "portico_plugins.transports.registry_v01",
}
"""Plugins that an older installation beside this checkout may not have."""


def settings(config: str) -> Settings:
    """What a configuration says, with the plugins of the tests and of this checkout."""
    points = list(importlib.metadata.entry_points(group=GROUP))
    points.append(importlib.metadata.EntryPoint("kept", kept.__name__, GROUP))
    for name, module in EARLIER.items():
        if not any(point.name == name for point in points):
            points.append(importlib.metadata.EntryPoint(name, module, GROUP))
    return load(Document(tomllib.loads(config), "test"), discover(entry_points=points))


@asynccontextmanager
async def gateway(config: str = MANAGED) -> AsyncIterator[str]:
    """Serve on a free port; gives the URL."""
    sock = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    ready, ending = asyncio.Event(), Ending()
    serves = asyncio.create_task(serve(settings(config), [sock], ending, lambda _: ready.set()))
    waits = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait((serves, waits), return_when=asyncio.FIRST_COMPLETED)
        if serves.done():
            serves.result()
        yield url
    finally:
        waits.cancel()
        ending.stop.set()
        await serves
