"""Fields that many config tables have: lower bounds, files, URLs, and whether addresses may be private."""

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
