"""What can be configured of the transport `a2a`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from portico.api import doc
from portico_plugins.fields import number, operator_file, public_url, seconds
from portico_plugins.transports.a2a.grpc_config import GrpcConfig


def _level(instance: Any, attribute: attrs.Attribute[Any], value: str) -> None:
    from portico.api import LOG_LEVELS, nearest

    if value and value not in LOG_LEVELS:
        near = nearest(value, LOG_LEVELS)
        raise ValueError(f"expected one of {', '.join(LOG_LEVELS)}, or nothing, got {value!r}{near}")


@attrs.frozen
class A2aConfig:
    """Config of the `a2a` transport."""

    url: str = public_url(
        "Where clients reach the gateway, for the URLs in agent cards. By default what the client that "
        "asks for the card has connected to.",
        example="https://gateway.example.com",
    )
    log_level: str = attrs.field(
        default="info",
        validator=_level,
        metadata=doc("The least severe log messages of tools that tasks pass on; empty for none."),
    )
    max_tasks: int = number(
        10_000, "Tasks remembered, per virtual server; the oldest that are over go first."
    )
    max_tasks_each: int = number(1_000, "Tasks of one principal remembered, per virtual server.")
    max_bytes: int = number(
        256 * 1024 * 1024, "Bytes of messages and artifacts remembered with tasks, per virtual server."
    )
    max_bytes_each: int = number(
        64 * 1024 * 1024, "Likewise, of one principal: no one takes the room of all."
    )
    keep: float = seconds(3600.0, "Seconds for which a task that is over can still be asked for.")
    wait: float = seconds(600.0, "Seconds for which a task waits for the answer to what it has asked.")
    card_max_age: int = number(
        60, "Seconds for which clients may keep an agent card without asking again.", least=0
    )
    v0_3: bool = attrs.field(
        default=False,
        metadata=doc(
            "Whether agents speak A2A 0.3, too, with clients that know nothing newer. Without it, a request "
            "that says no version, which means 0.3, is refused."
        ),
    )
    signing_key: Path | None = operator_file(
        "A private key in PEM form (P-256, Ed25519 or RSA) to sign agent cards with. The public key is "
        "at `/a2a/jwks.json`."
    )
    webhooks: int = number(
        8, "Webhooks that a task may have for push notifications; 0 for no such notifications.", least=0
    )
    webhooks_private: bool = attrs.field(
        default=False,
        metadata=doc(
            "Whether webhooks may be at loopback, private and similar addresses. Cloud metadata services are "
            "refused either way."
        ),
    )
    webhook_timeout: float = seconds(10.0, "Seconds that one attempt to tell a webhook may take.")
    webhook_attempts: int = number(4, "How often one notification is tried, with growing pauses.")
    webhook_pause: float = seconds(
        1.0, "Seconds before the second attempt; before each later one it is twice as long."
    )
    agents: bool = attrs.field(
        default=True,
        metadata=doc(
            "Whether the agents behind virtual servers are served, too, at `/a2a/SERVER/agents/UPSTREAM`; "
            "those of which all tools are shown, or whose upstream says `relay = true`."
        ),
    )
    stream_seconds: float = seconds(
        3600.0, "Seconds a stream from an agent behind may last; its client can subscribe again."
    )
    grpc: GrpcConfig | None = attrs.field(
        default=None,
        metadata=doc("The gRPC binding of all agents, on a port of its own. Off by default."),
    )
