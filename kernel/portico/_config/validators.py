"""Validators for config fields; their messages stand next to the key, so they do not repeat it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def at_least(least: float) -> Callable[[Any, Any, Any], None]:
    """Refuse numbers below `least`; None passes."""

    def check(_: Any, __: Any, value: Any) -> None:
        if value is not None and value < least:
            raise ValueError(f"expected at least {least}, got {value}")

    return check


def positive(_: Any, __: Any, value: Any) -> None:
    """Refuse zero and negative numbers; None passes."""
    if value is not None and value <= 0:
        raise ValueError(f"expected more than 0, got {value}")
