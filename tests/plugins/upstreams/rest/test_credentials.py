"""Security schemes whose secrets are a configured credential's: asked for each caller, sent to one origin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from portico.api import (
    UPSTREAM_UNAVAILABLE,
    CredentialParts,
    Host,
    Json,
    Principal,
    Ref,
    Refused,
    Secret,
)
from portico.testing.running import running_gateway
from portico_plugins.upstreams.rest import REST
from portico_plugins.upstreams.rest.config import RestConfig, SchemeSettings
from tests.plugins.upstreams.kit import HERE, Clock, Log, Running, Wiring, call, serving
from tests.plugins.upstreams.rest.kit import echo, http, raw, running

SCHEMES: Json = {
    "q": {"type": "apiKey", "in": "query", "name": "key"},
    "h": {"type": "apiKey", "in": "header", "name": "X-Key"},
    "c": {"type": "apiKey", "in": "cookie", "name": "sid"},
    "b": {"type": "http", "scheme": "bearer"},
    "p": {"type": "http", "scheme": "basic"},
    "o": {"type": "oauth2", "flows": {}},
    "i": {"type": "openIdConnect", "openIdConnectUrl": "https://id.test/"},
    "m": {"type": "mutualTLS"},
}


def document(*needed: str, **operation: Any) -> Json:
    return {
        "openapi": "3.1.0",
        "security": [{name: [] for name in needed}],
        "components": {"securitySchemes": SCHEMES},
        "paths": {"/x": {"get": {"operationId": "op", **operation}}},
    }


class Own:
    """A credential that differs by caller."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def headers(self, principal: Principal, upstream: str) -> Mapping[str, str]:
        self.asked.append((principal.subject, upstream))
        return {"Authorization": f"Bearer of-{principal.subject}"}


class Placed:
    """A credential with parts."""

    def __init__(self, **parts: Any) -> None:
        self._parts = CredentialParts(**parts)

    async def headers(self, principal: Principal, upstream: str) -> Mapping[str, str]:
        raise AssertionError("parts are to be asked for")

    async def parts(self, principal: Principal, upstream: str) -> CredentialParts:
        return self._parts


@pytest.fixture
async def origin() -> AsyncIterator[str]:
    async with serving(echo) as found:
        yield found


def by(name: str) -> SchemeSettings:
    return SchemeSettings(credential=Ref(name))


@pytest.mark.parametrize("scheme", ["b", "p", "o", "i"])
async def test_each_caller_has_headers_of_their_own_at_the_same_time(origin: str, scheme: str) -> None:
    own = Own()
    config: Json = {"openapi_inline": document(scheme), "base_url": origin, "security": {scheme: by("own")}}
    async with running(own, **config) as up:
        names = ["ann", "bob", "ann", "cid"]
        sent = (up.send(call("op", principal=Principal(subject=name, source="t"))) for name in names)
        found = [result.value["structuredContent"]["headers"] for result in await asyncio.gather(*sent)]
    assert [headers["authorization"] for headers in found] == [f"Bearer of-{name}" for name in names]
    assert sorted(own.asked) == sorted((name, "up") for name in names)  # and nothing is kept of it


@pytest.mark.parametrize(
    ("scheme", "parts", "place", "value"),
    [
        ("q", {"query": {"key": "s&t ö"}}, "query", "key=s%26t%20%C3%B6"),
        ("h", {"headers": {"x-key": "s"}}, "x-key", "s"),
        ("c", {"cookies": {"sid": "s"}}, "cookie", "sid=s"),
        ("b", {"headers": {"X-Other": "s"}}, "x-other", "s"),
    ],
)
async def test_what_a_credential_gives_goes_where_it_says(
    origin: str, scheme: str, parts: Json, place: str, value: str
) -> None:
    config: Json = {"openapi_inline": document(scheme), "base_url": origin, "security": {scheme: by("c")}}
    async with running(Placed(**parts), **config) as up:
        found = (await up.send(call("op"))).value["structuredContent"]
    assert (found["query"] if place == "query" else found["headers"][place]) == value


@pytest.mark.parametrize(
    ("scheme", "parts", "reason"),
    [
        ("q", {"headers": {"key": "canary"}}, "credential_misplaced"),
        ("q", {"query": {"KEY": "canary"}}, "credential_misplaced"),
        ("h", {"query": {"X-Key": "canary"}}, "credential_misplaced"),
        ("c", {"headers": {"Cookie": "sid=canary"}}, "credential_misplaced"),
        ("h", {}, "credential_misplaced"),
        ("h", {"headers": {"X-Key": "canary\r\nX: y"}}, "bad_credential_header"),
        ("b", {"headers": {"Host": "canary"}}, "bad_credential_header"),
        ("c", {"cookies": {"sid": "canary; a=b"}}, "bad_credential_cookie"),
        ("b", {"cookies": {"a=b; c": "canary"}}, "bad_credential_cookie"),
    ],
)
async def test_what_cannot_be_sent_or_is_in_the_wrong_place_is_not_sent(
    scheme: str, parts: Json, reason: str
) -> None:
    async with raw(b"") as server:
        config: Json = {"openapi_inline": document(scheme), "base_url": server.origin}
        async with running(Placed(**parts), **config, security={scheme: by("c")}) as up:
            with pytest.raises(Refused) as refused:
                await up.send(call("op"))
        assert server.connections == 0
    assert (refused.value.code, refused.value.data["gateway"]["reason"]) == (UPSTREAM_UNAVAILABLE, reason)
    assert "canary" not in repr([refused.value.body(), up.log.lines])


async def test_an_operation_that_does_not_need_the_scheme_asks_nobody(origin: str) -> None:
    own = Own()
    config: Json = {"openapi_inline": document("b", security=[]), "base_url": origin}
    async with running(own, **config, security={"b": by("own")}) as up:
        found = (await up.send(call("op"))).value["structuredContent"]
    assert "authorization" not in found["headers"]
    assert own.asked == []


async def test_the_credential_of_the_upstream_wins_over_that_of_a_scheme_and_both_over_fixed_headers(
    origin: str,
) -> None:
    components = {
        "scheme": Placed(headers={"Authorization": "Bearer scheme", "X-Key": "scheme", "X-Own": "scheme"}),
        "upstream": Placed(headers={"authorization": "Bearer upstream"}, query={"key": "upstream"}),
    }
    config = RestConfig(
        openapi_inline=document("h"),
        base_url=origin,
        headers={"x-own": Secret("fixed"), "x-fixed": Secret("fixed")},
        query={"key": Secret("fixed")},
        security={"h": by("scheme")},
        credential=Ref("upstream"),
    )
    wiring, log = Wiring(), Log()
    host = Host("up", "upstreams", log, Clock(), HERE, lambda ref: components[ref.name], wiring)
    async with REST.create(config, host) as upstream:
        found = (await Running(upstream, wiring, log).send(call("op"))).value["structuredContent"]
    headers = found["headers"]
    assert [headers[name] for name in ("authorization", "x-key", "x-own", "x-fixed")] == [
        "Bearer upstream",
        "scheme",
        "scheme",
        "fixed",
    ]
    assert found["query"] == "key=upstream"


async def test_another_origin_gets_nothing_of_a_credential() -> None:
    given = Placed(headers={"X-Key": "canary"}, query={"key": "canary"}, cookies={"sid": "canary"})
    async with raw(http(b"{}")) as other:
        moved = http(b"", "", "302 Found", f"Location: {other.origin}/y")
        async with raw(moved) as server:
            config: Json = {"openapi_inline": document("q", "h", "c"), "base_url": server.origin}
            security = {name: by("c") for name in ("q", "h", "c")}
            async with running(given, **config, security=security, redirects=1) as up:
                await up.send(call("op"))
            assert b"".join(server.heads).count(b"canary") == 3
        assert len(other.heads) == 1
        assert b"canary" not in other.heads[0]


async def test_a_scheme_that_no_credential_can_fill_is_an_error_of_the_upstream() -> None:
    async with running(
        Own(), openapi_inline=document("m"), base_url="http://127.0.0.1:9", security={"m": by("c")}
    ) as up:
        assert "'m' of type 'mutualTLS' is not supported" in up.upstream.reason


async def test_a_gateway_maps_every_scheme_to_a_plugin(tmp_path: Path, origin: str) -> None:
    text = "\n".join(
        f"[upstreams.api.openapi_inline.components.securitySchemes.{name}]\n{body}"
        for name, body in {
            "q": 'type = "apiKey"\nin = "query"\nname = "key"',
            "h": 'type = "apiKey"\nin = "header"\nname = "X-Key"',
            "c": 'type = "apiKey"\nin = "cookie"\nname = "sid"',
            "b": 'type = "http"\nscheme = "bearer"',
            "p": 'type = "http"\nscheme = "basic"',
        }.items()
    )
    text += "".join(
        f'\n[upstreams.api.openapi_inline.paths."/{name}".get]\noperationId = "{name}"\n'
        f'security = [{{ {name} = [] }}]\n[upstreams.api.security.{name}]\ncredential = "c{name}"\n'
        for name in "qhcbp"
    )
    text += f"""
[upstreams.api]
use = "rest"
base_url = "{origin}"
[upstreams.api.openapi_inline]
openapi = "3.1.0"
[credentials]
cq = {{ use = "query", name = "key", value = "s" }}
ch = {{ use = "header", name = "X-Key", value = "s" }}
cc = {{ use = "cookie", name = "sid", value = "s" }}
cb = {{ use = "bearer", token = "s" }}
cp = {{ use = "basic", username = "u", password = "s" }}
"""
    async with running_gateway(text, base=tmp_path) as gateway:
        found = {}
        for name in "qhcbp":
            answer = await gateway.request("tools/call", {"name": name, "arguments": {}})
            said = answer["structuredContent"]
            there = {key: said["headers"].get(key) for key in ("authorization", "cookie", "x-key")}
            found[name] = [said["query"], *(value for value in there.values() if value)]
    assert found == {
        "q": ["key=s"],
        "h": ["", "s"],
        "c": ["", "sid=s"],
        "b": ["", "Bearer s"],
        "p": ["", "Basic dTpz"],
    }
