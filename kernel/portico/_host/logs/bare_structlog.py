"""structlog, without what it loads only because it is installed, and nobody uses here.

It looks for greenlet, which SQLAlchemy brings, to make a kind of thread-local of its own (1.1 MB in every
process), and for rich, to colour tracebacks.
"""

from __future__ import annotations

import sys
from typing import Any, Final

_LOOKED_FOR: Final = ("greenlet", "rich")

_hidden = [name for name in _LOOKED_FOR if name not in sys.modules]
_modules: dict[str, Any] = sys.modules
_modules.update(dict.fromkeys(_hidden))  # None: as if it were not installed
try:
    import structlog
finally:
    for _name in _hidden:
        del _modules[_name]

__all__ = ["structlog"]
