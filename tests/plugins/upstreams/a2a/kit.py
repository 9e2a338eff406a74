"""What the tests of the `a2a` kind share: an upstream in front of an agent."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from portico.api import Host, Json
from portico_plugins.upstreams.a2a import A2A
from portico_plugins.upstreams.a2a.config import A2aConfig
from tests.plugins.upstreams.kit import HERE, Clock, Log, Running, Wiring

KEY = b"k" * 32


@contextlib.asynccontextmanager
async def running(url: str, component: Any = None, **config: Any) -> AsyncIterator[Running]:
    """An upstream for an agent, started with this configuration."""
    wiring, log = Wiring(), Log()
    host = Host("up", "upstreams", log, Clock(), HERE, lambda _: component, wiring, key=lambda purpose: KEY)
    async with A2A.create(A2aConfig(url=url, **config), host) as upstream:
        yield Running(upstream, wiring, log)


def structured(result: Any) -> Json:
    """The structured content of a result."""
    value: Json = result.value["structuredContent"]
    return value
