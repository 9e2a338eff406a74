"""Who is there: each side proves to the other that it knows the secret, which never goes over the wire.

Three messages, after the mutual three-pass authentication of ISO/IEC 9798-4 with HMAC (RFC 2104) over SHA-256
as its check function, and with what SCRAM (RFC 5802) adds: both sides' claims are under the proof.

1. gateway: a nonce.
2. dialler: its claims, a nonce among them, and `HMAC(secret, "dialler", name, nonce, claims)`.
3. gateway: its claims, and `HMAC(secret, "gateway", name, both nonces, claims)`.

A listener can replay nothing and learns nothing but what lets it try guesses in peace: hence secrets that
cannot be guessed. Someone in the middle is for TLS to keep out.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

import msgspec

from portico.api import PorticoError, Secret

from .config import MOST

T = TypeVar("T")

LONGEST: Final = 16 * 1024
"""Bytes of a message of the handshake, at most."""

_NONCE: Final = 32
_NOBODY: Final = secrets.token_bytes(32)


class Unproven(PorticoError):
    """What the other side said is no proof."""


class Challenge(msgspec.Struct, frozen=True):
    """The gateway's first word."""

    nonce: str


class Proven(msgspec.Struct, frozen=True):
    """Claims as JSON text, and the proof that whoever makes them knows the secret."""

    claims: str
    proof: str


class Dialler(msgspec.Struct, frozen=True):
    """What the dialling side says of itself.

    Attributes:
        nonce: Its own.
        instance: Which process it is.
        held: The workers of the gateway it has tunnels to.
        takeover: Whether it is to have the place of another process.
        longest: Bytes of a message it takes.
    """

    nonce: str
    instance: str
    held: list[str] = []
    takeover: bool = True
    longest: int = 1 << 24


class Gateway(msgspec.Struct, frozen=True):
    """What the gateway says of itself.

    Attributes:
        verdict: `welcome`; `duplicate`: this worker has a tunnel of that process already; `busy`: another
            process has the place; `leaving`: it is about to end.
        worker: Which of its workers this is.
        workers: How many there are.
        longest: Bytes of a message it takes.
    """

    verdict: str
    worker: str
    workers: int
    longest: int = 1 << 24


def nonce() -> str:
    """A number used once."""
    return secrets.token_hex(_NONCE)


def _mac(key: bytes, *parts: str) -> str:
    text = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
    return hmac.new(key, text, hashlib.sha256).hexdigest()


def key_of(secret: Secret) -> bytes:
    """What proofs are made with."""
    return hashlib.sha256(
        b"portico-tunnel.v1\0" + secret.reveal().encode("utf-8", "surrogateescape")
    ).digest()


def as_dialler(key: bytes, name: str, challenge: Challenge, said: Dialler) -> Proven:
    """The dialler's claims with their proof."""
    claims = msgspec.json.encode(said).decode()
    return Proven(claims, _mac(key, "dialler", name, challenge.nonce, claims))


def prover(keys: Sequence[bytes], name: str, challenge: Challenge, said: Proven) -> bytes | None:
    """Which key the dialler has; None for none of these.

    As many checks are made for every name, known or not, and whichever key it is.
    """
    found: bytes | None = None
    padded: Iterable[bytes | None] = [*keys[:MOST], *[None] * (MOST - len(keys))]
    for key in padded:
        right = _mac(key or _NOBODY, "dialler", name, challenge.nonce, said.claims)
        same = hmac.compare_digest(right.encode(), said.proof.encode("utf-8", "surrogatepass"))
        if same and key is not None:
            found = key
    return found


def as_gateway(key: bytes, name: str, challenge: Challenge, theirs: Dialler, said: Gateway) -> Proven:
    """The gateway's claims with their proof."""
    claims = msgspec.json.encode(said).decode()
    return Proven(claims, _mac(key, "gateway", name, theirs.nonce, challenge.nonce, claims))


def believed(key: bytes, name: str, challenge: Challenge, mine: Dialler, said: Proven) -> Gateway:
    """What the gateway says of itself.

    Raises:
        Unproven: It does not know the secret.
    """
    right = _mac(key, "gateway", name, mine.nonce, challenge.nonce, said.claims)
    if not hmac.compare_digest(right.encode(), said.proof.encode("utf-8", "surrogatepass")):
        raise Unproven("the gateway does not know the secret")
    return read(said.claims.encode(), Gateway)


def read(data: bytes, kind: type[T]) -> T:
    """A message of the handshake.

    Raises:
        Unproven: It is none.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError):
        raise Unproven("a malformed message") from None
