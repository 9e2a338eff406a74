"""What can be configured of the transport `a2a`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import attrs

from portico.api import at_least, doc, positive
from portico_plugins.transports.a2a.grpc_config import GrpcConfig


def _url(instance: Any, attribute: attrs.Attribute[Any], value: str) -> None:
    if value and not re.fullmatch(r"https?://[^\s/{}?#]+(/[^\s{}?#]*)?", value):
        raise ValueError(f"expected a URL such as https://gateway.example.com, got {value!r}")


def _level(instance: Any, attribute: attrs.Attribute[Any], value: str) -> None:
    from portico.api import LOG_LEVELS

    if value and value not in LOG_LEVELS:
        raise ValueError(f"expected one of {', '.join(LOG_LEVELS)}, or nothing, got {value!r}")


@attrs.frozen
class A2aConfig:
    """Config of the `a2a` transport."""

    url: str = attrs.field(
        default="",
        validator=_url,
        metadata=doc(
            "Where clients reach the gateway, for the URLs in agent cards. By default what the client that "
            "asks for the card has connected to.",
            example="https://gateway.example.com",
        ),
    )
    log_level: str = attrs.field(
        default="info",
        validator=_level,
        metadata=doc("The least severe log messages of tools that tasks pass on; empty for none."),
    )
    max_tasks: int = attrs.field(
        default=10_000,
        validator=at_least(1),
        metadata=doc("Tasks remembered, per virtual server; the oldest that are over go first."),
    )
    max_tasks_each: int = attrs.field(
        default=1_000,
        validator=at_least(1),
        metadata=doc("Tasks of one principal remembered, per virtual server."),
    )
    max_bytes: int = attrs.field(
        default=256 * 1024 * 1024,
        validator=at_least(1),
        metadata=doc("Bytes of messages and artifacts remembered with tasks, per virtual server."),
    )
    max_bytes_each: int = attrs.field(
        default=64 * 1024 * 1024,
        validator=at_least(1),
        metadata=doc("Likewise, of one principal: no one takes the room of all."),
    )
    keep: float = attrs.field(
        default=3600.0,
        validator=positive,
        metadata=doc("Seconds for which a task that is over can still be asked for."),
    )
    wait: float = attrs.field(
        default=600.0,
        validator=positive,
        metadata=doc("Seconds for which a task waits for the answer to what it has asked."),
    )
    card_max_age: int = attrs.field(
        default=60,
        validator=at_least(0),
        metadata=doc("Seconds for which clients may keep an agent card without asking again."),
    )
    v0_3: bool = attrs.field(
        default=False,
        metadata=doc(
            "Whether agents speak A2A 0.3, too, with clients that know nothing newer. Without it, a request "
            "that says no version, which means 0.3, is refused."
        ),
    )
    signing_key: Path | None = attrs.field(
        default=None,
        metadata=doc(
            "A private key in PEM form (P-256, Ed25519 or RSA) to sign agent cards with. The public key is "
            "at `/a2a/jwks.json`.",
            operator_only=True,
            exists="file",
        ),
    )
    webhooks: int = attrs.field(
        default=8,
        validator=at_least(0),
        metadata=doc("Webhooks that a task may have for push notifications; 0 for no such notifications."),
    )
    webhooks_private: bool = attrs.field(
        default=False,
        metadata=doc(
            "Whether webhooks may be at loopback, private and similar addresses. Cloud metadata services are "
            "refused either way."
        ),
    )
    webhook_timeout: float = attrs.field(
        default=10.0,
        validator=positive,
        metadata=doc("Seconds that one attempt to tell a webhook may take."),
    )
    webhook_attempts: int = attrs.field(
        default=4,
        validator=at_least(1),
        metadata=doc("How often one notification is tried, with growing pauses."),
    )
    webhook_pause: float = attrs.field(
        default=1.0,
        validator=positive,
        metadata=doc("Seconds before the second attempt; before each later one it is twice as long."),
    )
    agents: bool = attrs.field(
        default=True,
        metadata=doc(
            "Whether the agents behind virtual servers are served, too, at `/a2a/SERVER/agents/UPSTREAM`; "
            "those of which all tools are shown, or whose upstream says `relay = true`."
        ),
    )
    stream_seconds: float = attrs.field(
        default=3600.0,
        validator=positive,
        metadata=doc("Seconds a stream from an agent behind may last; its client can subscribe again."),
    )
    grpc: GrpcConfig | None = attrs.field(
        default=None,
        metadata=doc("The gRPC binding of all agents, on a port of its own. Off by default."),
    )
