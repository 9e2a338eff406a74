"""Configured credentials: asked for each caller, and judged before anything is sent."""

from __future__ import annotations

from portico.api import (
    UPSTREAM_UNAVAILABLE,
    Credential,
    CredentialParts,
    Exchange,
    PlacedCredential,
    Refused,
    Secret,
    failure,
)
from portico_plugins.upstreams import checks

from .security import Additions


async def addition(
    credential: Credential, exchange: Exchange, upstream: str, wants: tuple[str, str] = ("", "")
) -> Additions:
    """What a credential adds to the request of a call. Nothing of it is kept: it is the caller's own.

    Args:
        credential: The credential.
        exchange: The call.
        upstream: The upstream's name.
        wants: Where the document wants a key, and its name there, as in `Additions`.

    Raises:
        Refused: 50300: what it gives cannot be sent, or does not fill the place the document names.
    """
    if isinstance(credential, PlacedCredential):
        found = await credential.parts(exchange.principal, upstream)
    else:
        found = CredentialParts(headers=await credential.headers(exchange.principal, upstream))
    if any(checks.header_problem(name, value) for name, value in found.headers.items()):
        raise _none("bad_credential_header", exchange, upstream)
    if any(not checks.COOKIE.fullmatch(v) or checks.header_problem(k, "x") for k, v in found.cookies.items()):
        raise _none("bad_credential_cookie", exchange, upstream)
    place, name = wants
    filled = {
        "header": {key.lower() for key in found.headers},
        "query": set(found.query),
        "cookie": set(found.cookies),
    }
    if place and (name.lower() if place == "header" else name) not in filled.get(place, ()):
        raise _none("credential_misplaced", exchange, upstream)
    return Additions(
        found.headers,
        {key: Secret(value) for key, value in found.query.items()},
        {key: Secret(value) for key, value in found.cookies.items()},
    )


def _none(reason: str, exchange: Exchange, upstream: str) -> Refused:
    return failure(
        UPSTREAM_UNAVAILABLE,
        "The upstream is not available.",
        reason=reason,
        upstream=upstream,
        request_id=exchange.id,
    )
