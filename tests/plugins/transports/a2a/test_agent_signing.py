"""Cards signed with the gateway's own key, as the SDK's verifier sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest
from a2a.types import AgentCard
from a2a.utils.signing import InvalidSignaturesError, create_signature_verifier
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from google.protobuf import json_format

from portico.api import ConfigError
from portico_plugins.transports.a2a.signing import thumbprint
from tests.plugins.transports.web import Web, gateway

HOST = {"host": "localhost"}
CARD = "/.well-known/agent-card.json"
ALGORITHMS = ["ES256", "EdDSA", "RS256"]


def pem(key: Any, password: bytes = b"") -> bytes:
    how = BestAvailableEncryption(password) if password else NoEncryption()
    made: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)
    return made


async def card_of(web: Web) -> AgentCard:
    card = await web.open("GET", HOST, path=CARD).json()
    made = AgentCard()
    json_format.ParseDict(card, made, ignore_unknown_fields=True)
    return made


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
        (rsa.generate_private_key(65537, 2048), "RS256"),
    ],
)
async def test_a_signed_card_verifies_with_the_key_that_it_names(
    tmp_path: Path, key: Any, algorithm: str
) -> None:
    (tmp_path / "key.pem").write_bytes(pem(key))
    async with gateway("", f"[transports.a2a]\nsigning_key = '{tmp_path}/key.pem'") as web:
        answer = web.open("GET", HOST, path="/a2a/jwks.json")
        (public,) = msgspec.json.decode(await answer.body())["keys"]
        assert answer.headers["content-type"] == "application/jwk-set+json"
        assert "d" not in public
        assert (public["alg"], public["kid"]) == (algorithm, thumbprint(public))
        asked: list[Any] = []

        def provide(kid: str | None, jku: str | None) -> jwt.PyJWK:
            asked.append((kid, jku))
            return jwt.PyJWK.from_dict(public)

        card = await card_of(web)
        verify = create_signature_verifier(provide, ALGORITHMS)
        verify(card)
        assert asked == [(public["kid"], "http://localhost/a2a/jwks.json")]
        card.skills[0].description = "something else"
        with pytest.raises(InvalidSignaturesError):
            verify(card)
        first, second = [web.open("GET", HOST, path=CARD) for _ in range(2)]
        assert (await first.head(), await second.head()) == (200, 200)
        assert first.headers["etag"] == second.headers["etag"]  # whatever the signature


@pytest.mark.parametrize(
    ("contents", "why"),
    [
        (b"nonsense", "no private key"),
        (pem(ec.generate_private_key(ec.SECP256R1()), b"password"), "with a password"),
        (pem(ec.generate_private_key(ec.SECP384R1())), "P-256"),
        (pem(rsa.generate_private_key(65537, 1024)), "2048 bits"),
        (None, "cannot be read"),
    ],
)
async def test_a_key_that_cannot_sign_is_a_problem_of_the_configuration(
    tmp_path: Path, contents: bytes | None, why: str
) -> None:
    if contents is not None:
        (tmp_path / "key.pem").write_bytes(contents)
    with pytest.raises(ConfigError, match=why) as problem:
        async with gateway("", f"[transports.a2a]\nsigning_key = '{tmp_path}/key.pem'"):
            pass
    assert problem.value.problems[0][0] == "transports.a2a.signing_key"


async def test_without_a_key_there_is_no_signature_and_no_key_set() -> None:
    async with gateway("", "[transports.a2a]") as web:
        assert not (await card_of(web)).signatures
        assert await web.open("GET", HOST, path="/a2a/jwks.json").head() == 404
