"""Whether the packages of the extra `a2a` are installed."""

from __future__ import annotations

from typing import Final

from portico_plugins import extras

_NEEDED: Final = (
    ("a2a", "a2a-sdk"),
    ("httpx", "httpx"),
    ("google.protobuf", "protobuf"),
    ("grpc", "grpcio"),
    ("jwt", "pyjwt"),
)


def missing() -> str:
    """Which package of the extra is not installed, and what to do; "" when all are."""
    return extras.missing("a2a", _NEEDED)
