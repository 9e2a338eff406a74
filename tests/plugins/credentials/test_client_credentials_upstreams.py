"""Every kind of upstream with tokens by the client credentials grant, and others when they are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from portico.api import ConfigError, Era, Json, Ref, Refused, State, Target
from portico.testing.running import running_gateway
from portico_plugins.upstreams.rest.config import HandTool
from tests.plugins.credentials.token_server import GrpcGate, TokenServer, granted
from tests.plugins.upstreams import kit
from tests.plugins.upstreams.a2a import kit as a2a_kit
from tests.plugins.upstreams.a2a.agent_server import agent
from tests.plugins.upstreams.grpc_kit import SERVICES, Shop, grpc_server, reflection, shop, shop_handlers
from tests.plugins.upstreams.grpc_kit import upstream as grpc_upstream
from tests.plugins.upstreams.kit import call, serving, text
from tests.plugins.upstreams.rest.kit import echo
from tests.plugins.upstreams.rest.kit import running as rest_running
from tests.plugins.upstreams.scripted import Scripted

OWN: Any = Ref("own")


def reason(refused: Refused) -> Any:
    return refused.data["gateway"]["reason"]


async def test_rest_sends_a_request_again_with_another_token() -> None:
    tokens = TokenServer()
    tools = {"op": HandTool(path="/x", method="POST", body={"type": "object"})}
    async with (
        granted(tokens) as own,
        serving(tokens.gate(echo)) as origin,
        rest_running(own, base_url=origin, tools=tools, credential=OWN) as up,
    ):
        for expected in ("Bearer token-1", "Bearer token-1"):
            said = (await up.send(call("op", {"body": {"a": 1}}))).value["structuredContent"]
            assert said["headers"]["authorization"] == expected
        tokens.valid, before = "revoked", said["body"]
        said = (await up.send(call("op", {"body": {"a": 1}}))).value["structuredContent"]
        assert (said["headers"]["authorization"], said["body"]) == ("Bearer token-2", before)
        # The API takes none at all: it is asked once, with the token there is.
        tokens.valid = "revoked"
        assert (await up.send(call("op", {"body": {"a": 1}}))).value["isError"] is True
    assert tokens.gated == [f"Bearer token-{number}" for number in (1, 1, 1, 2, 2)]
    assert len(tokens.forms) == 2


@pytest.mark.parametrize("era", [Era.LEGACY, Era.MODERN])
async def test_mcp_sends_a_request_again_with_another_token(era: Era) -> None:
    tokens, app = TokenServer(), Scripted(era=era.value)
    async with (
        granted(tokens) as own,
        serving(tokens.gate(app)) as origin,
        kit.running(own, url=origin, credential=OWN) as up,
    ):
        assert up.upstream.state is State.READY
        assert text(await up.send(call("t", era=era))) == "called"
        tokens.valid = "revoked"
        assert text(await up.send(call("t", era=era))) == "called"
        assert len(app.of("tools/call")) == 2
        tokens.valid = "revoked"
        with pytest.raises(Refused) as refused:
            await up.send(call("t", era=era))
        assert reason(refused.value) == "upstream_unauthorized"
    assert len(tokens.forms) == 2


async def test_grpc_calls_again_with_another_token_whatever_is_streamed() -> None:
    tokens, shop_ = TokenServer(), Shop()
    handlers = [*shop_handlers(shop_), *reflection(SERVICES, shop())]
    async with (
        granted(tokens) as own,
        grpc_server(handlers, interceptors=[GrpcGate(tokens)]) as port,
        grpc_upstream(port, own, credential=OWN) as up,
    ):
        assert up.upstream.state is State.READY
        assert text(await up.send(call("Orders_Shout", {"value": "hey"}))) == '{"value":"HEY"}'
        tokens.valid = "revoked"
        assert text(await up.send(call("Orders_Shout", {"value": "hey"}))) == '{"value":"HEY"}'
        tokens.valid = "revoked"
        with pytest.raises(Refused) as refused:
            await up.send(call("Orders_Shout", {"value": "hey"}))
        assert reason(refused.value) == "upstream_unauthorized"
        assert len(tokens.forms) == 2


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Orders_Watch", {"n": 2}),
        # Of more messages, gRPC's own library loses a status that comes while they are sent.
        ("Orders_Total", {"messages": [{"amount": 1}]}),
        ("Orders_Chat", {"messages": [{"text": "a"}]}),
    ],
)
async def test_grpc_streams_begin_again_with_another_token(name: str, arguments: Json) -> None:
    tokens, shop_ = TokenServer(), Shop()
    handlers = [*shop_handlers(shop_), *reflection(SERVICES, shop())]
    async with (
        granted(tokens) as own,
        grpc_server(handlers, interceptors=[GrpcGate(tokens)]) as port,
        grpc_upstream(port, own, credential=OWN) as up,
    ):
        first = text(await up.send(call(name, arguments)))
        tokens.valid = "revoked"
        assert text(await up.send(call(name, arguments))) == first
        assert len(tokens.forms) == 2


async def test_grpc_learns_again_with_another_token() -> None:
    tokens, shop_ = TokenServer(), Shop()
    handlers = [*shop_handlers(shop_), *reflection(SERVICES, shop())]
    async with granted(tokens) as own, grpc_server(handlers, interceptors=[GrpcGate(tokens)]) as port:
        await own.headers(kit.ALICE, "up")
        tokens.valid = "revoked"
        async with grpc_upstream(port, own, credential=OWN) as up:
            assert (up.upstream.state, up.upstream.reason) == (State.READY, "")


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("version", ["1.0", "0.3.0"])
@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON", "GRPC"])
async def test_a2a_sends_a_message_again_with_another_token(
    binding: str, version: str, streaming: bool
) -> None:
    tokens = TokenServer()
    async with (
        granted(tokens) as own,
        agent(
            [binding],
            version=version,
            streaming=streaming,
            wrap=tokens.gate,
            interceptors=[GrpcGate(tokens)],
        ) as served,
        a2a_kit.running(served.url, own, credential=OWN, origins=[served.grpc]) as up,
    ):
        assert up.upstream.state is State.READY
        assert text(await up.send(call("greet", {"message": "you"}))) == "Hello, you!"
        tokens.valid = "revoked"
        assert text(await up.send(call("greet", {"message": "you"}))) == "Hello, you!"
        tokens.valid = "revoked"
        with pytest.raises(Refused) as refused:
            await up.send(call("greet", {"message": "you"}))
        assert reason(refused.value) == "upstream_unauthorized"
        assert len(served.script.heard) == 2
    assert len(tokens.forms) == 2


async def test_a2a_asks_for_the_card_with_a_token_and_with_another() -> None:
    tokens = TokenServer()
    async with granted(tokens) as own, agent(wrap=tokens.gate) as served:
        await own.headers(kit.ALICE, "up")
        tokens.valid = "revoked"
        async with a2a_kit.running(served.url, own, credential=OWN) as up:
            assert up.upstream.state is State.READY


@pytest.mark.parametrize("streaming", [True, False])
async def test_an_a2a_operation_that_is_relayed_is_sent_again_with_another_token(streaming: bool) -> None:
    tokens = TokenServer()
    async with (
        granted(tokens) as own,
        agent(wrap=tokens.gate) as served,
        a2a_kit.running(served.url, own, credential=OWN) as up,
    ):
        tokens.valid = "revoked"
        message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "say hello"}]}
        method = "a2a/SendStreamingMessage" if streaming else "a2a/SendMessage"
        relayed = kit.exchange(method, {"message": message}, foreign=True)
        result = await up.upstream.send(relayed, Target("up"))
        said = [params for _, params in relayed.client.frames] if streaming else [result.value]  # type: ignore[attr-defined]
        assert said[0]["message"]["parts"][0]["text"] == "hello"
    assert len(tokens.forms) == 2


async def test_a_call_says_why_there_is_no_other_token() -> None:
    tokens = TokenServer()
    handlers = [*shop_handlers(Shop()), *reflection(SERVICES, shop())]
    tools = {"op": HandTool(path="/x")}
    async with (
        granted(tokens) as own,
        agent(wrap=tokens.gate) as served,
        serving(tokens.gate(echo)) as api,
        serving(tokens.gate(Scripted())) as mcp,
        grpc_server(handlers, interceptors=[GrpcGate(tokens)]) as port,
        a2a_kit.running(served.url, own, credential=OWN) as by_a2a,
        rest_running(own, base_url=api, tools=tools, credential=OWN) as by_rest,
        kit.running(own, url=mcp, credential=OWN) as by_mcp,
        grpc_upstream(port, own, credential=OWN) as by_grpc,
    ):
        tokens.valid, tokens.answer = "revoked", (400, {"error": "invalid_client"})
        calls = (
            (by_a2a, call("greet", {"message": "you"})),
            (by_rest, call("op")),
            (by_mcp, call("t", era=Era.MODERN)),
            (by_grpc, call("Orders_Shout", {"value": "hey"})),
        )
        for up, asked in calls:
            with pytest.raises(Refused) as refused:
                await up.send(asked)
            assert (refused.value.code, reason(refused.value)) == (50300, "token_refused")
    assert served.script.heard == []


async def test_upstreams_say_why_there_is_no_token() -> None:
    tokens = TokenServer(answer=(401, {"error": "invalid_client"}))
    handlers = [*shop_handlers(Shop()), *reflection(SERVICES, shop())]
    async with granted(tokens) as own, agent() as served, grpc_server(handlers) as port:
        async with a2a_kit.running(served.url, own, credential=OWN) as up:
            assert (up.upstream.state, up.upstream.reason) == (State.DEGRADED, "token_refused")
        async with grpc_upstream(port, own, credential=OWN) as up:
            assert (up.upstream.state, up.upstream.reason) == (State.DEGRADED, "token_refused")
        async with kit.running(own, url=served.url, credential=OWN) as up:
            assert up.upstream.reason == "token_refused"
    assert served.paths == []


async def test_a_gateway_has_tokens_from_its_configuration_alone(tmp_path: Any) -> None:
    tokens = TokenServer()
    async with serving(tokens) as id_, serving(tokens.gate(echo)) as origin:
        config = f"""
[credentials.api]
use = "client_credentials"
token_url = "{id_}/token"
client_id = "me"
client_secret = "canary"
[upstreams.api]
use = "rest"
base_url = "{origin}"
credential = "api"
[upstreams.api.tools.op]
path = "/x"
"""
        async with running_gateway(config, base=tmp_path) as gateway:
            answer = await gateway.request("tools/call", {"name": "op", "arguments": {}})
    assert answer["structuredContent"]["headers"]["authorization"] == "Bearer token-1"
    assert tokens.clients() == [("me", "canary")]


@pytest.mark.parametrize(
    "table",
    [
        'use = "mcp"\nurl = "http://127.0.0.1:9/mcp"',
        'use = "grpc"\nurl = "grpc://127.0.0.1:9"',
        'use = "a2a"\nurl = "http://127.0.0.1:9"',
        'use = "rest"\nbase_url = "http://127.0.0.1:9"\ntools.op.path = "/x"',
    ],
)
async def test_a_credential_without_a_token_url_is_an_error_where_no_document_says_one(
    table: str, tmp_path: Any
) -> None:
    own = '[credentials.id]\nuse = "client_credentials"\nclient_id = "me"\nclient_secret = "canary"\n'
    config = f'{own}[upstreams.up]\n{table}\ncredential = "id"\n'
    with pytest.raises(ConfigError) as refused:
        async with running_gateway(config, base=tmp_path):
            pass
    said = "credential 'id' has no `token_url`, which nothing else says here: set credentials.id.token_url"
    assert refused.value.problems == [("upstreams.up.credential", said)]


async def test_a_credential_without_a_token_url_is_none_where_a_document_says_one(tmp_path: Any) -> None:
    tokens = TokenServer()
    async with serving(tokens) as id_, serving(tokens.gate(echo)) as origin:
        flows = {"clientCredentials": {"tokenUrl": f"{id_}/token", "scopes": {}}}
        document = {
            "openapi": "3.1.0",
            "components": {"securitySchemes": {"o": {"type": "oauth2", "flows": flows}}},
            "paths": {"/x": {"get": {"operationId": "op", "security": [{"o": []}]}}},
        }
        (tmp_path / "openapi.json").write_text(json.dumps(document))
        config = f"""
[credentials.id]
use = "client_credentials"
client_id = "me"
client_secret = "canary"
[upstreams.up]
use = "rest"
openapi_file = "openapi.json"
base_url = "{origin}"
security.o.credential = "id"
"""
        async with running_gateway(config, base=tmp_path) as gateway:
            answer = await gateway.request("tools/call", {"name": "op", "arguments": {}})
    assert answer["structuredContent"]["headers"]["authorization"] == "Bearer token-1"
