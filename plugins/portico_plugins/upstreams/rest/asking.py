"""Configured credentials: asked for each caller, and judged before anything is sent."""

from __future__ import annotations

from portico.api import Credential, CredentialParts, Exchange, PlacedCredential, Secret
from portico_plugins.upstreams import checks
from portico_plugins.upstreams.failures import unavailable

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
        raise unavailable(upstream, "bad_credential_header", exchange, retryable=False)
    if any(not checks.COOKIE.fullmatch(v) or checks.header_problem(k, "x") for k, v in found.cookies.items()):
        raise unavailable(upstream, "bad_credential_cookie", exchange, retryable=False)
    place, name = wants
    filled = {
        "header": {key.lower() for key in found.headers},
        "query": set(found.query),
        "cookie": set(found.cookies),
    }
    if place and (name.lower() if place == "header" else name) not in filled.get(place, ()):
        raise unavailable(upstream, "credential_misplaced", exchange, retryable=False)
    return Additions(
        found.headers,
        {key: Secret(value) for key, value in found.query.items()},
        {key: Secret(value) for key, value in found.cookies.items()},
    )
