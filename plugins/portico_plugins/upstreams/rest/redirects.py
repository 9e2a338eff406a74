"""Redirects that are not followed, and what is told of where they lead."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from portico.api import judge, spelled
from portico_plugins.http1 import Answer, Unusable

from .requests import Request

_PORTS: Final = {"http": 80, "https": 443}
_TOLD: Final = re.compile(r"/[\x21-\x7e]*")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.[A-Za-z][A-Za-z0-9-]+")
_INSIDE: Final = (
    ".arpa",
    ".corp",
    ".home",
    ".internal",
    ".intranet",
    ".lan",
    ".local",
    ".localhost",
    ".private",
)
_LONGEST: Final = 300


class NotFollowed(Unusable):
    """A redirect is not followed.

    Attributes:
        to: Where it leads, as far as that may be told: a path of the same origin, or origin and path; or "".
    """

    def __init__(self, request: Request, answer: Answer) -> None:
        super().__init__("redirect")
        self.to = told(request, answer.headers.get(b"location", b"").decode("latin-1"))


def told(request: Request, location: str) -> str:
    """What may be told of where a redirect leads; "" for nothing.

    Queries, fragments, credentials and parameters of paths are not told, nor are addresses and names that are
    not public: whoever calls a tool need not know of them, and the server may be anybody's.

    Args:
        request: The request that was answered with it.
        location: What the answer says.
    """
    try:
        here = urlsplit(request.origin)
        there = urlsplit(urljoin(request.origin + request.target, location))
        origin = "" if _place(here) == _place(there) else _public(there)
    except ValueError:
        return ""
    path = (there.path or "/").partition(";")[0]
    if not location or origin is None or len(origin + path) > _LONGEST or _TOLD.fullmatch(path) is None:
        return ""
    return origin + path


def _place(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _public(parts: SplitResult) -> str | None:
    """An origin without credentials; None where it is nobody's business, or none of HTTP."""
    host = parts.hostname or ""
    addresses = spelled(host)
    if parts.scheme not in _PORTS or any(judge(each, allow_private=False) for each in addresses):
        return None
    if not addresses and (_NAME.fullmatch(host) is None or host.endswith(_INSIDE)):
        return None
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"
