"""Agent cards signed with the gateway's own key (A2A 8.4), and the public half of it for whoever verifies."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any, Final

import msgspec
from a2a.types import AgentCard
from a2a.utils.signing import create_agent_card_signer
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, load_pem_private_key
from cryptography.hazmat.primitives.serialization import NoEncryption as Plain
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from portico.api import Json

KEYS: Final = "/a2a/jwks.json"
"""Where the public key is, as a JSON Web Key Set."""

_LEAST_BITS: Final = 2048
_NAMED: Final = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}


class BadKey(ValueError):
    """It is no key to sign with; says why."""


class Signer:
    """Signs cards.

    Args:
        pem: A private key in PEM form, without a password.

    Raises:
        BadKey: It is none, or of a kind that is not used here.
    """

    def __init__(self, pem: bytes) -> None:
        try:
            key = load_pem_private_key(pem, None)
        except (ValueError, TypeError):
            raise BadKey("no private key in PEM form, or one with a password") from None
        if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
            self._alg, jwk = "ES256", ECAlgorithm.to_jwk(key.public_key())
        elif isinstance(key, Ed25519PrivateKey):
            self._alg, jwk = "EdDSA", OKPAlgorithm.to_jwk(key.public_key())
        elif isinstance(key, RSAPrivateKey) and key.key_size >= _LEAST_BITS:
            self._alg, jwk = "RS256", RSAAlgorithm.to_jwk(key.public_key())
        else:
            raise BadKey(f"expected a P-256, Ed25519 or RSA key, the last of at least {_LEAST_BITS} bits")
        self._pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, Plain())
        public: Json = msgspec.json.decode(jwk) if isinstance(jwk, str) else dict(jwk)
        self._kid = thumbprint(public)
        self._public: Json = {**public, "kid": self._kid, "alg": self._alg, "use": "sig"}
        self._public.pop("key_ops", None)

    @classmethod
    def of(cls, path: Path) -> Signer:
        """The signer with the key in a file.

        Raises:
            BadKey: It cannot be read, or see the class.
        """
        try:
            return cls(path.read_bytes())
        except OSError as error:
            raise BadKey(f"cannot be read: {error.strerror}") from None

    @property
    def keys(self) -> bytes:
        """The key set that verifies what is signed here."""
        return msgspec.json.encode({"keys": [self._public]})

    def sign(self, card: AgentCard, base: str) -> AgentCard:
        """Sign a card, in place of whoever has signed it before.

        Args:
            card: Changed.
            base: How URLs of this gateway begin; "" where that is not known, then no URL of the keys is told.
        """
        del card.signatures[:]
        head: Any = {"kid": self._kid, "alg": self._alg, "typ": "JOSE"}
        if base:
            head["jku"] = base + KEYS
        return create_agent_card_signer(self._pem, head)(card)


def thumbprint(key: Json) -> str:
    """The SHA-256 thumbprint of a public key (RFC 7638)."""
    named = {name: key[name] for name in _NAMED[key["kty"]]}
    text = json.dumps(named, separators=(",", ":"), sort_keys=True)
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
