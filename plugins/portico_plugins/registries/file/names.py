"""Names of files for names of records: legible, reversible, and apart on file systems that ignore case."""

from __future__ import annotations

import hashlib
import re
from typing import Final

SUFFIX: Final = ".toml"

_LONGEST: Final = 180
"""Characters of a stem; file systems allow 255 bytes for the whole name."""

_ESCAPED: Final = re.compile(r"[^a-z0-9_.-]")
_ESCAPE: Final = re.compile(r"(?:%[0-9a-fA-F]{2})+")
_DEVICE: Final = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?![a-z0-9_-])")
"""Names that are devices on Windows, whatever follows their first dot."""


def stem_of(name: str) -> str:
    """The name of the file, without its suffix, for a record of this name.

    Small ASCII letters, digits, `_`, `-` and `.` stand for themselves, every other byte (of UTF-8) is `%xx`.
    What would be too long is cut, and told apart by a digest: such a file has the `name` in it.
    """
    stem = _ESCAPED.sub(lambda match: "".join(f"%{byte:02x}" for byte in match[0].encode()), name)
    if stem.startswith(".") or _DEVICE.match(stem):
        stem = f"%{ord(stem[0]):02x}{stem[1:]}"
    return stem if len(stem) <= _LONGEST else digested(name, stem)


def digested(name: str, stem: str | None = None) -> str:
    """A stem that no other name has, for where the plain one will not do."""
    beginning = (stem or stem_of(name))[:80]
    return f"{beginning}~{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def name_of(stem: str) -> str | None:
    """The name that a stem says; None when it is nothing that could be read."""
    try:
        return _ESCAPE.sub(lambda match: bytes.fromhex(match[0].replace("%", "")).decode(), stem)
    except UnicodeDecodeError:
        return None
