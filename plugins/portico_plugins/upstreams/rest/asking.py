"""Configured credentials: asked for each caller, and judged before anything is sent."""

from __future__ import annotations

from portico.api import (
    Credential,
    CredentialParts,
    Exchange,
    PlacedCredential,
    Refused,
    RenewableCredential,
    Secret,
)
from portico_plugins.failures import unavailable
from portico_plugins.upstreams import checks

from .requests import Request
from .security import Additions


class Adding:
    """What is added to the request of one call, some of it by credentials. Nothing of it is kept.

    Args:
        exchange: The call.
        upstream: The upstream's name.

    Attributes:
        layers: What is added; later ones take the place of earlier ones.
    """

    def __init__(self, exchange: Exchange, upstream: str) -> None:
        self.layers: list[Additions] = []
        self._exchange = exchange
        self._upstream = upstream
        self._asked: dict[int, tuple[Credential, tuple[str, str]]] = {}

    async def ask(self, credential: Credential, wants: tuple[str, str] = ("", "")) -> None:
        """Add what a credential gives.

        Args:
            credential: The credential.
            wants: Where the document wants a key, and its name there, as in `Additions`.

        Raises:
            Refused: 50300: what it gives cannot be sent, or does not fill the place the document names.
        """
        if isinstance(credential, PlacedCredential):
            found = await credential.parts(self._exchange.principal, self._upstream)
        else:
            headers = await credential.headers(self._exchange.principal, self._upstream)
            found = CredentialParts(headers=headers)
        self._asked[len(self.layers)] = (credential, wants)
        self.layers.append(self._judged(found, wants))

    async def renew(self, request: Request) -> bool:
        """The API did not take a request: whether there is something else to add, which is asked for.

        Raises:
            Refused: 50300: there is nothing to be had, or it cannot be sent.
        """
        sent = dict(request.headers.values())
        again = False
        for place, (credential, wants) in self._asked.items():
            if isinstance(credential, RenewableCredential):
                found = await credential.renewed(sent, self._upstream)
                if found is not None:
                    self.layers[place] = self._judged(CredentialParts(headers=found), wants)
                    again = True
        return again

    def _judged(self, found: CredentialParts, wants: tuple[str, str]) -> Additions:
        if any(checks.header_problem(name, value) for name, value in found.headers.items()):
            raise self._none("bad_credential_header")
        if any(
            not checks.COOKIE.fullmatch(value) or checks.header_problem(name, "x")
            for name, value in found.cookies.items()
        ):
            raise self._none("bad_credential_cookie")
        place, name = wants
        filled = {
            "header": {key.lower() for key in found.headers},
            "query": set(found.query),
            "cookie": set(found.cookies),
        }
        if place and (name.lower() if place == "header" else name) not in filled.get(place, ()):
            raise self._none("credential_misplaced")
        return Additions(
            found.headers,
            {key: Secret(value) for key, value in found.query.items()},
            {key: Secret(value) for key, value in found.cookies.items()},
        )

    def _none(self, reason: str) -> Refused:
        return unavailable(self._upstream, reason, self._exchange, retryable=False)
