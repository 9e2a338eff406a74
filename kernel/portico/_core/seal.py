"""Sealed handles: what leaves the gateway and comes back, unreadable and unchangeable in between.

Session ids, parked calls, task ids and cursors carry {kind, owner, principal, payload, expiry} under
AES-256-GCM, so that no table has to remember them and nobody can use another principal's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from portico._core.contracts.auth import Principal
from portico._core.contracts.clock import Clock

if TYPE_CHECKING:
    from portico._core.aead import Aead


class Unsealable(Exception):
    """The handle is not one of ours, not for this principal, or too old. Which, is for the log only."""


def digest(value: Any) -> str:
    """A short digest of a JSON value, the same whatever the order of its members."""
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:32]


class Seal:
    """Seals and opens handles with one raw 32-byte key (no key derivation per request).

    Args:
        key: 32 bytes. Workers and replicas that shall read each other's handles share it.
        node: The name of this worker; handles say which one minted them.
        clock: For expiry.
    """

    def __init__(self, key: bytes, node: str, clock: Clock) -> None:
        self.node = node
        self._key = key
        self._clock = clock

    @cached_property
    def _aead(self) -> Aead:
        from portico._core.aead import Aead

        return Aead(self._key)

    @staticmethod
    def key_from(secret: str | None) -> bytes:
        """The key for a configured secret; a fresh random one without."""
        return os.urandom(32) if secret is None else hashlib.sha256(secret.encode()).digest()

    def derived(self, label: str) -> bytes:
        """32 bytes for one purpose, from which nothing can be told of the key or those for another."""
        return hmac.digest(self._key, f"portico/derived/{label}".encode(), "sha256")

    def close(self, kind: str, principal: Principal, payload: Any, ttl: float) -> str:
        """Seal a JSON value for `ttl` seconds; URL-safe ASCII."""
        body = msgspec.json.encode([self.node, self._clock.time() + ttl, payload])
        sealed = self._aead.close(body, self._context(kind, principal))
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def open(self, kind: str, principal: Principal, handle: Any) -> tuple[str, Any]:
        """The node that minted a handle and its payload.

        Raises:
            Unsealable: See there.
        """
        if not isinstance(handle, str):
            raise Unsealable("not a string")
        try:
            sealed = base64.b64decode(handle + "=" * (-len(handle) % 4), altchars=b"-_", validate=True)
            body = self._aead.open(sealed, self._context(kind, principal))
        except (binascii.Error, ValueError):
            raise Unsealable("not sealed by this gateway for this principal") from None
        node, expires, payload = msgspec.json.decode(body)
        if expires < self._clock.time():
            raise Unsealable("expired")
        return node, payload

    @staticmethod
    def _context(kind: str, principal: Principal) -> bytes:
        return f"portico/1/{kind}/{principal.key}".encode()
