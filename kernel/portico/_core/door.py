"""Who may manage the gateway: who an auth scheme knows; where nobody is asked, callers of this machine."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from portico._core.contracts.auth import AuthScheme, Credentials, Principal
from portico._core.contracts.log import Log
from portico._core.errors import PorticoError
from portico._core.requests.authentication import Schemes


class Denied(PorticoError):
    """A caller may not come in.

    Attributes:
        status: The HTTP status: 401, 403, or what the auth scheme said.
        word: Why, for machines: `unauthenticated`, `scope`, `not-local`, `foreign-page`.
        detail: Why, in one sentence.
        headers: To be sent with it, names in lower case.
    """

    def __init__(self, status: int, word: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.word, self.detail = status, word, detail
        self.headers = dict(headers or {})


class Door:
    """Decides who a caller is and whether they may manage the gateway.

    Args:
        schemes: By name, in the order in which they are asked; empty: whoever is on this machine.
        scope: What a caller's credential must be good for; "" for nothing.
        log: For schemes that fail.
    """

    def __init__(self, schemes: Sequence[tuple[str, AuthScheme]], scope: str, log: Log) -> None:
        self._asked = bool(schemes)
        self._schemes = Schemes(schemes, log)
        self._open = {name for name, scheme in schemes if getattr(scheme, "lets_anyone_in", False)}
        self._scope = scope

    async def enter(self, credentials: Credentials) -> Principal:
        """Who is calling. Where anybody is let in, that is anybody on this machine who is no foreign page.

        Raises:
            Denied: They may not come in.
        """
        principal = await self._authenticated(credentials)
        if principal is None or principal.source in self._open:
            _judge_local(credentials)
            principal = principal or Principal("anonymous", "local")
        if self._scope and self._scope not in principal.scopes:
            bearer = f'Bearer error="insufficient_scope", scope="{self._scope}"'
            detail = f"This needs the scope {self._scope!r}"
            raise Denied(403, "scope", detail, {"www-authenticate": bearer})
        return principal

    async def _authenticated(self, credentials: Credentials) -> Principal | None:
        if not self._asked:
            return None
        challenge = await self._schemes.authenticate(credentials)
        if isinstance(challenge, Principal):
            return challenge
        headers = {name.lower(): value for name, value in challenge.headers}
        if challenge.status == 401:
            headers.setdefault("www-authenticate", "Bearer")  # RFC 9110 wants one with every 401
        raise Denied(challenge.status, "unauthenticated", f"Credentials: {challenge.reason}", headers)


def _judge_local(credentials: Credentials) -> None:
    """Nobody asked who it is: then it is somebody on this machine, and no web page.

    Raises:
        Denied: 403.
    """
    try:
        local = ipaddress.ip_address(credentials.peer.partition("%")[0]).is_loopback
    except ValueError:
        local = False
    if not local or credentials.proxied:
        raise Denied(403, "not-local", "Without credentials, only callers on this machine are served")
    headers = credentials.headers
    origin = headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc != headers.get("host")
    if foreign or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise Denied(403, "foreign-page", "Without credentials, pages of other origins are not served")
