"""Whether the packages of the extra `a2a` are installed."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Final

_NEEDED: Final = (
    ("a2a", "a2a-sdk"),
    ("httpx", "httpx"),
    ("google.protobuf", "protobuf"),
    ("grpc", "grpcio"),
    ("jwt", "pyjwt"),
)


@cache
def missing() -> str:
    """Which package of the extra is not installed, and what to do; "" when all are."""
    for module, package in _NEEDED:
        try:
            found = find_spec(module)
        except ModuleNotFoundError:
            found = None
        if found is None:
            return f"needs {package}, which is not installed: pip install 'portico[a2a]'"
    return ""
