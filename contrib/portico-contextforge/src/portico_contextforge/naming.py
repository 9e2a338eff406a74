"""ContextForge's ids and names, and ours."""

from __future__ import annotations

import glob
import hashlib
import re
import unicodedata
import uuid
from functools import lru_cache
from typing import Final

import msgspec

MAX_NAME: Final = 64
_LONGEST_RECORD: Final = 48
LOCAL: Final = "local"
"""The upstream that has the gateway's own prompts and resources."""

REST: Final = "rest--"
"""What the upstreams begin with that are REST tools."""

_MANY: Final = (
    1 << 16
)  # a gateway may have tens of thousands of tools, and each request needs all their names
_SPACE: Final = uuid.UUID("5f0a6a5e-6d0c-4f0f-9d2e-0c7b7f1d2a11")
_HEX: Final = re.compile(r"[0-9a-f]{32}")
_ILLEGAL: Final = re.compile(r"[^a-zA-Z0-9_-]+")
_SPECIAL: Final = re.compile(r"\[([*?[])\]")


@lru_cache(_MANY)
def ident(kind: str, *names: str) -> str:
    """The id of a thing: 32 hexadecimal digits that follow from its names, so any process has the same.

    Args:
        kind: `gateways`, `servers`, `tools`, `resources` or `prompts`.
        names: What tells it from others of its kind.
    """
    if kind == "servers" and _HEX.fullmatch(names[0]):
        return names[0]  # it was created with an id of its own, and is called by it
    return uuid.uuid5(_SPACE, msgspec.json.encode([kind, *names]).decode()).hex


def plain_id(text: str) -> str:
    """An id without the dashes that UUIDs may be written with."""
    bare = text.replace("-", "").lower()
    return bare if len(text) == 36 and _HEX.fullmatch(bare) else text


def slug(text: str) -> str:
    """Lower case letters and digits, with single dashes between words."""
    bare = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower().replace("'", "")
    return re.sub(r"[^a-z0-9]+", "-", bare).strip("-")


@lru_cache(_MANY)
def federated(upstream: str, own: str) -> str:
    """What ContextForge calls a gateway's tool or prompt: `gateway-some-tool`."""
    if upstream == LOCAL:
        return own
    if upstream.startswith(REST):
        return slug(own)  # it has no gateway
    name = f"{slug(upstream)}-{slug(own)}".strip("-")
    if len(name) <= MAX_NAME:
        return name
    tail = hashlib.sha256(f"{upstream}/{own}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{name[: MAX_NAME - 9]}-{tail}"


def record_name(text: str) -> str:
    """A name records can have: at most 48 letters, digits, `-` and `_`; "" when nothing is left of it."""
    return _ILLEGAL.sub("-", text.strip()).strip("-_")[:_LONGEST_RECORD].strip("-_")


def rest_record(own: str) -> str:
    """The name of the upstream that a REST tool is."""
    name = f"{REST}{own}"
    if len(name) <= _LONGEST_RECORD:
        return name
    return f"{name[: _LONGEST_RECORD - 9]}-{hashlib.sha256(own.encode()).hexdigest()[:8]}"


def pattern(upstream: str, own: str) -> str:
    """What a virtual server's selection matches exactly this with."""
    return f"{upstream}/{glob.escape(own)}"


def chosen(text: str) -> tuple[str, str]:
    """What such a pattern was made of; ("", pattern) when it is none."""
    upstream, slash, rest = text.partition("/")
    own = _SPECIAL.sub(r"\1", rest)
    return (upstream, own) if slash and pattern(upstream, own) == text else ("", text)
