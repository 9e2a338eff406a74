"""How the bodies of requests are written: JSON, forms, multipart, text and files."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Iterable
from fnmatch import fnmatchcase
from itertools import chain, repeat
from typing import Any, Final
from urllib.parse import quote

import msgspec

from . import styles
from .document import Unfit, mapping
from .payloads import SEQUENCES, Body, Field

_TYPE: Final = re.compile(
    r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}(?:; ?[a-z]+=[A-Za-z0-9_.-]+)?"
)
_encode = msgspec.json.Encoder().encode
PLAIN: Final = Field()


def written(body: Body, value: Any) -> tuple[bytes, str]:
    """The bytes of a body, and its media type.

    Raises:
        Unfit: The value is none that this body can have.
    """
    if body.kind == "json":
        return _encode(value), body.media_type if "*" not in body.media_type else "application/json"
    if body.kind == "items":
        if not isinstance(value, list):
            raise Unfit("the body is a sequence: expected a list")
        before = b"\x1e" if body.media_type.partition(";")[0].strip().lower() in SEQUENCES else b""
        return b"".join(b"%b%b\n" % (before, _encode(item)) for item in value), body.media_type
    if body.kind == "text":
        return styles.text(value).encode("utf-8", "replace"), _with_charset(body.media_type)
    if body.kind == "binary":
        data, media_type, _ = content(value)
        return data, media_type if "*" in body.media_type else body.media_type
    if body.kind == "parts":
        if not isinstance(value, list):
            raise Unfit("the body is made of parts: expected a list")
        each = zip(value, chain(body.first, repeat(body.rest)), strict=False)
        return _multipart(body, [_part(None, item, field) for item, field in each])
    if not isinstance(value, dict):
        raise Unfit("the body is a form: expected an object")
    if body.kind == "form":
        fields = {name: quote(name, safe="") for name in value}
        found = [
            pair
            for name, item in value.items()
            for pair in pairs_of(name, item, body.fields.get(name, PLAIN))
            # What an object writes as fields of their own is no other field of the form.
            if pair[0] == fields[name] or pair[0] not in fields.values()
        ]
        return "&".join(f"{name}={item}" for name, item in found).encode(), body.media_type
    parts = [
        part for name, item in value.items() for part in _parts(name, item, body.fields.get(name, PLAIN))
    ]
    return _multipart(body, parts)


def _multipart(body: Body, parts: list[bytes]) -> tuple[bytes, str]:
    boundary = secrets.token_hex(16)
    data = b"".join(b"--%b\r\n%b" % (boundary.encode(), part) for part in parts)
    usual = "multipart/mixed" if body.kind == "parts" else "multipart/form-data"
    media_type = usual if "*" in body.media_type else body.media_type.partition(";")[0]
    return data + b"--%b--\r\n" % boundary.encode(), f"{media_type}; boundary={boundary}"


def content(value: Any) -> tuple[bytes, str, str]:
    """The bytes, media type and name of a file argument; plain text is a file of it.

    Raises:
        Unfit: It is none.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "replace"), "text/plain; charset=utf-8", "file.txt"
    if not isinstance(value, dict):
        raise Unfit("expected a file")
    name = str(value.get("filename") or "file")
    if "base64" in value:
        try:
            data = base64.b64decode(str(value["base64"]), validate=True)
        except (binascii.Error, ValueError):
            raise Unfit("the content of a file is not base64") from None
        media_type = "application/octet-stream"
    else:
        data, media_type = str(value.get("text", "")).encode("utf-8", "replace"), "text/plain; charset=utf-8"
    said = value.get("mediaType")
    if said:
        if not isinstance(said, str) or not _TYPE.fullmatch(said):
            raise Unfit("the media type of a file is not sound")
        media_type = said
    return data, media_type, name


def _with_charset(media_type: str) -> str:
    if "*" in media_type:
        return "text/plain; charset=utf-8"
    return media_type if ";" in media_type else f"{media_type}; charset=utf-8"


def pairs_of(name: str, value: Any, field: Field) -> styles.Pairs:
    """A member of a form as its pairs, percent-encoded."""
    if field.file and not isinstance(value, str):
        value = content(value)[0].decode("utf-8", "replace")
    if field.style:
        safe = styles.RESERVED if field.reserved else ""
        return styles.pairs(name, value, field.style, field.explode, safe)
    own = quote(name, safe="")
    values: Iterable[Any] = value if isinstance(value, list) else [value]
    return [(own, styles.quoted(item)) for item in values]


def _parts(name: str, value: Any, field: Field) -> list[bytes]:
    if field.file and value is None:
        return []
    values = value if isinstance(value, list) else [value]
    if field.style and not field.file and isinstance(value, list) and not field.explode:
        values = [",".join(styles.text(item) for item in value)]
    return [_part(name, item, field) for item in values]


def _part(name: str | None, value: Any, field: Field) -> bytes:
    """A part: a member of a form, or without a name one of a list."""
    disposition = f'form-data; name="{_escaped(name)}"' if name is not None else ""
    first = next((one for one in field.media_types if "*" not in one), "")
    if field.file:
        data, media_type, filename = content(value)
        if name is not None or mapping(value).get("filename"):
            disposition = f'{disposition or "attachment"}; filename="{_escaped(filename)}"'
        bare = media_type.partition(";")[0].lower()
        if not any(fnmatchcase(bare, one.lower()) for one in field.media_types):
            media_type = first or media_type
    elif isinstance(value, dict | list):
        data, media_type = _encode(value), first or "application/json"
    else:
        data, media_type = styles.text(value).encode("utf-8", "replace"), first
    head = f"Content-Disposition: {disposition}\r\n" if disposition else ""
    if media_type:
        if not _TYPE.fullmatch(media_type):
            raise Unfit("the media type of a part is not sound")
        head += f"Content-Type: {media_type}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in field.headers)
    return head.encode() + b"\r\n" + data + b"\r\n"


def _escaped(name: str) -> str:
    """As HTML does it (multipart/form-data encoding algorithm)."""
    return re.sub(r"[\x00-\x1f\x7f\"]", lambda match: f"%{ord(match[0]):02X}", name)
