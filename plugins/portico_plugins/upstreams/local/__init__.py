"""The `local` upstream kind: prompts and resources that the gateway has itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from portico.api import Factory, Host, Later, Upstream, hookimpl

if TYPE_CHECKING:
    from .config import LocalConfig

gateway_api = (1, 0)


def settings() -> type[LocalConfig]:
    """The keys of its table; a gateway without such an upstream never imports them."""
    from .config import LocalConfig

    return LocalConfig


@asynccontextmanager
async def local(config: LocalConfig, host: Host) -> AsyncIterator[Upstream]:
    """Offer what the config holds; nothing is started for it."""
    from .upstream import LocalUpstream  # not before it is needed

    yield LocalUpstream(config, host)


LOCAL = Factory(
    name="local",
    summary="Prompts and resources written in the configuration.",
    config=Later(settings),
    create=local,
    posture="hardened",
)


@hookimpl
def gateway_upstreams() -> Sequence[Factory[Any, Upstream]]:
    """Offer the `local` kind."""
    return (LOCAL,)
