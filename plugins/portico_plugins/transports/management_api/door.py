"""Who may come in: the auth schemes, the scope, and callers of this machine where nobody is asked."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from portico.api import PROXIED, Author, AuthScheme, Challenge, Credentials, Log, Principal
from portico_plugins.transports.management_api.problems import Problem

_VIAS: Final = ("api", "cli", "import", "catalog")


class Door:
    """Decides who a caller is and whether they may manage the gateway.

    Args:
        schemes: By name, in the order in which they are asked; empty: whoever is on this machine.
        scope: What a caller's credential must be good for; "" for nothing.
        log: For schemes that fail.
    """

    def __init__(self, schemes: Sequence[tuple[str, AuthScheme]], scope: str, log: Log) -> None:
        self._schemes = schemes
        self._open = {name for name, scheme in schemes if getattr(scheme, "lets_anyone_in", False)}
        self._scope = scope
        self._log = log

    async def enter(self, scope: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[Principal, Author]:
        """Who is calling, and how changes of theirs are signed.

        Raises:
            Problem: 401, 403; or 400 for an unknown `Portico-Via`.
        """
        peer = scope["client"][0] if scope.get("client") else ""
        principal = await self._authenticated(Credentials(headers, peer, "", scope["scheme"] == "https"))
        if principal is None or principal.source in self._open:
            _judge_local(peer, headers, proxied=bool(scope.get(PROXIED)))
            principal = principal or Principal("anonymous", "local")
        if self._scope and self._scope not in principal.scopes:
            bearer = f'Bearer error="insufficient_scope", scope="{self._scope}"'
            detail = f"This needs the scope {self._scope!r}"
            raise Problem(403, "scope", detail, headers={"www-authenticate": bearer})
        via = headers.get("portico-via", "api")
        if via not in _VIAS:
            raise Problem(400, "bad-header", f"Portico-Via is one of {', '.join(_VIAS)}")
        return principal, Author(principal.subject, via, peer)

    async def _authenticated(self, credentials: Credentials) -> Principal | None:
        challenge: Challenge | None = None
        for name, scheme in self._schemes:
            try:
                verdict = await scheme.authenticate(credentials)
            except Exception as error:  # fail closed, whatever the plugin did
                self._log.error("auth.failed", scheme=name, error=repr(error))
                challenge = Challenge(reason="auth_error")
                break
            if isinstance(verdict, Principal):
                return verdict
            challenge = challenge or verdict
        else:
            if not self._schemes:
                return None
        challenge = challenge or Challenge(reason="no_scheme")
        headers = {name.lower(): value for name, value in challenge.headers}
        if challenge.status == 401:
            headers.setdefault("www-authenticate", "Bearer")  # RFC 9110 wants one with every 401
        raise Problem(
            challenge.status, "unauthenticated", f"Credentials: {challenge.reason}", headers=headers
        )


def _judge_local(peer: str, headers: Mapping[str, str], *, proxied: bool) -> None:
    """Nobody asked who it is: then it is somebody on this machine, and no web page.

    Raises:
        Problem: 403.
    """
    try:
        local = ipaddress.ip_address(peer.partition("%")[0]).is_loopback
    except ValueError:
        local = False
    if not local or proxied:
        raise Problem(403, "not-local", "Without credentials, only callers on this machine are served")
    origin = headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc != headers.get("host")
    if foreign or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise Problem(403, "foreign-page", "Without credentials, pages of other origins are not served")
