"""Characters in definitions that people do not see, and models read: invisible, bidirectional, control."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

_MOST: Final = 20

_ODD: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064"
    "\u2066-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Not among them: tab and line ends, and joiners, which emoji and several scripts are written with."""

_PERHAPS: Final = re.compile(rf"{_ODD.pattern}|\\(?:u00|b|f)")
"""The same in JSON text, where control characters are escaped."""


def odd_text(value: Any, encoded: bytes) -> tuple[str, ...]:
    """Where a JSON value has such characters: `path: U+202E RIGHT-TO-LEFT OVERRIDE`, each once a place.

    Args:
        value: The value.
        encoded: The same as JSON text, which is looked at first.
    """
    if not _PERHAPS.search(encoded.decode("utf-8", "replace")):
        return ()
    return tuple(dict.fromkeys(islice(_walk(value, ""), _MOST)))


def _walk(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _walk(key, path)
            yield from _walk(each, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for at, each in enumerate(value):
            yield from _walk(each, f"{path}[{at}]")
    elif isinstance(value, str):
        for char in dict.fromkeys(_ODD.findall(value)):
            where = _ODD.sub("?", path) or "name"
            yield f"{where}: U+{ord(char):04X} {unicodedata.name(char, 'CONTROL')}"
