"""The Date of answers, made once a second and not once an answer."""

from __future__ import annotations

import time
from email.utils import formatdate

_second = 0
_date = b""


def http_date() -> bytes:
    """Now, as the `date` header has it."""
    global _date, _second
    second = int(time.time())
    if second != _second:
        _second = second
        _date = formatdate(second, usegmt=True).encode()
    return _date
