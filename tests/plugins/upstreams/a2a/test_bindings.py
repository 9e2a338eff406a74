"""The bindings of A2A 1.0 over HTTP, request by request and answer by answer, and as the SDK has them."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from a2a.client.errors import A2AClientError
from a2a.client.transports.jsonrpc import JsonRpcTransport
from a2a.client.transports.rest import RestTransport
from a2a.client.transports.tenant_decorator import TenantTransportDecorator
from a2a.types import AgentCapabilities, AgentCard
from a2a.utils.errors import (
    A2AError,
    InternalError,
    InvalidParamsError,
    MethodNotFoundError,
    TaskNotFoundError,
    UnsupportedOperationError,
)

from portico.api import Host, Json
from portico_plugins.a2a.protojson import BadJson, from_json
from portico_plugins.http1 import Unusable
from portico_plugins.upstreams.a2a.config import A2aConfig
from portico_plugins.upstreams.a2a.http_json import HttpJson
from portico_plugins.upstreams.a2a.jsonrpc import JsonRpc
from portico_plugins.upstreams.a2a.operations import OPERATIONS, STREAMED, Context, Operation
from portico_plugins.upstreams.a2a.over_http import OverHttp
from portico_plugins.upstreams.a2a.web import BadStatus, Web
from tests.plugins.upstreams.kit import HERE, Clock, Log, Wiring
from tests.plugins.upstreams.misbehaving import Asked, Server, answer, serving

URL = "http://agent.test/at"
CARD = AgentCard(capabilities=AgentCapabilities(extended_agent_card=True))
SAID: Json = {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "hi"}]}
CONFIG: Json = {"taskId": "t-1", "id": "c-1", "url": "https://hook.test/x"}
REQUESTS: list[tuple[str, Json]] = [
    ("SendMessage", {"message": SAID, "configuration": {"returnImmediately": True}}),
    ("SendStreamingMessage", {"message": SAID}),
    ("GetTask", {"id": "t-1", "historyLength": 0}),
    ("GetTask", {"id": "t-1"}),
    ("ListTasks", {"contextId": "a b&c=ü", "includeArtifacts": True, "pageSize": 5, "pageToken": "1/+"}),
    ("ListTasks", {}),
    ("CancelTask", {"id": "t-1", "metadata": {"why": "late"}}),
    ("SubscribeToTask", {"id": "t-1"}),
    ("CreateTaskPushNotificationConfig", CONFIG),
    ("GetTaskPushNotificationConfig", {"taskId": "t-1", "id": "c-1"}),
    ("ListTaskPushNotificationConfigs", {"taskId": "t-1", "pageSize": 3}),
    ("DeleteTaskPushNotificationConfig", {"taskId": "t-1", "id": "c-1"}),
    ("GetExtendedAgentCard", {}),
]
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"


def at(kind: type[OverHttp], origin: str = URL, tenant: str = "", most: int = 4096) -> OverHttp:
    """A transport for an agent there."""
    host = Host("up", "upstreams", Log(), Clock(), HERE, lambda _: None, Wiring(), key=lambda _: b"")
    return kind(Web(A2aConfig(url=origin, max_response_bytes=most), host), f"{origin}/at", tenant, most)


async def as_the_sdk_has_it(kind: Any, operation: Operation, request: Json, tenant: str) -> httpx.Request:
    """What the SDK sends."""
    sent: list[httpx.Request] = []

    def answered(asked: httpx.Request) -> httpx.Response:
        sent.append(asked)
        return httpx.Response(200, json={"result": {}} if kind is JsonRpcTransport else {})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answered)) as client:
        transport: Any = kind(client, CARD, f"{URL}/at")
        transport = TenantTransportDecorator(transport, tenant) if tenant else transport
        found = getattr(transport, operation.call)(from_json(request, operation.request))
        if operation.name in STREAMED:
            assert [each async for each in found]
        else:
            await found
    return sent[0]


@pytest.mark.parametrize("tenant", ["", "acme"])
@pytest.mark.parametrize(("name", "request_"), REQUESTS)
async def test_a_request_of_http_json_is_the_sdks(name: str, request_: Json, tenant: str) -> None:
    operation = OPERATIONS[name]
    expected = await as_the_sdk_has_it(RestTransport, operation, request_, tenant)
    asked = {**request_, "tenant": tenant} if tenant else request_
    verb, url, body = at(HttpJson, URL, tenant).request(operation, asked)
    parts, theirs = urlsplit(url), urlsplit(str(expected.url))
    assert (verb, parts.path) == (expected.method, theirs.path)
    assert sorted(parse_qsl(parts.query)) == sorted(parse_qsl(theirs.query))
    assert url.isascii()
    assert bool(body) is bool(expected.content)
    if body:
        assert json.loads(body) == json.loads(expected.content)


@pytest.mark.parametrize(("name", "request_"), REQUESTS)
async def test_a_request_of_json_rpc_is_the_sdks(name: str, request_: Json) -> None:
    operation = OPERATIONS[name]
    expected = await as_the_sdk_has_it(JsonRpcTransport, operation, request_, "")
    verb, url, body = at(JsonRpc).request(operation, request_)
    assert (verb, url) == (expected.method, str(expected.url))
    own, theirs = json.loads(body), json.loads(expected.content)
    assert isinstance(own.pop("id"), type(theirs.pop("id")))
    assert own == theirs


@pytest.mark.parametrize("ident", ["", "..", "../x", "a/b", "a?b", "a#b", "a%2fb", "a b", "ü"])
async def test_an_id_that_would_lead_elsewhere_is_part_of_no_path(ident: str) -> None:
    with pytest.raises(TaskNotFoundError):
        at(HttpJson).request(OPERATIONS["GetTask"], {"id": ident})
    with pytest.raises(TaskNotFoundError):
        at(HttpJson).request(OPERATIONS["GetTaskPushNotificationConfig"], {"taskId": "t", "id": ident})


# --- answers ------------------------------------------------------------------------------------------


async def answered(
    kind: type[OverHttp], said: bytes, name: str = "SendMessage", request: Json | None = None
) -> tuple[Asked, Any]:
    """What was asked, and what is made of an answer: all events of a stream."""
    asked: list[Asked] = []

    def says(got: Asked) -> bytes:
        asked.append(got)
        return said

    async with serving(Server(says, lambda _: False)) as server:
        transport = at(kind, server.origin)
        context = Context({"X-Key": "k"})
        wanted = request if request is not None else {"message": SAID}
        try:
            found: Any
            if name in STREAMED:
                async with aclosing(transport.stream(OPERATIONS[name], wanted, context)) as events:
                    found = [each async for each in events]
            else:
                found = await transport.call(OPERATIONS[name], wanted, context)
            return asked[0], found
        finally:
            transport._web.close()


def rpc_error(error: Any, status: str = "200 OK") -> bytes:
    """An error of JSON-RPC."""
    return answer({"jsonrpc": "2.0", "id": "1", "error": error}, status=status)


def rest_error(status: str, reason: str, **error: Any) -> bytes:
    """An error of HTTP+JSON."""
    info = {"@type": ERROR_INFO, "reason": reason, "domain": "a2a-protocol.org", "metadata": {"seat": "4"}}
    return answer({"error": {"details": [{"@type": "other"}, info], **error}}, status=status)


def stream(*events: bytes) -> bytes:
    """A stream of events."""
    return answer(b"".join(each + b"\n\n" for each in events), "text/event-stream")


@pytest.mark.parametrize("kind", [JsonRpc, HttpJson])
async def test_a_request_says_what_it_is_and_what_it_wants(kind: type[OverHttp]) -> None:
    result = {"message": SAID}
    said = answer({"jsonrpc": "2.0", "id": 1, "result": result} if kind is JsonRpc else result)
    asked, found = await answered(kind, said)
    assert found == result
    lines = asked.head.lower().split("\r\n")
    wanted = {"content-type: application/json", "a2a-version: 1.0", "accept: application/json, */*;q=0.5"}
    assert wanted <= set(lines)
    assert "x-key: k" in lines
    asked, events = await answered(kind, said, "SendStreamingMessage")
    assert events == [result]
    assert "accept: text/event-stream" in asked.head.lower()


@pytest.mark.parametrize("kind", [JsonRpc, HttpJson])
async def test_the_events_of_a_stream_are_read_one_by_one(kind: type[OverHttp]) -> None:
    tasks: list[Json] = [{"task": {"id": "t"}}, {"statusUpdate": {"taskId": "t", "status": {}}}]
    shown = [{"jsonrpc": "2.0", "id": 1, "result": each} for each in tasks] if kind is JsonRpc else tasks
    events = [b"data: " + json.dumps(each).encode() for each in shown]
    said = stream(b": hello", b"id: 7", *events)
    assert (await answered(kind, said, "SendStreamingMessage"))[1] == tasks


RPC_ERRORS: list[tuple[bytes, type[A2AError], str, Any]] = [
    (rpc_error({"code": -32001, "message": "gone"}), TaskNotFoundError, "gone", None),
    (rpc_error({"code": -32001, "message": "gone"}, "404 Not Found"), TaskNotFoundError, "gone", None),
    (rpc_error({"code": -32001}), TaskNotFoundError, "Task not found", None),
    (rpc_error({"code": -32602, "message": 5, "data": 5}), InvalidParamsError, "Invalid params", None),
    (
        rpc_error(
            {"code": -32602, "message": "x", "data": [5, {"@type": ERROR_INFO, "metadata": {"a": "b"}}]}
        ),
        InvalidParamsError,
        "x",
        {"a": "b"},
    ),
    (
        rpc_error({"code": -32602, "message": "x", "data": [{"@type": ERROR_INFO, "metadata": 5}]}),
        InvalidParamsError,
        "x",
        None,
    ),
    (rpc_error({"code": -31999, "message": "own"}), A2AClientError, "JSON-RPC Error -31999: own", None),
    (rpc_error({"code": [], "message": "own"}), A2AClientError, "JSON-RPC Error []: own", None),
    (rpc_error("text"), A2AClientError, "The answer is not one of JSON-RPC", None),
    (rpc_error(None), A2AClientError, "The answer is not one of JSON-RPC", None),
    (answer(b"[]"), A2AClientError, "The answer is not one of JSON-RPC", None),
    (answer(b"\xff"), A2AClientError, "The answer is not JSON", None),
    (answer(b"[" * 4000), A2AClientError, "The answer is not JSON", None),
]


async def failed(binding: type[OverHttp], said: bytes, name: str, kind: type[A2AError]) -> A2AError:
    """The error, of exactly that kind, that an answer is."""
    with pytest.raises(kind) as found:
        await answered(binding, said, name)
    assert type(found.value) is kind
    return found.value


@pytest.mark.parametrize(("said", "kind", "message", "data"), RPC_ERRORS)
async def test_an_error_of_json_rpc_is_one_of_a2a(
    said: bytes, kind: type[A2AError], message: str, data: Any
) -> None:
    for name in ("SendMessage", "SendStreamingMessage"):
        error = await failed(JsonRpc, said, name, kind)
        assert (error.message, error.data) == (message, data)
        assert error.__cause__ is None


REST_ERRORS: list[tuple[bytes, type[A2AError], str, Any]] = [
    (
        rest_error("404 Not Found", "TASK_NOT_FOUND", message="gone"),
        TaskNotFoundError,
        "gone",
        {"seat": "4"},
    ),
    (rest_error("500 Error", "INTERNAL_ERROR"), InternalError, "Internal error", {"seat": "4"}),
    (rest_error("401 Unauthorized", "OTHER", message="x"), A2AClientError, "HTTP Error 401", None),
    (answer({"error": {"details": 5}}, status="400 Bad Request"), A2AClientError, "HTTP Error 400", None),
    (answer({"error": []}, status="400 Bad Request"), A2AClientError, "HTTP Error 400", None),
    (answer(b"[", status="500 Error"), A2AClientError, "HTTP Error 500", None),
    (answer(b"no", "text/plain", "404 Not Found"), MethodNotFoundError, "Resource not found", None),
]


@pytest.mark.parametrize(("said", "kind", "message", "data"), REST_ERRORS)
async def test_an_error_of_http_json_is_one_of_a2a(
    said: bytes, kind: type[A2AError], message: str, data: Any
) -> None:
    for name in ("SendMessage", "SendStreamingMessage"):
        error = await failed(HttpJson, said, name, kind)
        assert (error.message, error.data) == (message, data)
        assert isinstance(error.__cause__, BadStatus)
        assert said.startswith(f"HTTP/1.1 {error.__cause__.status} ".encode())


@pytest.mark.parametrize("kind", [JsonRpc, HttpJson])
async def test_a_status_is_the_cause_of_the_error_and_says_when_to_come_back(kind: type[OverHttp]) -> None:
    said = answer(b"{}", "application/json", "429 Too Many", "Retry-After: 7")
    with pytest.raises(A2AClientError, match="HTTP Error 429") as found:
        await answered(kind, said)
    cause = found.value.__cause__
    assert isinstance(cause, BadStatus)
    assert (cause.status, cause.later) == (429, "7")


async def test_an_event_that_is_an_error_ends_a_stream() -> None:
    event = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32004, "message": "no more"}}
    said = b"event: error\ndata: "
    with pytest.raises(UnsupportedOperationError, match="no more"):
        await answered(JsonRpc, stream(said + json.dumps(event).encode()), "SendStreamingMessage")
    with pytest.raises(A2AClientError, match="ended with an error"):
        await answered(JsonRpc, stream(said + b'{"result": {}}'), "SendStreamingMessage")
    info = {"@type": ERROR_INFO, "reason": "UNSUPPORTED_OPERATION"}
    event = {"error": {"message": "no more", "details": [info]}}
    with pytest.raises(UnsupportedOperationError, match="no more"):
        await answered(HttpJson, stream(said + json.dumps(event).encode()), "SendStreamingMessage")
    with pytest.raises(A2AClientError, match="ended with an error"):
        await answered(HttpJson, stream(said + b"{}"), "SendStreamingMessage")


async def test_what_a_stream_of_no_use_has_is_told() -> None:
    for body, reason in (
        (b"data: \xff", "bad_text"),
        (b"data: " + b"x" * 5000, "message_too_large"),
        (b": " + b"x" * 5000, "message_too_large"),
    ):
        with pytest.raises(Unusable) as found:
            await answered(HttpJson, stream(body), "SendStreamingMessage")
        assert found.value.reason == reason
    with pytest.raises(Unusable) as found:
        await answered(HttpJson, stream(b"data: {}"), "SendMessage")
    assert found.value.reason == "wrong_content_type"
    with pytest.raises(BadJson):
        await answered(HttpJson, stream(b'data: {"task": 5}'), "SendStreamingMessage")


@pytest.mark.parametrize("said", [answer(b"", "", "204 No Content"), answer({})])
async def test_what_was_deleted_may_be_answered_by_nothing(said: bytes) -> None:
    name = "DeleteTaskPushNotificationConfig"
    asked, found = await answered(HttpJson, said, name, {"taskId": "t", "id": "c"})
    assert found == {}
    assert asked.head.startswith("DELETE /at/tasks/t/pushNotificationConfigs/c HTTP/1.1\r\n")


@pytest.mark.parametrize("kind", [JsonRpc, HttpJson])
async def test_numbers_are_what_they_were_there_and_back(kind: type[OverHttp]) -> None:
    exact = {"big": 2**60 + 1, "whole": 5, "part": 0.5}
    message = {**SAID, "parts": [{"data": exact}]}
    result = {"message": message}
    said = answer({"jsonrpc": "2.0", "id": 1, "result": result} if kind is JsonRpc else result)
    asked, found = await answered(kind, said, request={"message": message})
    sent = asked.body["params"] if kind is JsonRpc else asked.body
    assert sent["message"]["parts"] == message["parts"]
    assert found["message"]["parts"] == message["parts"]
