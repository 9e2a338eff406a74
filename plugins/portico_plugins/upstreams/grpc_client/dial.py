"""Channels: names resolved here and every address judged, so that gRPC connects to nothing else.

gRPC would resolve a name by itself, again for every connection. It is given addresses only; the name goes
into `:authority` and the check of the certificate.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

import attrs
import grpc

from portico.api import resolve
from portico_plugins.http1 import Unreachable

_KEEPALIVE_MS: Final = 60_000
_LONGEST_MS: Final = 600_000


@attrs.frozen
class Identity:
    """What TLS needs, read from files.

    Attributes:
        ca: Authorities to trust; None for gRPC's own.
        cert: The certificate to show.
        key: Its key.
    """

    ca: bytes | None
    cert: bytes | None
    key: bytes | None


async def judged(host: str, port: int, timeout: float, *, allow_private: bool) -> list[str]:
    """A host's addresses as targets of gRPC: one for each address family, the preferred one first.

    Args:
        host: A name or an address.
        port: The port.
        timeout: Seconds resolution may take.
        allow_private: Whether loopback, private and similar addresses are fine.

    Raises:
        Unreachable: There are none, or one of them is forbidden; then none of the answer is to be trusted.
    """
    try:
        async with asyncio.timeout(timeout):
            found = await resolve(host, port, allow_private=allow_private)
    except OSError as error:
        raise Unreachable.by(error) from None
    families: dict[str, list[str]] = {}
    for family, (ip, number, *_) in found:
        if family == socket.AF_INET6:
            families.setdefault("ipv6", []).append(f"[{ip}]:{number}")
        elif family == socket.AF_INET:
            families.setdefault("ipv4", []).append(f"{ip}:{number}")
    return [f"{scheme}:{','.join(each)}" for scheme, each in families.items()]


def opened(
    target: str,
    name: str,
    port: int,
    tls: Identity | None,
    most_received: int,
    most_sent: int,
    compression: grpc.Compression | None = None,
    *,
    connect_timeout: float,
) -> grpc.aio.Channel:
    """A channel that connects to a target of `judged` and to nothing else.

    Args:
        target: The addresses.
        name: What the server is called, for `:authority` and its certificate.
        port: Its port.
        tls: For TLS; None for none.
        most_received: The largest message taken, in bytes.
        most_sent: The largest message sent, in bytes.
        compression: Of what is sent.
        connect_timeout: Seconds an attempt to connect may take.
    """
    authority = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    options: list[tuple[str, Any]] = [
        ("grpc.default_authority", authority),
        ("grpc.max_receive_message_length", most_received),
        ("grpc.max_send_message_length", most_sent),
        ("grpc.max_metadata_size", 16 * 1024),
        ("grpc.enable_http_proxy", 0),  # a proxy would connect to addresses that nobody has judged
        ("grpc.service_config_disable_resolution", 1),
        # Retries are a policy's. With this, gRPC would also send again what a GOAWAY says was not read: to a
        # server that says so to everybody, again and again until the deadline.
        ("grpc.enable_retries", 0),
        ("grpc.use_local_subchannel_pool", 1),  # another upstream may trust other authorities
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", 20_000),
        # Whatever it is called: an attempt to connect, the server's greeting included, may take that long.
        ("grpc.min_reconnect_backoff_ms", max(1, min(round(connect_timeout * 1000), _LONGEST_MS))),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
    ]
    if tls is None:
        return grpc.aio.insecure_channel(target, options=options, compression=compression)
    options.append(("grpc.ssl_target_name_override", name))
    credentials = grpc.ssl_channel_credentials(tls.ca, tls.key, tls.cert)
    return grpc.aio.secure_channel(target, credentials, options=options, compression=compression)
