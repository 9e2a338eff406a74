"""The HTTP server: Hypercorn's HTTP/2 and a fast lane of our own for HTTP/1.1, TLS, limits, graceful stop."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from portico.api import ConfigError, Factory, Host, Secret, Server, ServerFactory, doc, hookimpl
from portico_plugins.fields import number, seconds

if TYPE_CHECKING:
    from portico_plugins.servers.hypercorn.ordinary import Ordinary
    from portico_plugins.servers.hypercorn.service import Bounds

gateway_api = (1, 0)

_LINGER = 2.0
"""Seconds for what is left of a connection that the gateway has ended."""


@attrs.frozen
class HypercornConfig:
    """The keys of a listener that uses `hypercorn`. Times are seconds."""

    certfile: Path | None = attrs.field(
        default=None,
        metadata=doc(
            "Certificate chain in PEM form. With it and `keyfile`, only TLS is spoken.",
            example="tls.crt",
            exists="file",
        ),
    )
    keyfile: Path | None = attrs.field(
        default=None, metadata=doc("The certificate's private key in PEM form.", exists="file")
    )
    keyfile_password: Secret | None = attrs.field(
        default=None,
        metadata=doc("What the private key is encrypted with.", example="${env:TLS_KEY_PASSWORD}"),
    )
    ca_certs: Path | None = attrs.field(
        default=None,
        metadata=doc(
            "Authorities in PEM form. With them, clients must present a certificate one of them signed.",
            exists="file",
        ),
    )
    fast_lane: bool = attrs.field(
        default=True,
        metadata=doc(
            "Serve HTTP/1.1 by the lean protocol: the same answers and limits for a fraction of the time. "
            "Without it, Hypercorn serves HTTP/1.1, too."
        ),
    )
    h2: bool = attrs.field(default=True, metadata=doc("Offer HTTP/2 over TLS."))
    h2c: bool = attrs.field(
        default=False,
        metadata=doc("Speak HTTP/2 without TLS to clients that begin with it (prior knowledge)."),
    )
    h2_max_concurrent_streams: int = number(100, "Requests at once on one HTTP/2 connection.")
    ws_ping: float = seconds(
        20.0, "Time between pings on a WebSocket; a client that has sent nothing since the last is cut off."
    )
    max_ws_message: int = number(
        16 * 1024 * 1024,
        "Longest WebSocket message taken; the `websocket` transport has a limit of its own.",
        least=1024,
    )
    keep_alive_timeout: float = seconds(75.0, "How long a connection may be idle between requests.")
    header_timeout: float = seconds(
        15.0, "Time for a TLS handshake, and for a request's head to arrive once it has begun."
    )
    write_timeout: float = seconds(
        30.0, "How long a client may leave 64 KiB of its answer unread before it is cut off."
    )
    stop_timeout: float = number(
        35.0,
        "How long answers may go on after the listeners have closed. Longer than the drain timeout.",
        least=0,
    )
    max_connections: int = number(10_000, "Open connections in all; one more gets 503.")
    max_connections_per_ip: int = number(
        1_000,
        "Open connections of one client (IPv4 address or IPv6 /64). Raise it behind a reverse proxy: "
        "all its connections come from one address.",
    )
    backlog: int = number(1024, "Connections the kernel holds until they are accepted.")


@asynccontextmanager
async def hypercorn_server(config: HypercornConfig, host: Host) -> AsyncIterator[Server]:
    """Make the server; it runs when its `serve` is called.

    Raises:
        ConfigError: A certificate or key cannot be used.
        RuntimeError: The installed h11 cannot be made strict.
    """
    from portico_plugins.servers.hypercorn.listener import HypercornServer
    from portico_plugins.servers.hypercorn.service import Bounds

    bounds = Bounds(
        max_connections=config.max_connections,
        max_connections_per_ip=config.max_connections_per_ip,
        backlog=config.backlog,
        keep_alive=config.keep_alive_timeout,
        header_timeout=config.header_timeout,
        write_timeout=config.write_timeout,
        linger=_LINGER,
        stop_timeout=config.stop_timeout,
        h2=config.h2,
        h2c=config.h2c,
        ws_ping=config.ws_ping,
        ws_message=config.max_ws_message,
        h2_max_concurrent_streams=config.h2_max_concurrent_streams,
        fast_lane=config.fast_lane,
    )
    tls = _tls(config)
    at_once = not bounds.fast_lane or (bounds.h2 if tls is not None else bounds.h2c)
    if at_once:
        from portico_plugins.servers.hypercorn.strict import check_h11

        check_h11()
    yield HypercornServer(bounds, tls, lambda: _lane(bounds), host.log, at_once=at_once)


def check(config: HypercornConfig, base: Path) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Whether certificates and keys that are there can be used."""
    files = [each for each in (config.certfile, config.keyfile, config.ca_certs) if each is not None]
    if all((base / each).is_file() for each in files):
        try:
            _tls(config)
        except ConfigError as error:
            yield from (((place,), text) for place, text in error.problems)


def _lane(bounds: Bounds) -> Ordinary:
    """The ordinary lane. Most listeners need none before the first WebSocket, if ever: it is not loaded.

    Raises:
        RuntimeError: The installed h11 cannot be made strict.
    """
    from portico_plugins.servers.hypercorn.ordinary import Ordinary
    from portico_plugins.servers.hypercorn.strict import check_h11

    check_h11()
    return Ordinary.within(bounds)


def _tls(config: HypercornConfig) -> ssl.SSLContext | None:
    if config.certfile is None or config.keyfile is None:
        problems = [
            (name, "needs both `certfile` and `keyfile`")
            for name, value in (
                ("certfile", config.certfile),
                ("keyfile", config.keyfile),
                ("ca_certs", config.ca_certs),
            )
            if value is not None
        ]
        if problems:
            raise ConfigError(problems)
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2", "http/1.1"] if config.h2 else ["http/1.1"])
    password = config.keyfile_password
    try:
        # A function, for OpenSSL asks on the terminal when it is given none and needs one.
        context.load_cert_chain(
            config.certfile, config.keyfile, lambda: password.reveal() if password is not None else ""
        )
    except (OSError, ssl.SSLError) as error:
        raise ConfigError([("certfile", f"cannot be used with its key: {_reason(error)}")]) from error
    if config.ca_certs is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(config.ca_certs)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError([("ca_certs", f"cannot be used: {_reason(error)}")]) from error
    return context


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


HYPERCORN = Factory(
    name="hypercorn",
    summary="HTTP/1.1 and HTTP/2, with TLS, by Hypercorn.",
    config=HypercornConfig,
    create=hypercorn_server,
    posture="hardened",
    check=check,
)


@hookimpl
def gateway_servers() -> Sequence[ServerFactory]:
    """This plugin's server."""
    return (HYPERCORN,)
