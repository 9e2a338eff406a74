"""Security schemes that are OAuth flows: what the document says of tokens, and how far it is believed."""

from __future__ import annotations

from typing import Any

import pytest

from portico.api import Json, Ref, State
from portico_plugins.upstreams.rest.config import SchemeSettings
from tests.plugins.credentials.token_server import TokenServer, client
from tests.plugins.upstreams.kit import call, serving
from tests.plugins.upstreams.rest.kit import Files, echo, running

OWN: Any = Ref("own")


def document(token_url: str, **scheme: Any) -> Json:
    flows = {"clientCredentials": {"tokenUrl": token_url, "scopes": {"r": "", "w": "", "admin": ""}}}
    return {
        "openapi": "3.1.0",
        "security": [{"o": ["r"]}],
        "components": {"securitySchemes": {"o": {"type": "oauth2", "flows": flows, **scheme}}},
        "paths": {
            "/x": {
                "get": {"operationId": "read"},
                "post": {"operationId": "write", "security": [{"o": ["r", "w"]}]},
            }
        },
    }


def swagger(token_url: str) -> Json:
    made = document(token_url)
    scheme = {"type": "oauth2", "flow": "application", "tokenUrl": token_url, "scopes": {}}
    del made["openapi"], made["components"]
    return {"swagger": "2.0", "securityDefinitions": {"o": scheme}, **made}


def config(**changes: Any) -> Json:
    return {"security": {"o": SchemeSettings(credential=OWN)}, **changes}


@pytest.mark.parametrize("version", [document, swagger])
async def test_a_document_says_where_tokens_are_had_and_what_each_operation_needs(version: Any) -> None:
    tokens = TokenServer()
    async with serving(tokens) as id_, serving(echo) as api, client() as own:
        given = config(openapi_inline=version(f"{id_}/token"), base_url=api)
        async with running(own, **given) as up:
            sent = {}
            for name in ("read", "write", "read"):
                result = await up.send(call(name))
                sent[name] = result.value["structuredContent"]["headers"]["authorization"]
    assert [form["scope"] for form in tokens.forms] == [["r"], ["r w"]]
    assert sent == {"read": "Bearer token-1", "write": "Bearer token-2"}


async def test_a_token_that_the_api_does_not_take_is_replaced_and_the_call_is_made() -> None:
    tokens = TokenServer()
    async with serving(tokens) as id_, serving(tokens.gate(echo)) as api, client() as own:
        given = config(openapi_inline=document(f"{id_}/token"), base_url=api)
        async with running(own, **given) as up:
            await up.send(call("read"))
            tokens.valid = "revoked"
            assert (await up.send(call("read"))).value["isError"] is False
    assert tokens.gated == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]


async def test_what_the_credential_says_goes_before_what_the_document_does() -> None:
    tokens, evil = TokenServer(), TokenServer()
    async with serving(tokens) as id_, serving(evil) as elsewhere, serving(echo) as api:
        given = config(openapi_inline=document(f"{elsewhere}/token"), base_url=api)
        async with client(token_url=f"{id_}/token", scopes=("mine",)) as own, running(own, **given) as up:
            await up.send(call("read"))
            await up.send(call("write"))
    assert [form["scope"] for form in tokens.forms] == [["mine"]]
    assert evil.forms == []


async def test_a_document_from_the_network_is_believed_as_far_as_its_own_origin() -> None:
    tokens, evil = TokenServer(), TokenServer()
    files = Files({"/openapi.json": document("/token")})

    async def both(scope: Any, receive: Any, send: Any) -> None:
        await (tokens if scope.get("path") == "/token" else files)(scope, receive, send)

    async with serving(both) as origin, serving(evil) as elsewhere, serving(echo) as api, client() as own:
        given = config(openapi=f"{origin}/openapi.json", base_url=api)
        async with running(own, **given) as up:
            await up.send(call("read"))
            assert len(tokens.forms) == 1
        files.files["/openapi.json"] = document(f"{elsewhere}/token")
        async with running(own, **given) as up:
            assert up.upstream.state is State.DEGRADED
            said = f"the document says {elsewhere}/token, of another origin than its own"
            assert up.upstream.reason.endswith(f"set `token_url` of the credential 'id'; {said}")
            assert up.upstream.offer.tools == ()
    assert evil.forms == []


@pytest.mark.parametrize(
    ("scheme", "said"),
    [
        ({"flows": {"implicit": {"tokenUrl": "https://id.test/"}}}, "set `token_url` of the credential 'id'"),
        ({"type": "openIdConnect", "flows": {}}, "set `token_url` of the credential 'id'"),
        ({"flows": {"clientCredentials": {"tokenUrl": "http://id.test/t"}}}, "a secret is not sent there"),
        ({"flows": {"clientCredentials": {"tokenUrl": "https://u:p@id.test/"}}}, "carries no credentials"),
        ({"flows": {"clientCredentials": {"tokenUrl": ["https://id.test/"]}}}, "set `token_url`"),
        ({"flows": {"clientCredentials": {"tokenUrl": "http://[x"}}}, "is not sound"),
        ({"flows": []}, "set `token_url` of the credential 'id'"),
    ],
)
async def test_a_scheme_that_says_nothing_of_use_is_an_error_that_says_what_to_do(
    scheme: Json, said: str
) -> None:
    given = config(openapi_inline=document("https://id.test/t", **scheme), base_url="http://127.0.0.1:9")
    async with client() as own, running(own, **given) as up:
        assert up.upstream.state is State.DEGRADED
        assert said in up.upstream.reason


async def test_scopes_of_no_use_are_left_out() -> None:
    tokens, made = TokenServer(), document("/token")
    made["security"] = [{"o": "all"}]
    made["paths"]["/x"]["post"]["security"] = [{"o": [1, "w"]}]
    async with (
        serving(tokens) as id_,
        serving(echo) as api,
        client(token_url=f"{id_}/token") as own,
        running(own, **config(openapi_inline=made, base_url=api)) as up,
    ):
        await up.send(call("read"))
        await up.send(call("write"))
    assert [form.get("scope") for form in tokens.forms] == [None, ["w"]]
