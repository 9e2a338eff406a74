"""What credentials for upstreams implement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import attrs

from portico._core.contracts.auth import Principal


@runtime_checkable
class Credential(Protocol):
    """What an upstream request needs; it never sees the inbound token."""

    async def headers(self, principal: Principal, upstream: str) -> Mapping[str, str]:
        """Headers to add to a request to this upstream on behalf of this principal."""
        ...


@attrs.frozen(kw_only=True)
class CredentialParts:
    """What a credential adds to a request, by where it goes. Values are as they are, not percent-encoded.

    Attributes:
        headers: By name.
        query: Parameters of the query by name.
        cookies: By name.
    """

    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    query: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    cookies: Mapping[str, str] = attrs.field(factory=dict, repr=False)


@runtime_checkable
class PlacedCredential(Credential, Protocol):
    """A credential that can be elsewhere than in headers.

    Upstreams that can send that ask for `parts` instead of `headers`. Others ask for `headers`, which raises
    `Refused` (50300, `credential_is_no_header`) where there is no header that says the same.
    """

    async def parts(self, principal: Principal, upstream: str) -> CredentialParts:
        """What to add to a request to this upstream on behalf of this principal."""
        ...


@runtime_checkable
class RenewableCredential(Credential, Protocol):
    """A credential whose headers end, and may do so before their time."""

    async def renewed(self, refused: Mapping[str, str], upstream: str) -> Mapping[str, str] | None:
        """Headers in place of some that an upstream did not take (HTTP 401, gRPC UNAUTHENTICATED).

        An upstream asks once for each request, and sends it again with what it is given.

        Args:
            refused: The headers of that request, among them those of the credential; letter case is free.
            upstream: The upstream's name.

        Returns:
            All headers that the credential adds, or None: it has none that the upstream may like better.
        """
        ...


@runtime_checkable
class FlowCredential(Credential, Protocol):
    """A credential that an OAuth authorization server gives; the description of an API may say more of it."""

    def for_flow(self, token_url: str, scopes: tuple[str, ...]) -> Credential:
        """The same credential for one part of an API.

        Args:
            token_url: Where the API's description says that tokens are had; "" where it says nothing that a
                secret can be trusted to. Used only if the configuration of the credential names none.
            scopes: What it says that the tokens must be good for; as before.

        Raises:
            ValueError: Nobody says where tokens are had, or the description names what is no place for that.
        """
        ...
