"""Whether the packages of an extra are installed."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec


@cache
def missing(extra: str, needed: tuple[tuple[str, str], ...]) -> str:
    """Which package of an extra is not installed, and what to do; "" when all are.

    Args:
        extra: Its name.
        needed: Its modules, and the packages they are of.
    """
    for module, package in needed:
        try:
            found = find_spec(module)
        except ModuleNotFoundError:
            found = None
        if found is None:
            return f"needs {package}, which is not installed: pip install 'portico[{extra}]'"
    return ""
