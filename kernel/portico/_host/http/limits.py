"""What a request may look like before anything looks at what it says."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import attrs
from attrs.validators import ge, gt

from portico._config.settings import Settings
from portico._core.contracts.config import doc
from portico._host.http.sites import LOOPBACK_HOSTS, LOOPBACK_ORIGINS, Proxies
from portico._host.places import host_of, is_loopback

_WILDCARDS: Final = frozenset({"0.0.0.0", "::", "*"})  # noqa: S104 - compared, not bound


def _networks(_: object, __: object, value: tuple[str, ...]) -> None:
    Proxies(value)


@attrs.frozen
class Limits:
    """What a request may look like. Sizes are bytes, times seconds; each field documents itself."""

    body_bytes: int = attrs.field(
        default=4 * 1024 * 1024, validator=ge(0), metadata=doc("Largest request body, in bytes.")
    )
    body_seconds: float = attrs.field(
        default=30.0, validator=gt(0), metadata=doc("Time a request body may take to arrive.")
    )
    header_count: int = attrs.field(
        default=100, validator=ge(1), metadata=doc("Most header fields of one request.")
    )
    header_bytes: int = attrs.field(
        default=32 * 1024,
        validator=ge(1),
        metadata=doc("All header names and values together, in bytes."),
    )
    header_line: int = attrs.field(
        default=8 * 1024,
        validator=ge(1),
        metadata=doc("Longest header field, and longest path with its query, in bytes."),
    )
    allowed_hosts: tuple[str, ...] = attrs.field(
        default=LOOPBACK_HOSTS,
        metadata=doc(
            "`Host` values to answer to: `name` (any port), `name:port`, `*.domain`. `*`, or an empty list, "
            "allows any.",
            example=["mcp.example.com"],
        ),
    )
    allowed_origins: tuple[str, ...] = attrs.field(
        default=LOOPBACK_ORIGINS,
        metadata=doc(
            "`Origin` values allowed besides the gateway's own: `scheme://host`, `scheme://host:port`, "
            "`scheme://host:*`. `*` allows any. A request without `Origin` is always allowed.",
            example=["https://app.example.com"],
        ),
    )
    trusted_proxies: tuple[str, ...] = attrs.field(
        default=(),
        validator=_networks,
        metadata=doc(
            "Addresses or networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed; `unix` "
            "stands for Unix sockets.",
            example=["10.0.0.0/8"],
        ),
    )
    allow_h2c: bool = attrs.field(default=False, metadata=doc("Answer HTTP/2 without TLS."))


def limits_of(settings: Settings) -> Limits:
    """What the guard lets pass, from `[gateway]` and the addresses listened on."""
    gateway = settings.gateway
    hosts = [host_of(address) for address in gateway.listen]
    public = urlsplit(gateway.public_url) if gateway.public_url else None
    names = [*gateway.allowed_hosts, *([public.netloc] if public else [])]
    origins = [*gateway.allowed_origins, *([f"{public.scheme}://{public.netloc}"] if public else [])]
    everywhere = any(host in _WILDCARDS for host in hosts)
    # A health check inside a container asks 127.0.0.1 of a gateway that listens everywhere.
    if any(is_loopback(host) for host in hosts) or (everywhere and names):
        names += LOOPBACK_HOSTS
        origins += LOOPBACK_ORIGINS
    for host in hosts:
        if not is_loopback(host) and host not in _WILDCARDS:
            names.append(f"[{host}]" if ":" in host else host)
    if not names:
        names = ["*"]  # every address is listened on, by authenticated callers, and no name was given
    return Limits(body_bytes=gateway.body_limit, allowed_hosts=tuple(names), allowed_origins=tuple(origins))
