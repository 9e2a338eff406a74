"""What to connect to and how, of what is configured."""

from __future__ import annotations

from urllib.parse import urlsplit

import grpc

from portico.api import Host
from portico_plugins.upstreams.grpc_client.dial import Identity, judged, opened

from .config import GrpcConfig


def identity(config: GrpcConfig, host: Host) -> Identity | None:
    """The TLS files of the config as they are now; None without TLS.

    Raises:
        OSError: One of them cannot be read.
    """
    if not config.url.startswith("grpcs:"):
        return None
    files = (config.ca_file, config.client_cert, config.client_key)
    return Identity(*((host.base / file).read_bytes() if file is not None else None for file in files))


async def targets(config: GrpcConfig) -> list[str]:
    """The server's addresses as targets of gRPC: see `judged`."""
    parts = urlsplit(config.url)
    return await judged(
        parts.hostname or "", parts.port or 0, config.connect_timeout, allow_private=config.allow_private
    )


def channel(config: GrpcConfig, target: str, tls: Identity | None) -> grpc.aio.Channel:
    """A channel to these addresses; it connects when it is used, and again when it has to."""
    parts = urlsplit(config.url)
    name = config.server_name or (parts.hostname or "")
    compression = grpc.Compression.Gzip if config.compression == "gzip" else None
    return opened(
        target,
        name,
        parts.port or 0,
        tls,
        config.max_message_bytes,
        config.max_message_bytes,
        compression,
        connect_timeout=config.connect_timeout,
    )
