"""URLs that clients give: where an agent may be asked to fetch files, and to send push notifications."""

from __future__ import annotations

import asyncio
from typing import Final, Literal
from urllib.parse import urlsplit

from portico.api import AddressNotAllowed, resolve
from portico_plugins.a2a.parts import is_web

Allowed = Literal["public", "any", "none"]

_RESOLVING: Final = 5.0
_LONGEST: Final = 8192


async def forbidden(url: str, allowed: Allowed) -> str:
    """Why an agent may not be sent to a URL of a client's, "" when it may.

    The agent resolves the name again, so this cannot keep a name from becoming another address; it keeps
    clients from pointing at what they could just name. Nothing is connected to.

    Args:
        url: What the client gave.
        allowed: Only public addresses, any but cloud metadata's, or none at all.
    """
    if allowed == "none":
        return "URLs are not taken here"
    if not is_web(url) or not url.isascii() or len(url) > _LONGEST:
        return "expected http://host... or https://host..."
    parts = urlsplit(url)
    try:
        port = parts.port or 443
        async with asyncio.timeout(_RESOLVING):
            await resolve(parts.hostname or "", port, allow_private=allowed == "any")
    except AddressNotAllowed:
        return "address_not_allowed"
    except (OSError, ValueError):
        # A name that only the agent's network knows is none of a public address.
        return "" if allowed == "any" else "address_not_allowed"
    return ""
