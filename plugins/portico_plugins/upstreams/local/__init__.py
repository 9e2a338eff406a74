"""The `local` upstream kind: prompts and resources that the gateway has itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from portico.api import Factory, Host, Upstream, hookimpl

from .config import LocalConfig

gateway_api = (1, 0)


@asynccontextmanager
async def local(config: LocalConfig, host: Host) -> AsyncIterator[Upstream]:
    """Offer what the config holds; nothing is started for it."""
    from .upstream import LocalUpstream  # not before it is needed

    yield LocalUpstream(config, host)


LOCAL = Factory(
    name="local",
    summary="Prompts and resources written in the configuration.",
    config=LocalConfig,
    create=local,
    posture="hardened",
)


@hookimpl
def gateway_upstreams() -> Sequence[Factory[Any, Upstream]]:
    """Offer the `local` kind."""
    return (LOCAL,)
