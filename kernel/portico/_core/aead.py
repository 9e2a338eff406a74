"""The cipher of sealed handles. Imported with the first of them: it brings seven megabytes of OpenSSL."""

from __future__ import annotations

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE: Final = 12  # bytes


class Aead:
    """AES-GCM under one key.

    Args:
        key: 32 bytes for AES-256.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def close(self, body: bytes, context: bytes) -> bytes:
        """A fresh nonce and the encrypted body, bound to its context."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, body, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """What `close` was given.

        Raises:
            ValueError: It was not made by `close` with this key and context.
        """
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], context)
        except InvalidTag:
            raise ValueError("not sealed with this key for this context") from None
