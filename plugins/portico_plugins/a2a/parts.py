"""Parts of A2A messages and artifacts as content blocks of MCP, and back; both as JSON.

| A2A part | MCP content block |
| --- | --- |
| `text` | `text` |
| `raw`, an image or audio | `image`, `audio` |
| `raw`, anything else | an embedded `resource` |
| `url` | `resource_link` |
| `data` | `text`, the JSON; the value itself belongs into structured content |
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec

from portico.api import Json

METADATA: Final = "a2a-protocol.org/metadata"
"""In the `_meta` of a content block: the metadata of the part."""
_BINARY: Final = "application/octet-stream"
_MEDIA_TYPE: Final = re.compile(r"[\x20-\x7e]{1,255}")
"""What may stand in a header; anything else is as good as none."""
_encode = msgspec.json.Encoder().encode


def content_of(part: Json, uri: str) -> Json:
    """The content block for a part; parts that have nothing in them are empty text.

    Args:
        part: ProtoJSON of a part.
        uri: What an embedded resource goes by.
    """
    media_type = str(part.get("mediaType", ""))
    block = _block(part, media_type if _MEDIA_TYPE.fullmatch(media_type) else "", uri)
    if part.get("metadata"):
        block["_meta"] = {METADATA: part["metadata"]}
    return block


def _block(part: Json, media_type: str, uri: str) -> Json:
    if "text" in part:
        return {"type": "text", "text": part["text"]}
    if "data" in part:
        return {"type": "text", "text": _encode(part["data"]).decode()}
    if "raw" in part:
        kind = media_type.partition("/")[0].lower()
        if kind in ("image", "audio") and not media_type.lower().startswith("image/svg"):
            return {"type": kind, "data": part["raw"], "mimeType": media_type}
        return {
            "type": "resource",
            "resource": {"uri": uri, "mimeType": media_type or _BINARY, "blob": part["raw"]},
        }
    if "url" in part:
        return _linked(part, media_type)
    return {"type": "text", "text": ""}


def _linked(part: Json, media_type: str) -> Json:
    """A link, if it is one that can be shown: of http and https."""
    url = str(part["url"])
    if not is_web(url):
        return {"type": "text", "text": url}
    link: Json = {"type": "resource_link", "uri": url, "name": name_of(part)}
    if media_type:
        link["mimeType"] = media_type
    return link


def is_web(url: str) -> bool:
    """Whether a URL is one of http or https, with a host and without anything that should not be in one."""
    if any(char <= " " or char in "\x7f\\" for char in url):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False


def name_of(part: Json) -> str:
    """What a file goes by: its own name, or the last of its URL."""
    return str(part.get("filename") or _last(str(part.get("url", ""))) or "file")


def _last(url: str) -> str:
    return unquote(url.partition("?")[0].partition("#")[0].rstrip("/").rpartition("/")[2])[:200]


def part_of(block: Json) -> Json:
    """The part for a content block; kinds that are not known become data.

    Raises:
        ValueError: What should be base64 is not.
    """
    part = _part(block)
    meta = block.get("_meta")
    metadata = meta.get(METADATA) if isinstance(meta, dict) else None
    if isinstance(metadata, dict):
        part["metadata"] = metadata
    return part


def _part(block: Json) -> Json:
    kind = block.get("type")
    if kind == "text":
        return {"text": str(block.get("text", ""))}
    if kind in ("image", "audio"):
        return {"raw": base64_of(block.get("data")), "mediaType": str(block.get("mimeType", _BINARY))}
    if kind == "resource_link":
        return _named({"url": str(block.get("uri", ""))}, block.get("mimeType"), block.get("name"))
    resource = block.get("resource")
    if kind == "resource" and isinstance(resource, dict):
        filename = _last(str(resource.get("uri", "")))
        if "blob" in resource:
            return _named({"raw": base64_of(resource["blob"])}, resource.get("mimeType", _BINARY), filename)
        return _named({"text": str(resource.get("text", ""))}, resource.get("mimeType"), filename)
    return {"data": block}


def _named(part: Json, media_type: Any, filename: Any) -> Json:
    if media_type:
        part["mediaType"] = str(media_type)
    if filename:
        part["filename"] = str(filename)
    return part


def base64_of(value: Any) -> str:
    """The value, if it is base64.

    Raises:
        ValueError: It is not.
    """
    try:
        if isinstance(value, str):
            base64.b64decode(value, validate=True)
            return value
    except (binascii.Error, ValueError):
        pass
    raise ValueError("expected base64")
