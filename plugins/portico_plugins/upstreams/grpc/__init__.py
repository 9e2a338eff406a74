"""The `grpc` upstream kind: the methods of gRPC services as tools.

What is imported here is little, and neither grpcio nor protobuf is among it: only a gateway that has such an
upstream pays for them, or needs them at all.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from portico.api import ConfigError, Factory, Host, Later, Upstream, hookimpl

if TYPE_CHECKING:
    from pathlib import Path

    from .config import GrpcConfig

gateway_api = (1, 0)


def settings() -> type[GrpcConfig]:
    """The keys of its table; a gateway without such an upstream never imports them."""
    from .config import GrpcConfig

    return GrpcConfig


def check(config: GrpcConfig, base: Path) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong with files that are there."""
    from portico_plugins.pem import pem

    yield from pem(config.ca_file, config.client_cert, config.client_key)
    for at, each in enumerate(base / proto for proto in config.protos):
        if each.is_dir() and next(each.rglob("*.proto"), None) is None:
            yield ("protos", at), f"expected .proto files, but there is none in {each}"
    if config.descriptors is not None and (base / config.descriptors).is_file():
        from .descriptors import Unusable, from_set

        try:
            from_set((base / config.descriptors).read_bytes(), config.max_descriptor_bytes)
        except (Unusable, OSError) as reason:
            yield ("descriptors",), str(reason)


@asynccontextmanager
async def grpc(config: GrpcConfig, host: Host) -> AsyncIterator[Upstream]:
    """Start one gRPC upstream. An unreachable server is no error: it is degraded and tried again.

    Raises:
        ConfigError: The extra is not installed, or a file of the config cannot be read.
    """
    from portico_plugins.upstreams.grpc.config import missing

    lacking = missing()
    if lacking:
        raise ConfigError([(f"{host.kind}.{host.name}", lacking)])
    # gRPC's core writes to stderr by itself, addresses included; what matters of it is in the gateway's log.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from .upstream import GrpcUpstream  # not before it is needed, and known to be there

    upstream = GrpcUpstream(config, host)
    await upstream.start()
    try:
        yield upstream
    finally:
        await upstream.stop()


GRPC = Factory(
    name="grpc",
    summary="A gRPC server: the methods of its services as tools, streaming ones too.",
    config=Later(settings),
    create=grpc,
    posture="hardened",
    check=check,
)


@hookimpl
def gateway_upstreams() -> Sequence[Factory[Any, Upstream]]:
    """Offer the `grpc` kind."""
    return (GRPC,)
