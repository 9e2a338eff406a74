"""What type a resource has that does not say so."""

from __future__ import annotations

import mimetypes
from typing import Final

TEXT: Final = "text/plain"
BINARY: Final = "application/octet-stream"

_BY_NAME: Final = mimetypes.MimeTypes()
"""By the end of the name, as Python has it: the machine's own tables would differ from place to place."""

for _kind, _end in (
    ("text/markdown", ".md"),
    ("application/yaml", ".yaml"),
    ("application/yaml", ".yml"),
    ("application/toml", ".toml"),
    ("application/jsonl", ".jsonl"),
    ("image/webp", ".webp"),
    ("image/avif", ".avif"),
):
    _BY_NAME.add_type(_kind, _end)  # which not every version of Python has

_SIGNATURES: Final = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF8", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"OggS", "audio/ogg"),
    (0, b"fLaC", "audio/flac"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"\x00asm", "application/wasm"),
)
"""Where a file of a type has which bytes. What clients show is here; a library for hundreds more would bring
nothing that a `mime_type` in the configuration does not say better."""

_MARKUP: Final = (("<!doctype html", "text/html"), ("<html", "text/html"), ("<?xml", "application/xml"))


def type_of(name: str, content: str | bytes) -> str:
    """The type of content, by its name, else by how it begins, else by whether it is text.

    Args:
        name: Its URI.
        content: It.
    """
    known, encoding = _BY_NAME.guess_type(name)
    if known and not encoding:
        return known
    if isinstance(content, str):
        begins = content[:64].lstrip().lower()
        return next((kind for start, kind in _MARKUP if begins.startswith(start)), TEXT)
    for at, signature, kind in _SIGNATURES:
        if content[at : at + len(signature)] == signature:
            return kind
    return TEXT if _is_text(content) else BINARY


def _is_text(content: bytes) -> bool:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return False
    return not any(char < " " and char not in "\t\r\n\f" for char in text)
