"""The names that servers give to files (Content-Disposition, RFC 6266), made harmless."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

_LONGEST_HEADER: Final = 4096
_LONGEST: Final = 100
"""Characters of a name; of what is behind its last dot, which programs go by, so many are kept."""
_LONGEST_SUFFIX: Final = 16
_PARAMETER: Final = re.compile(r";\s*+([\w!#$%&'*+.^`|~-]++)\s*+=\s*+(\"(?:[^\"\\]|\\.)*+\"?|[^;,\s]*+)")
_EXTENDED: Final = re.compile(r"(utf-8|iso-8859-1)'[^']*+'(.*)", re.IGNORECASE | re.DOTALL)
_NOT_IN_NAMES: Final = re.compile(r'[<>:"|?*]')
"""What has a meaning in paths or shells of some system, beside separators."""


def file_name(disposition: bytes) -> str:
    """The name a Content-Disposition has for a file, "" for none.

    Of a path that is its last part. Nothing that is left is invisible, changes the direction of writing,
    hides the file, or means something to a file system.
    """
    text = disposition[:_LONGEST_HEADER].decode("latin-1")
    said = {name.lower(): value for name, value in reversed(_PARAMETER.findall(text))}
    extended = _EXTENDED.fullmatch(said.get("filename*", ""))
    if extended is not None:
        return _harmless(unquote_to_bytes(extended[2]).decode(extended[1], "replace"))
    name = said.get("filename", "")
    if name.startswith('"'):
        name = re.sub(r"\\([\"\\])", r"\1", name[1:].removesuffix('"'))
    try:
        name = name.encode("latin-1").decode()  # what many send, and browsers take
    except UnicodeDecodeError:
        pass
    return _harmless(name)


def _harmless(name: str) -> str:
    last = re.split(r"[/\\]", name)[-1]
    seen = "".join(char if char.isprintable() else " " if char.isspace() else "" for char in last)
    name = _NOT_IN_NAMES.sub("_", seen).strip(" .")
    if len(name) <= _LONGEST:
        return name
    suffix = name[name.rfind(".") :] if "." in name[-_LONGEST_SUFFIX:] else ""
    return name[: _LONGEST - len(suffix)].rstrip(" .") + suffix
