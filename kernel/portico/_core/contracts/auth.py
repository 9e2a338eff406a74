"""Who is calling, and what auth schemes implement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import attrs
import msgspec


@attrs.frozen
class Principal:
    """Who is calling. Equality and hash are by value: pools, handles and caches key on it.

    Attributes:
        subject: A stable name, unique within `source`.
        source: The auth scheme instance that vouches for it.
        client: The OAuth client or key id, "" where there is none.
        tenant: "" where there is none.
        scopes: What the credential is good for.
    """

    subject: str
    source: str
    client: str = ""
    tenant: str = ""
    scopes: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """One string that differs whenever the identity differs (scopes left aside)."""
        return msgspec.json.encode([self.tenant, self.source, self.subject, self.client]).decode()


GATEWAY = Principal("gateway", "portico")
"""The gateway itself: what it lists upstreams as."""


@attrs.frozen
class Challenge:
    """The request brought no credential, or a wrong one.

    Attributes:
        status: 401 or 403.
        headers: Response headers (`WWW-Authenticate`).
        reason: One word for logs (`missing`, `invalid`, `expired`).
    """

    status: int = 401
    headers: tuple[tuple[str, str], ...] = ()
    reason: str = "missing"


@attrs.define(eq=False)
class Credentials:
    """The parts of an inbound request an auth scheme may look at.

    Attributes:
        headers: Names in lower case; a repeated `authorization` never gets this far.
        peer: The client's IP address, "" on stdio.
        server: The virtual server asked for.
        secure: Whether the connection is TLS.
        proxied: Whether the request says it came through a proxy, so that `peer` may be that one's (see
            `PROXIED`).
    """

    headers: Mapping[str, str]
    peer: str
    server: str
    secure: bool = False
    proxied: bool = False


@runtime_checkable
class AuthScheme(Protocol):
    """Credentials of a request -> who it is.

    A scheme that needs no I/O also has `decide(credentials)`, which is `authenticate` without waiting; then a
    request needs no task for it.
    """

    async def authenticate(self, credentials: Credentials) -> Principal | Challenge | None:
        """A principal, a challenge ("mine, and wrong" or "none given"), or None: not mine."""
        ...
