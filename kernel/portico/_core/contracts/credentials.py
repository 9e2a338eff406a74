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
