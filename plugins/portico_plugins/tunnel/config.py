"""What can be configured of tunnels."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import attrs

from portico.api import Secret, doc
from portico_plugins.fields import number, seconds
from portico_plugins.upstreams.checks import port_of

LEAST: Final = 24
"""Characters of a secret, at least."""

MOST: Final = 4
"""Secrets at one time, at most."""


def check_secret(text: str) -> None:
    """Refuse what could be guessed.

    Raises:
        ValueError: It could be.
    """
    if len(text) < LEAST or not text.isprintable() or text.strip() != text:
        raise ValueError(f"a tunnel's secret has at least {LEAST} characters (try `openssl rand -hex 32`)")


def _secrets(_: Any, __: Any, value: tuple[Secret, ...]) -> None:
    if not 0 < len(value) <= MOST:
        raise ValueError(f"expected 1 to {MOST} secrets: the current one, and the next while it changes")
    for each in value:
        check_secret(each.reveal())
    if len({each.reveal() for each in value}) < len(value):
        raise ValueError("each secret may be named once")


@attrs.frozen(kw_only=True)
class TunnelConfig:
    """Config of the `tunnel` upstream: an MCP server that dials in."""

    secrets: tuple[Secret, ...] = attrs.field(
        validator=_secrets,
        metadata=doc(
            "What the dialling side has to know, any of them: name the next one beside the current, change "
            "the dialling side, then take the old one out. At least 24 characters each.",
            example=["${env:LAB_SECRET}"],
        ),
    )
    connections: int = number(
        1,
        "How many processes may have dialled in at one time. With more than that, the newest wins. "
        "Sessions are spread over them.",
    )
    shared: bool = attrs.field(
        default=False,
        metadata=doc(
            "Share sessions among all principals. Off, each principal has its own, and at the other end a "
            "process of its own where the server is one."
        ),
    )
    withhold: tuple[Literal["elicitation", "sampling", "roots"], ...] = attrs.field(
        default=(),
        metadata=doc(
            "Client capabilities that this server is never offered, whatever the client can do.",
            example=["roots"],
        ),
    )
    connect_timeout: float = seconds(10.0, "Seconds to answer a handshake of MCP.")
    call_timeout: float | None = seconds(
        None, "The most seconds one call may take here; without it, only the caller's deadline counts."
    )
    idle_timeout: float = seconds(900.0, "Seconds after which an unused session ends.")
    max_sessions: int = number(1000, "The most sessions at one time.")
    refresh_seconds: float | None = seconds(
        None, "Seconds after which the lists are asked for again. Without it: when the server says so."
    )
    start_grace: float = number(
        5.0,
        "Seconds after the start of the gateway, or of a worker, in which calls wait for somebody to "
        "dial in instead of failing.",
        least=0,
    )
    max_message_bytes: int = number(
        16 * 1024 * 1024, "The largest message taken from the server.", least=1024
    )


@attrs.frozen(kw_only=True)
class EntranceConfig:
    """Config of the `tunnel` transport: where they dial in."""

    handshake_timeout: float = seconds(10.0, "Seconds for who connects to prove who it is.")
    max_unproven: int = number(
        64, "Connections at one time that have not proven anything yet; more are answered with 503."
    )
    wrong_tries: int = number(
        5,
        "Wrong names or secrets in a row that one address (of IPv6: one /64) may try; then it is "
        "answered with 429, and gets one more try every ten seconds.",
    )
    ping: float = seconds(15.0, "Seconds of silence after which the other side is asked.")
    ping_timeout: float = seconds(10.0, "Seconds it has to say anything then.")


def _url(_: Any, __: Any, value: str) -> None:
    parts = urlsplit(value)
    if parts.scheme not in ("ws", "wss") or not parts.hostname or not name_in(value):
        raise ValueError("expected wss://HOST/tunnel/NAME")
    if port_of(value) == 0:
        raise ValueError("expected a port from 1 to 65535")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("the URL of a tunnel has no credentials, query or fragment")


def name_in(url: str) -> str:
    """The upstream's name in a tunnel's URL, "" where there is none."""
    before, _, name = urlsplit(url).path.rpartition("/")
    return name if before.endswith("/tunnel") else ""


@attrs.frozen(kw_only=True)
class DialConfig:
    """Config of the `tunnel_client` transport: this gateway is what dials."""

    url: str = attrs.field(
        validator=_url,
        metadata=doc("Where to dial in.", example="wss://gateway.example.com/tunnel/lab"),
    )
    secret: Secret | None = attrs.field(
        default=None, metadata=doc("The secret the gateway knows, too.", example="${env:LAB_SECRET}")
    )
    secret_file: Path | None = attrs.field(
        default=None, metadata=doc("A file it is in, read anew for each connection.", exists="file")
    )
    server: str = attrs.field(default="default", metadata=doc("The virtual server to serve."))
    once: bool = attrs.field(default=False, metadata=doc("Do not connect again when a connection has ended."))
    insecure: bool = attrs.field(
        default=False,
        metadata=doc("Allow a connection without TLS to another machine: others can read and change it."),
    )
    ca_file: Path | None = attrs.field(
        default=None,
        metadata=doc("PEM file of certificate authorities to trust instead of the system's.", exists="file"),
    )
    connect_timeout: float = seconds(10.0, "Seconds to connect and to prove who is there.")
    refused_seconds: float = number(
        5.0,
        "Seconds for which a gateway is asked again that has never known the name or the secret; then it "
        "is given up. One that did know them is asked for ever.",
        least=0,
    )
    longest_pause: float = seconds(30.0, "Seconds between two attempts to connect, at most.")
    max_message: int = number(16 * 1024 * 1024, "Longest message taken, in bytes.", least=1024)
    max_sessions: int = number(1000, "Sessions at one time, on one connection.")
    ping: float = seconds(15.0, "Seconds of silence after which the gateway is asked.")
    ping_timeout: float = seconds(10.0, "Seconds it has to say anything then.")

    def __attrs_post_init__(self) -> None:
        """Refuse combinations that mean nothing."""
        if (self.secret is None) == (self.secret_file is None):
            raise ValueError("expected exactly one of `secret` and `secret_file`")
        if self.secret is not None:
            check_secret(self.secret.reveal())
