"""Tokens by the OAuth client credentials grant: fetched once, renewed, and never told."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from portico.api import UPSTREAM_UNAVAILABLE, Json, Refused, Secret
from portico_plugins.upstreams.rest.config import SchemeSettings
from tests.plugins.upstreams.kit import call, serving
from tests.plugins.upstreams.rest.kit import raw, running


class Api:
    """An API that wants the latest token, and the server that gives tokens."""

    def __init__(self, life: float = 3600.0) -> None:
        self.life = life
        self.given = 0
        self.valid = ""
        self.forms: list[dict[str, list[str]]] = []
        self.clients: list[str] = []
        self.status = 200
        self.answer: Json | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        body = (await receive()).get("body", b"")
        status, said = self._answered(scope["path"], headers.get(b"authorization", b"").decode(), body)
        head = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": json.dumps(said).encode()})

    def _answered(self, path: str, authorization: str, body: bytes) -> tuple[int, Any]:
        if path != "/token":
            return (200, {"fine": True}) if authorization == f"Bearer {self.valid}" else (401, {})
        self.given += 1
        self.valid = f"token-{self.given}"
        self.forms.append(parse_qs(body.decode()))
        self.clients.append(authorization)
        fine = {"access_token": self.valid, "token_type": "bearer", "expires_in": self.life}
        return self.status, fine if self.answer is None else self.answer


DOCUMENT: Json = {
    "openapi": "3.0.0",
    "security": [{"o": []}],
    "components": {"securitySchemes": {"o": {"type": "oauth2", "flows": {}}}},
    "paths": {"/x": {"get": {"operationId": "op"}}},
}


def config(origin: str, **changes: Any) -> Json:
    own = SchemeSettings(
        client_id="me", client_secret=Secret("canary:s"), token_url=f"{origin}/token", scopes=("a", "b")
    )
    return {"openapi_inline": DOCUMENT, "base_url": origin, "security": {"o": own}, **changes}


async def test_one_token_is_fetched_for_many_calls() -> None:
    api = Api()
    async with serving(api) as origin, running(**config(origin)) as up:
        results = await asyncio.gather(*(up.send(call("op")) for _ in range(5)))
        assert all(result.value["structuredContent"] == {"fine": True} for result in results)
        assert api.forms == [{"grant_type": ["client_credentials"], "scope": ["a b"]}]
        assert api.clients == ["Basic bWU6Y2FuYXJ5JTNBcw=="]


async def test_a_token_is_renewed_when_it_ends_and_when_the_api_does_not_take_it() -> None:
    api = Api(life=0.0)
    async with serving(api) as origin, running(**config(origin)) as up:
        await up.send(call("op"))
        await up.send(call("op"))
        assert api.given == 2
    api = Api()
    async with serving(api) as origin, running(**config(origin)) as up:
        await up.send(call("op"))
        api.valid = "another"
        assert (await up.send(call("op"))).value["isError"] is True
        assert (await up.send(call("op"))).value["isError"] is False
        assert api.given == 2


@pytest.mark.parametrize(
    ("status", "answer", "reason"),
    [
        (400, {"error": "invalid_client"}, "token_refused"),
        (200, {}, "bad_token_answer"),
        (200, {"access_token": "a b"}, "bad_token_answer"),
        (200, {"access_token": "a", "token_type": "mac"}, "bad_token_answer"),
    ],
)
async def test_without_a_token_the_api_is_not_called(status: int, answer: Json, reason: str) -> None:
    api = Api()
    api.status, api.answer = status, answer
    async with serving(api) as origin, running(**config(origin)) as up:
        with pytest.raises(Refused) as refused:
            await up.send(call("op"))
    assert (refused.value.code, refused.value.data["gateway"]["reason"]) == (UPSTREAM_UNAVAILABLE, reason)
    assert "canary" not in json.dumps([refused.value.body(), up.log.lines])


async def test_a_token_server_at_a_forbidden_address_is_never_connected_to() -> None:
    async with raw(b"") as server, running(**config(server.origin, allow_private=False)) as up:
        with pytest.raises(Refused):
            await up.send(call("op"))
        assert server.connections == 0
