"""Tokens by the OAuth client credentials grant: fetched once, renewed in time, and never told."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from portico.api import GATEWAY, UPSTREAM_UNAVAILABLE, Credential, FlowCredential, Json, Refused, Secret
from portico.testing import FakeClock
from tests.plugins.credentials.token_server import SECRET, TokenServer, client, granted, settings
from tests.plugins.upstreams.a2a.agent_server import certified, hypercorn
from tests.plugins.upstreams.kit import ALICE, Log, serving
from tests.plugins.upstreams.rest.kit import raw


async def shown(credential: Credential) -> str:
    """The token that it gives."""
    found = await credential.headers(ALICE, "up")
    assert list(found) == ["Authorization"]
    return found["Authorization"].removeprefix("Bearer ")


def pem(key: Any) -> str:
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return str(key.private_bytes(*form).decode())


async def test_one_token_is_fetched_for_all_who_come() -> None:
    tokens = TokenServer()
    async with granted(tokens, scopes=("a", "b"), resource=("https://a.test/", "https://b.test/")) as own:
        assert set(await asyncio.gather(*(shown(own) for _ in range(20)))) == {"token-1"}
    assert tokens.forms == [
        {
            "grant_type": ["client_credentials"],
            "scope": ["a b"],
            "resource": ["https://a.test/", "https://b.test/"],
        }
    ]
    assert tokens.clients() == [("me", SECRET)]


async def test_a_secret_may_go_in_the_body_and_then_goes_nowhere_else() -> None:
    tokens = TokenServer()
    async with granted(tokens, auth_method="client_secret_post", audience="api") as own:
        await shown(own)
    assert tokens.forms[0] | {"grant_type": []} == {
        "grant_type": [],
        "audience": ["api"],
        "client_id": ["me"],
        "client_secret": [SECRET],
    }
    assert "authorization" not in tokens.heads[0]


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256"])
async def test_a_client_may_sign_who_it_is(algorithm: str) -> None:
    elliptic = algorithm == "ES256"
    key: Any = ec.generate_private_key(ec.SECP256R1()) if elliptic else rsa.generate_private_key(65537, 2048)
    tokens, clock = TokenServer(life=0), FakeClock()
    way = {"private_key": Secret(pem(key)), "algorithm": algorithm, "key_id": "k1"}
    async with granted(tokens, clock, auth_method="private_key_jwt", **way) as own:
        await shown(own)
        await shown(own)
    public = (ECKey if elliptic else RSAKey).import_key(pem(key))
    first, second = (
        jwt.decode(form["client_assertion"][0], public, algorithms=[algorithm]) for form in tokens.forms
    )
    assert first.header["kid"] == "k1"
    assert (first.claims["iss"], first.claims["sub"]) == ("me", "me")
    assert first.claims["aud"].endswith("/token")
    assert first.claims["exp"] - first.claims["iat"] == 60
    assert first.claims["iat"] == int(clock.time())
    assert first.claims["jti"] != second.claims["jti"]  # a server takes each only once
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert tokens.forms[0]["client_assertion_type"] == [kind]
    assert "client_secret" not in tokens.forms[0]


async def test_a_token_is_replaced_before_its_end_and_nobody_waits_for_that() -> None:
    tokens, clock = TokenServer(life=100), FakeClock()
    async with granted(tokens, clock, leeway=30) as own:
        assert await shown(own) == "token-1"
        clock.advance(69)
        assert await shown(own) == "token-1"
        assert len(tokens.forms) == 1
        tokens.hold = asyncio.Event()
        tokens.asked.clear()
        clock.advance(2)
        assert [await shown(own) for _ in range(5)] == ["token-1"] * 5
        await tokens.asked.wait()
        tokens.hold.set()
        while await shown(own) == "token-1":
            await asyncio.sleep(0)
        assert len(tokens.forms) == 2


async def test_a_server_that_is_away_takes_no_token_that_still_lasts() -> None:
    tokens, clock = TokenServer(life=100), FakeClock()
    async with granted(tokens, clock, leeway=30) as own:
        await shown(own)
        tokens.answer = (503, {})
        tokens.asked.clear()
        clock.advance(71)
        assert await shown(own) == "token-1"
        await tokens.asked.wait()
        assert await shown(own) == "token-1"
        clock.advance(30)
        with pytest.raises(Refused) as refused:
            await shown(own)
        assert refused.value.data["gateway"] == {
            "reason": "token_refused",
            "upstream": "up",
            "request_id": None,
            "retryable": True,
        }


async def test_a_token_that_has_ended_is_never_used() -> None:
    tokens, clock = TokenServer(life=100), FakeClock()
    async with granted(tokens, clock) as own:
        await shown(own)
        clock.advance(100)
        assert await shown(own) == "token-2"


@pytest.mark.parametrize(("life", "until"), [(None, 300), ("120", 120), (-5, 0), (1e300, 31_536_000)])
async def test_how_long_a_token_lasts(life: Any, until: int) -> None:
    tokens, clock = TokenServer(life=life), FakeClock()
    async with granted(tokens, clock, leeway=0) as own:
        await shown(own)
        clock.advance(max(until - 1, 0))
        assert await shown(own) == ("token-1" if until else "token-2")
        clock.advance(1)
        assert await shown(own) == ("token-2" if until else "token-3")


async def test_a_token_that_an_upstream_does_not_take_is_replaced_once_for_all() -> None:
    tokens, clock = TokenServer(), FakeClock()
    async with granted(tokens, clock) as own:
        first = await own.headers(GATEWAY, "up")
        seen = {"x-other": "1", "authorization": first["Authorization"]}
        found = await asyncio.gather(*(own.renewed(seen, "up") for _ in range(5)))
        assert found == [{"Authorization": "Bearer token-2"}] * 5
        assert len(tokens.forms) == 2
        assert await own.renewed({"Authorization": "Bearer somebody's"}, "up") is None
        assert await own.renewed({}, "up") is None
        # An upstream that likes no token at all is no reason to ask for one after the other.
        assert await own.renewed(found[0] or {}, "up") is None
        assert len(tokens.forms) == 2
        clock.advance(30)
        assert await own.renewed(found[0] or {}, "up") == {"Authorization": "Bearer token-3"}


async def test_the_same_token_again_is_no_other() -> None:
    tokens = TokenServer(answer=(200, {"access_token": "same", "token_type": "Bearer", "expires_in": 60}))
    async with granted(tokens) as own:
        assert await own.renewed(await own.headers(GATEWAY, "up"), "up") is None


@pytest.mark.parametrize(
    ("answer", "kind", "reason", "why"),
    [
        ((400, {"error": "invalid_scope"}), "", "token_refused", "invalid_scope"),
        ((401, {"error": f"invalid_client {SECRET}"}), "", "token_refused", "unknown"),
        ((401, b"<html>canary</html>"), "text/html", "token_refused", "unknown"),
        ((302, {}), "", "token_refused", "unknown"),
        ((200, {}), "", "bad_token_answer", "bad_token_answer"),
        ((200, b"[]"), "", "bad_token_answer", "bad_token_answer"),
        ((200, b"\xff"), "", "bad_token_answer", "bad_token_answer"),
        ((200, {"access_token": "a"}), "text/html", "bad_token_answer", "bad_token_answer"),
        ((200, {"access_token": "a b"}), "", "bad_token_answer", "no_bearer_token"),
        ((200, {"access_token": "a\r\nX: y"}), "", "bad_token_answer", "no_bearer_token"),
        ((200, {"access_token": "a", "token_type": "mac"}), "", "bad_token_answer", "no_bearer_token"),
        ((200, b'"' + b"a" * 300_000 + b'"'), "", "token_unavailable", "message_too_large"),
    ],
)
async def test_without_a_token_there_is_a_reason_and_no_secret(
    answer: tuple[int, Any], kind: str, reason: str, why: str
) -> None:
    tokens, log = TokenServer(answer=answer), Log()
    tokens.kind = kind or tokens.kind
    async with granted(tokens, log=log) as own:
        with pytest.raises(Refused) as refused:
            await shown(own)
    assert (refused.value.code, refused.value.data["gateway"]["reason"]) == (UPSTREAM_UNAVAILABLE, reason)
    assert [(event, facts["why"]) for _, event, facts in log.lines] == [("no_grant", why)]
    assert refused.value.__cause__ is None
    told = json.dumps([refused.value.body(), log.lines])
    assert "canary" not in told
    assert tokens.heads[0]["authorization"].removeprefix("Basic ") not in told


async def test_a_server_that_fails_is_not_asked_by_every_call() -> None:
    tokens, clock = TokenServer(answer=(500, {})), FakeClock()
    async with granted(tokens, clock) as own:
        for _ in range(5):
            with pytest.raises(Refused):
                await shown(own)
        assert len(tokens.forms) == 1
        tokens.answer = None
        clock.advance(1)
        assert await shown(own) == "token-2"


async def test_a_caller_who_leaves_takes_the_token_from_nobody() -> None:
    tokens = TokenServer(hold=asyncio.Event())
    async with granted(tokens) as own:
        first, second = (asyncio.create_task(shown(own)) for _ in range(2))
        await tokens.asked.wait()
        first.cancel()
        assert tokens.hold is not None
        tokens.hold.set()
        assert await second == "token-1"
        with pytest.raises(asyncio.CancelledError):
            await first
    assert len(tokens.forms) == 1


async def test_a_server_that_says_nothing_is_waited_for_as_long_as_is_said() -> None:
    tokens = TokenServer(hold=asyncio.Event())
    async with granted(tokens, timeout=0.05) as own:
        with pytest.raises(Refused) as refused:
            await shown(own)
        assert refused.value.data["gateway"]["reason"] == "token_unavailable"
        assert tokens.hold is not None
        tokens.hold.set()


async def test_what_is_on_its_way_at_the_end_is_broken_off() -> None:
    tokens = TokenServer(hold=asyncio.Event())
    async with serving(tokens) as origin:
        async with client(token_url=f"{origin}/token") as own:
            waiting = asyncio.create_task(shown(own))
            await tokens.asked.wait()
        assert tokens.hold is not None
        tokens.hold.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "localhost", "[::ffff:127.0.0.1]"])
async def test_a_forbidden_address_is_never_connected_to(host: str) -> None:
    async with raw(b"") as server:
        url = server.origin.replace("127.0.0.1", host)
        async with client(token_url=url, allow_private=False, allow_http=True) as own:
            with pytest.raises(Refused) as refused:
                await shown(own)
        assert server.connections == 0
    gateway = refused.value.data["gateway"]
    assert (gateway["reason"], gateway["retryable"]) == ("token_unavailable", False)


async def test_the_server_shows_a_certificate_that_is_trusted_or_hears_nothing(tmp_path: Path) -> None:
    tokens, log, tls = TokenServer(), Log(), certified(tmp_path)
    async with hypercorn(tokens, tls) as port:
        url = f"https://localhost:{port}/token"
        async with client(token_url=url, ca_file=tls.authority) as own:
            assert await shown(own) == "token-1"
        async with client(log=log, token_url=url) as own:
            with pytest.raises(Refused):
                await shown(own)
    assert [facts["why"] for _, _, facts in log.lines] == ["tls_failed"]
    assert len(tokens.forms) == 1


async def test_a_metadata_address_is_never_connected_to() -> None:
    log = Log()
    async with client(log=log, token_url="http://169.254.169.254/token", allow_http=True) as own:
        with pytest.raises(Refused):
            await shown(own)
    assert [facts["why"] for _, _, facts in log.lines] == ["address_not_allowed (metadata)"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"token_url": "http://id.test/token"}, "anybody on the way can read the secret"),
        ({"token_url": "http://127.0.0.1.id.test/token"}, "anybody on the way can read the secret"),
        ({"token_url": "ftp://id.test/token"}, "expected http"),
        ({"token_url": "https://u:p@id.test/token"}, "carries no credentials"),
        ({"client_id": ""}, "it is empty"),
        ({"client_id": "a\nb"}, "printable ASCII"),
        ({"client_secret": None}, "needs a `client_secret`"),
        ({"client_secret": Secret("")}, "needs a `client_secret`"),
        ({"scopes": ("a b",)}, "without spaces"),
        ({"resource": ("api",)}, "absolute URI"),
        ({"resource": ("https://a.test/#x",)}, "absolute URI"),
        ({"key_id": "k"}, "mean nothing without `private_key_jwt`"),
        ({"private_key": Secret("canary")}, "mean nothing without `private_key_jwt`"),
        ({"auth_method": "private_key_jwt"}, "needs a `private_key`"),
        ({"auth_method": "private_key_jwt", "private_key": Secret("canary")}, "is no private key for RS256"),
        (
            {
                "auth_method": "private_key_jwt",
                "private_key": Secret(pem(ec.generate_private_key(ec.SECP256R1()))),
            },
            "is no private key for RS256",
        ),
        ({"proxy_resolves": True}, "mean nothing without `proxy`"),
    ],
)
def test_what_means_nothing_is_refused_at_start(changes: Json, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as refused:
        settings(**changes)
    assert "canary" not in str(refused.value)


def test_a_key_for_everybody_to_see_signs_nothing() -> None:
    public = rsa.generate_private_key(65537, 2048).public_key()
    text = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ValueError, match="no private key"):
        settings(auth_method="private_key_jwt", private_key=Secret(text.decode()))


def test_the_way_to_this_machine_and_what_is_said_twice_need_no_tls() -> None:
    for url in ("http://127.0.0.1:1/t", "http://localhost/t", "http://[::1]/t", "https://id.test/t"):
        assert settings(token_url=url).token_url == url
    assert settings(token_url="http://id.test/t", allow_http=True).allow_http


async def test_scopes_of_a_flow_are_tokens_of_their_own_and_the_configuration_goes_first() -> None:
    tokens = TokenServer()
    async with serving(tokens) as origin:
        async with client() as own:
            assert isinstance(own, FlowCredential)
            read, write = (own.for_flow(f"{origin}/token", scopes) for scopes in (("r",), ("r", "w")))
            assert own.for_flow(f"{origin}/token", ("r",)) is read
            assert [await shown(each) for each in (read, write, read)] == ["token-1", "token-2", "token-1"]
        async with client(token_url=f"{origin}/own", scopes=("mine",)) as own:
            assert isinstance(own, FlowCredential)
            assert own.for_flow("https://evil.test/token", ("r",)) is own.for_flow("", ())
            await shown(own)
    assert [form["scope"] for form in tokens.forms] == [["r"], ["r w"], ["mine"]]


async def test_without_a_token_url_nothing_is_sent_anywhere() -> None:
    log = Log()
    async with client(log=log) as own:
        assert isinstance(own, FlowCredential)
        with pytest.raises(Refused) as refused:
            await shown(own)
        assert refused.value.data["gateway"]["reason"] == "no_token_url"
        assert "set `token_url` of the credential 'id'" in str(log.lines)
        assert await own.renewed({"Authorization": "Bearer a"}, "up") is None
        for url in ("", "http://id.test/token", "ftp://id.test", "https://u@id.test/", "https://é.test/"):
            with pytest.raises(ValueError, match=r"token URL|token_url|expected http|credentials"):
                own.for_flow(url, ())
