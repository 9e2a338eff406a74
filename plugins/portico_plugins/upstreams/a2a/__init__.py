"""The `a2a` upstream kind: the skills of an A2A agent as tools.

What is imported here is little, and neither the SDK nor protobuf, httpx and grpcio are among it: only a
gateway that has such an upstream pays for them, or needs them at all.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from portico.api import ConfigError, Factory, Host, Later, Upstream, hookimpl

if TYPE_CHECKING:
    from pathlib import Path

    from .config import A2aConfig

gateway_api = (1, 0)


def settings() -> type[A2aConfig]:
    """The keys of its table; a gateway without such an upstream never imports them."""
    from .config import A2aConfig

    return A2aConfig


def check(config: A2aConfig, base: Path) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong with files that are there."""
    from portico_plugins.pem import pem

    yield from pem(config.ca_file)


@asynccontextmanager
async def a2a(config: A2aConfig, host: Host) -> AsyncIterator[Upstream]:
    """Start one A2A upstream. An unreachable agent is no error: it is degraded and tried again.

    Raises:
        ConfigError: The extra is not installed.
    """
    from portico_plugins.a2a.missing import missing

    lacking = missing()
    if lacking:
        raise ConfigError([(f"{host.kind}.{host.name}", lacking)])
    # gRPC's core writes to stderr by itself, addresses included; what matters of it is in the gateway's log.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    logging.getLogger("a2a").addHandler(logging.NullHandler())  # the same of the SDK
    # Half a second, in which calls of other upstreams go on.
    await asyncio.to_thread(import_module, f"{__name__}.upstream")
    from .upstream import A2aUpstream

    upstream = A2aUpstream(config, host)
    await upstream.start()
    try:
        yield upstream
    finally:
        await upstream.stop()


A2A = Factory(
    name="a2a",
    summary="An A2A agent: its skills as tools, with streaming, questions and long-running tasks.",
    config=Later(settings),
    create=a2a,
    posture="hardened",
    check=check,
)


@hookimpl
def gateway_upstreams() -> Sequence[Factory[Any, Upstream]]:
    """Offer the `a2a` kind."""
    return (A2A,)
