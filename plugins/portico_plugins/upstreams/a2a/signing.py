"""Signatures of cards (A2A 1.0, 8.4): only those of configured signers count.

Keys come from where the configuration says. A card, or whoever changed it on its way, cannot name them: a
`jku` is followed only if that very URL is configured, and a key that a signature brings along never counts.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Iterator
from typing import Any, Final

import attrs
import jwt
import msgspec
from a2a.types import AgentCard
from a2a.utils.signing import SignatureVerificationError, create_signature_verifier

from portico.api import Host, Json
from portico_plugins.http1 import HttpError

from .card import Unsigned
from .config import A2aConfig, Signers
from .web import Web

_MOST_SIGNATURES: Final = 16
_MOST_KEYS: Final = 100


@attrs.frozen
class _Header:
    """The protected header of a signature, as far as it says where its key is."""

    kid: str
    jku: str


class Verifier:
    """Verifies the cards of one upstream.

    Args:
        signers: Whose signatures count.
        config: The upstream's configuration.
        host: Its host.
        web: Sends requests.
    """

    def __init__(self, signers: Signers, config: A2aConfig, host: Host, web: Web) -> None:
        self._signers = signers
        self._most = config.max_card_bytes
        self._patience = config.connect_timeout
        self._host = host
        self._web = web

    async def verify(self, card: AgentCard) -> None:
        """Verify a card: one signature of a signer is enough.

        Raises:
            Unsigned: There is none, or the keys cannot be had.
            OSError: The file of keys cannot be read.
        """
        if not card.signatures:
            raise Unsigned("unsigned_card")
        if len(card.signatures) > _MOST_SIGNATURES:
            raise Unsigned(f"bad_signature (more than {_MOST_SIGNATURES})")
        named = {header.jku for header in map(_header, card.signatures) if header is not None and header.jku}
        own = await self._own()
        others = {url: await self._fetched(url) for url in self._signers.jku if url in named}

        def key(kid: str | None, jku: str | None) -> jwt.PyJWK:
            found = own.get(kid or "")
            if found is None and jku is not None:
                found = others.get(jku, {}).get(kid or "")
            if found is None:
                raise jwt.InvalidKeyError("no key of a signer")
            return found

        verify = create_signature_verifier(key, list(self._signers.algorithms))
        try:
            await asyncio.to_thread(verify, card)
        except SignatureVerificationError:
            raise Unsigned("bad_signature (none is a signer's)") from None
        except Exception as error:
            # What is in a signature is not ours, and the library below takes some of it on trust.
            raise Unsigned(f"bad_signature ({type(error).__name__})") from None

    async def _own(self) -> dict[str, jwt.PyJWK]:
        """The configured keys, by their ids."""
        found: dict[str, jwt.PyJWK] = {}
        if self._signers.file is not None:
            text = await asyncio.to_thread((self._host.base / self._signers.file).read_bytes)
            found |= _keys(text)
        if self._signers.url:
            found |= await self._fetched(self._signers.url)
        return found

    async def _fetched(self, url: str) -> dict[str, jwt.PyJWK]:
        try:
            async with asyncio.timeout(self._patience):
                answer = await self._web.send("GET", url, [(b"Accept", b"application/json")], cap=self._most)
        except (HttpError, TimeoutError):
            raise Unsigned("signers_unreachable") from None
        if answer.stream or answer.status != 200:
            answer.close()
            raise Unsigned(f"signers_unreachable (HTTP {answer.status})")
        return _keys(answer.body)


def _header(signature: Any) -> _Header | None:
    text = str(signature.protected)
    try:
        value: Json = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=dict)
    except (binascii.Error, ValueError, RecursionError):
        return None
    return _Header(str(value.get("kid", "")), str(value.get("jku", "")))


def _keys(text: bytes) -> dict[str, jwt.PyJWK]:
    """The keys of a JWK Set, or of one JWK, by their ids; those that cannot be used are passed over.

    Raises:
        Unsigned: It is neither.
    """
    try:
        value = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        raise Unsigned("bad_signers (not JSON)") from None
    return dict(_usable(value.get("keys", [value]) if isinstance(value, dict) else []))


def _usable(keys: Any) -> Iterator[tuple[str, jwt.PyJWK]]:
    for key in keys[:_MOST_KEYS] if isinstance(keys, list) else ():
        if not isinstance(key, dict) or not isinstance(key.get("kid"), str) or key.get("kty") == "oct":
            continue
        try:
            yield key["kid"], jwt.PyJWK.from_dict(key)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue
