"""Secrets at rest: each under a key of its own, which is under one of a few that the operator holds.

A sealed secret is `KEY.WRAPPED.DATA`: the id of the operator's key, the secret's own key encrypted with that,
and the secret encrypted with its own. Both are AES-256-GCM and bound to the place the secret stands at, so
that nobody who can write to the registry can move one to where it would be sent somewhere else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from portico._core.aead import Aead

_KEY: Final = 32  # bytes
FILE_KEY: Final = "file"
"""The id of the key that is made where none is configured."""


class Unopenable(Exception):
    """A sealed secret cannot be opened: its key is not here, or it stands where it was not sealed for."""


class Keyring:
    """Seals and opens secrets.

    Args:
        keys: By id, of any length; the first one seals, all of them open.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = {ident: hashlib.sha256(key).digest() for ident, key in keys.items()}
        self.current = next(iter(self._keys), "")

    def seal(self, text: str, place: str) -> str:
        """Seal a secret for the place it is to stand at."""
        own = os.urandom(_KEY)
        return self._joined(own, _aead(own).close(text.encode(), place.encode()), place)

    def open(self, sealed: str, place: str) -> str:
        """The secret.

        Raises:
            Unopenable: See there.
        """
        _, own, data = self._opened(sealed, place)
        try:
            return _aead(own).open(data, place.encode()).decode()
        except ValueError:
            raise Unopenable("it was sealed for another place, or has been changed") from None

    def rewrapped(self, sealed: str, place: str) -> str:
        """The same secret under the current key; the same text if it is already.

        Raises:
            Unopenable: See there.
        """
        ident, own, data = self._opened(sealed, place)
        return sealed if ident == self.current else self._joined(own, data, place)

    def _joined(self, own: bytes, data: bytes, place: str) -> str:
        wrapped = _aead(self._keys[self.current]).close(own, place.encode())
        return f"{self.current}.{_text(wrapped)}.{_text(data)}"

    def _opened(self, sealed: str, place: str) -> tuple[str, bytes, bytes]:
        ident, _, rest = sealed.partition(".")
        wrapped, _, data = rest.partition(".")
        key = self._keys.get(ident)
        if key is None:
            raise Unopenable(f"the key {ident!r} it was sealed with is not configured")
        try:
            return ident, _aead(key).open(_bytes(wrapped), place.encode()), _bytes(data)
        except (ValueError, binascii.Error):
            raise Unopenable(
                "it was sealed for another place, with another key, or has been changed"
            ) from None


def file_key(path: Path) -> bytes:
    """The key in a file, which is made if there is none; only its owner can read it.

    Raises:
        OSError: It can be neither read nor made.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    if not path.exists():
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(_KEY).hex().encode())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(
                beside, path
            )  # unlike a rename, this never replaces what another process has made meanwhile
        except FileExistsError:
            pass
        finally:
            beside.unlink()
    return path.read_bytes().strip()


def _aead(key: bytes) -> Aead:
    from portico._core.aead import Aead

    return Aead(key)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
