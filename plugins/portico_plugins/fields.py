"""Fields that many config tables have: lower bounds, files, URLs, proxies, which addresses may be private."""

from __future__ import annotations

import re
from typing import Any, Final

import attrs

from portico.api import at_least, doc, positive

_PUBLIC: Final = re.compile(r"https?://[^\s/{}?#]+(/[^\s{}?#]*)?")


def seconds(default: float | None, text: str, **extra: Any) -> Any:
    """A field for a time of more than 0 seconds.

    Args:
        default: What it is unless it is given; None for nothing.
        text: What it is for, as for `doc`.
        extra: Further metadata.
    """
    return attrs.field(default=default, validator=positive, metadata=doc(text, **extra))


def number(default: float, text: str, *, least: float = 1, **extra: Any) -> Any:
    """A field for a number of at least `least`; the rest is as for `seconds`."""
    return attrs.field(default=default, validator=at_least(least), metadata=doc(text, **extra))


def public_url(text: str, example: str = "https://gateway.example.com") -> Any:
    """A field for where clients reach the gateway; empty for what they have connected to."""
    return attrs.field(default="", validator=_public, metadata=doc(text, example=example))


def _public(_: Any, __: Any, value: str) -> None:
    if value and not _PUBLIC.fullmatch(value):
        raise ValueError(f"expected a URL such as https://gateway.example.com, got {value!r}")


def operator_file(text: str, kind: str = "file") -> Any:
    """A field for a file or `folder`, or nothing, that only the configuration file may name."""
    return attrs.field(default=None, metadata=doc(text, operator_only=True, exists=kind))


def private_addresses(whose: str) -> Any:
    """A field for whether an upstream may have an address that is not public."""
    text = (
        f"Whether {whose} may have a loopback or private address. On by default, which is right only because "
        "whoever writes the config file runs the gateway; for upstreams managed at run time "
        "`gateway.managed_private` decides. Cloud metadata addresses are refused either way."
    )
    return attrs.field(default=True, metadata=doc(text, managed=False))


def proxy_url() -> Any:
    """A field for the HTTP proxy to connect through, with `proxy_secret` and `proxy_resolving` beside it."""
    from portico_plugins.urls import proxy  # a gateway without such tables never imports it

    text = (
        "The HTTP proxy through which to connect; the environment is not asked. It must take CONNECT to the "
        "port that is connected to."
    )
    metadata = doc(text, example="http://proxy.example.com:3128", operator_only=True)
    return attrs.field(default="", validator=proxy, metadata=metadata)


def proxy_secret() -> Any:
    """A field for what the proxy wants to know."""
    return attrs.field(default=None, metadata=doc("`user:password` for the proxy.", operator_only=True))


def proxy_resolving() -> Any:
    """A field for who resolves names where there is a proxy."""
    text = (
        "Whether names are left to the proxy to resolve, and with them the judgement of addresses. Without "
        "it, the proxy is told addresses that were judged here."
    )
    return attrs.field(default=False, metadata=doc(text, operator_only=True))
