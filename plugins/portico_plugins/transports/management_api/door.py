"""How callers are let in, and how changes of theirs are signed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from portico.api import PROXIED, Author, AuthScheme, Credentials, Denied, Door, Log, Principal
from portico_plugins.transports.management_api.problems import Problem

_VIAS: Final = ("api", "cli", "import", "catalog")


class Entrance:
    """A door that says why in problems.

    Args:
        schemes: By name, in the order in which they are asked; empty: whoever is on this machine.
        scope: What a caller's credential must be good for; "" for nothing.
        log: For schemes that fail.
    """

    def __init__(self, schemes: Sequence[tuple[str, AuthScheme]], scope: str, log: Log) -> None:
        self._door = Door(schemes, scope, log)

    async def enter(self, scope: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[Principal, Author]:
        """Who is calling, and how changes of theirs are signed.

        Raises:
            Problem: 401, 403; or 400 for an unknown `Portico-Via`.
        """
        peer = scope["client"][0] if scope.get("client") else ""
        try:
            secure, proxied = scope["scheme"] == "https", bool(scope.get(PROXIED))
            principal = await self._door.enter(Credentials(headers, peer, "", secure, proxied))
        except Denied as denied:
            raise Problem(denied.status, denied.word, denied.detail, headers=denied.headers) from None
        via = headers.get("portico-via", "api")
        if via not in _VIAS:
            raise Problem(400, "bad-header", f"Portico-Via is one of {', '.join(_VIAS)}")
        return principal, Author(principal.subject, via, peer)
