"""What is on the wire: cards, versions, and what becomes of requests that are none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from portico.api import Author, Challenge, Change, Json
from tests.plugins.transports.kit import ALICE, TOKENS, happened
from tests.plugins.transports.web import Answer, Web, gateway

HEADERS = {"host": "localhost", "content-type": "application/json", "a2a-version": "1.0"}
CARD = "/.well-known/agent-card.json"
CLOSED = f"[transports.a2a]\n{TOKENS}\n[servers.default]\nupstreams = ['one']\nauth = ['people']"
MESSAGE: Json = {"messageId": "1", "role": "ROLE_USER", "parts": [{"data": {"tool": "echo"}}]}


@pytest_asyncio.fixture
async def web() -> AsyncIterator[Web]:
    async with gateway("", "[transports.a2a]") as made:
        yield made


@pytest_asyncio.fixture
async def closed() -> AsyncIterator[Web]:
    async with gateway("", CLOSED) as made:
        yield made


def post(web: Web, body: Any, path: str = "/a2a/default", headers: Mapping[str, str] = HEADERS) -> Answer:
    return web.open("POST", headers, body if isinstance(body, bytes) else msgspec.json.encode(body), path)


def rpc(method: str, params: Any = None, **more: Any) -> Json:
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": params or {}, **more}


# --- the card ------------------------------------------------------------------------------------------


async def test_a_card_says_how_long_it_may_be_kept_and_is_not_sent_twice(web: Web) -> None:
    answer = web.open("GET", {"host": "localhost"}, path=CARD)
    assert await answer.head() == 200
    tag = answer.headers["etag"]
    assert answer.headers["cache-control"] == "private, max-age=60"
    assert answer.headers["content-type"] == "application/json"
    for known in (tag, f'"x", {tag}', tag.removeprefix("W/"), "*"):
        again = web.open("GET", {"host": "localhost", "if-none-match": known}, path=CARD)
        assert (await again.head(), await again.body()) == (304, b"")
    other = web.open("GET", {"host": "localhost", "if-none-match": '"x"'}, path=CARD)
    assert await other.head() == 200
    assert await web.open("HEAD", {"host": "localhost"}, path=CARD).head() == 200


async def test_how_long_a_card_may_be_kept_is_configured() -> None:
    async with gateway("", "[transports.a2a]\ncard_max_age = 7") as web:
        answer = web.open("GET", {"host": "localhost"}, path=CARD)
        await answer.head()
        assert answer.headers["cache-control"] == "private, max-age=7"


async def test_a_card_changes_with_the_tools_and_each_server_has_its_own() -> None:
    two = """
        [transports.a2a]
        [servers.a]
        upstreams = ["one"]
        tools = { include = ["echo"] }
        [servers.b]
        upstreams = []
    """
    async with gateway("", two) as web:
        a, b = [
            await web.open("GET", {"host": "localhost"}, path=f"/a2a/{name}{CARD}").json() for name in "ab"
        ]
        assert [skill["id"] for skill in a["skills"]] == ["echo"]
        assert [skill["id"] for skill in b["skills"]] == ["nothing"]
        assert a["supportedInterfaces"][0]["url"] == "http://localhost/a2a/a"
        for path in (CARD, "/a2a", "/a2a/default", "/a2a/nowhere" + CARD):
            assert await web.open("GET", {"host": "localhost"}, path=path).head() == 404


async def test_urls_are_those_of_the_configuration_or_of_the_request() -> None:
    async with gateway("", "[transports.a2a]\nurl = 'https://gw.example.com/x/'") as web:
        card = await web.open("GET", {"host": "localhost"}, path=CARD).json()
        assert card["supportedInterfaces"][1]["url"] == "https://gw.example.com/x/a2a/default/rest"


async def test_a_stranger_sees_who_to_authenticate_as_and_no_skill(closed: Web) -> None:
    answer = closed.open("GET", {"host": "localhost"}, path=CARD)
    card = await answer.json()
    assert answer.headers["cache-control"] == "public, max-age=60"
    assert [skill["id"] for skill in card["skills"]] == ["authenticate"]
    assert "echo" not in str(card)
    assert card["securitySchemes"] == {"http": {"httpAuthSecurityScheme": {"scheme": "Bearer"}}}
    assert card["capabilities"]["extendedAgentCard"] is True
    wrong = closed.open("GET", {"host": "localhost", "authorization": "Bearer no"}, path=CARD)
    assert await wrong.head() == 401
    known = await closed.open("GET", {"host": "localhost", **ALICE}, path=CARD).json()
    assert "echo" in [skill["id"] for skill in known["skills"]]


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/a2a"), ("POST", "/a2a/default/rest/message:send"), ("GET", "/a2a/default/rest/tasks")],
)
async def test_a_stranger_gets_nothing_else(closed: Web, method: str, path: str) -> None:
    answer = closed.open(method, HEADERS, msgspec.json.encode(rpc("ListTasks")), path)
    assert await answer.head() == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_the_extended_card_is_for_those_who_are_known(web: Web, closed: Web) -> None:
    for path, body in (("/a2a", rpc("GetExtendedAgentCard")), ("/a2a/default/rest/extendedAgentCard", None)):
        method = "POST" if body else "GET"
        data = msgspec.json.encode(body) if body else b""
        card = msgspec.json.decode(await closed.open(method, {**HEADERS, **ALICE}, data, path).body())
        assert "echo" in str(card)
        refused = msgspec.json.decode(await web.open(method, HEADERS, data, path).body())
        assert "UNSUPPORTED_OPERATION" in str(refused)


# --- versions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [None, "", "0.3", "2.0", "9", "x", "1.0.0.0.x"])
@pytest.mark.parametrize("method", ["SendMessage", "SendStreamingMessage", "GetTask"])
async def test_another_version_is_refused_and_none_is_another(
    web: Web, version: str | None, method: str
) -> None:
    headers = {**HEADERS, "a2a-version": version} if version is not None else dict(HEADERS)
    if version is None:
        del headers["a2a-version"]
    params = {"id": "x"} if method == "GetTask" else {"message": MESSAGE}
    answer = await post(web, rpc(method, params), headers=headers).json()
    assert answer["error"]["code"] == -32009
    path = {"SendMessage": "message:send", "SendStreamingMessage": "message:stream"}.get(method)
    if path:
        rest = post(web, params, f"/a2a/default/rest/{path}", headers)
    else:
        rest = web.open("GET", headers, path="/a2a/default/rest/tasks/x")
    body = msgspec.json.decode(await rest.body())
    assert (rest.status, body["error"]["details"][0]["reason"]) == (400, "VERSION_NOT_SUPPORTED")
    assert web.upstream.calls == []


@pytest.mark.parametrize("version", [None, "0.3"])
@pytest.mark.parametrize("method", ["message/send", "message/stream", "tasks/get"])
async def test_a_client_of_0_3_hears_that_it_is_too_old(web: Web, version: str | None, method: str) -> None:
    headers = {key: value for key, value in HEADERS.items() if key != "a2a-version"}
    headers |= {"a2a-version": version} if version else {}
    answer = await post(web, rpc(method, {"message": MESSAGE}), headers=headers).json()
    assert (answer["id"], answer["error"]["code"]) == (7, -32009)
    answer = await post(web, rpc(method, {"message": MESSAGE}), headers=HEADERS).json()
    assert answer["error"]["code"] == -32601


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.0.1"])
async def test_the_version_may_stand_in_the_query(web: Web, version: str) -> None:
    headers = {"host": "localhost", "content-type": "application/json"}
    body = msgspec.json.encode(rpc("SendMessage", {"message": MESSAGE}))
    answer = web.open("POST", headers, body, "/a2a", query_string=f"A2A-Version={version}".encode())
    assert "task" in (await answer.json())["result"]


# --- requests that are none ----------------------------------------------------------------------------

DEEP = b'{"jsonrpc":"2.0","id":1,"method":"GetTask","params":' + b'{"a":' * 200 + b"1" + b"}" * 201


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"nonsense", -32700),
        (b"{'a': 1}", -32700),
        (DEEP, -32700),
        (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"GetTask"}', -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":"a", "id":"b"}}', -32700),
        (b"[]", -32600),
        (msgspec.json.encode([rpc("GetTask", {"id": "x"})]), -32600),
        (b"7", -32600),
        ({}, -32600),
        ({"jsonrpc": "1.0", "id": 1, "method": "GetTask"}, -32600),
        ({"jsonrpc": "2.0", "id": True, "method": "GetTask"}, -32600),
        ({"jsonrpc": "2.0", "id": {}, "method": "GetTask"}, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": 7}, -32600),
        ({"jsonrpc": "2.0", "id": 1, "result": {}}, -32600),
        (rpc("nonsense"), -32601),
        (rpc("message/send", {"message": {}}), -32601),
        (rpc("tools/call", {"name": "echo"}), -32601),
        ({"jsonrpc": "2.0", "id": 7, "method": "GetTask", "params": []}, -32602),
        ({"jsonrpc": "2.0", "id": 7, "method": "GetTask", "params": "x"}, -32602),
        (rpc("GetTask"), -32602),
        (rpc("GetTask", {"id": 7}), -32602),
        (rpc("GetTask", {"id": ""}), -32602),
        (rpc("GetTask", {"id": "x", "historyLength": "many"}), -32602),
        (rpc("GetTask", {"id": "x" * 10_000}), -32001),
        (rpc("GetTask", {"id": "\u0000"}), -32001),
        (rpc("CancelTask", {"id": "x"}), -32001),
        (rpc("SubscribeToTask", {"id": "x"}), -32001),
        (rpc("ListTasks", {"pageSize": 0}), -32602),
        (rpc("ListTasks", {"pageSize": 2**40}), -32602),
        (rpc("ListTasks", {"pageToken": "\u2603"}), -32602),
        (rpc("ListTasks", {"statusTimestampAfter": "yesterday"}), -32602),
        (rpc("SendMessage"), -32602),
        (rpc("SendMessage", {"message": None}), -32602),
        (rpc("SendMessage", {"message": "hi"}), -32602),
        (rpc("SendMessage", {"message": {**MESSAGE, "parts": []}}), -32602),
        (rpc("SendMessage", {"message": {**MESSAGE, "parts": {}}}), -32602),
        (rpc("SendMessage", {"message": {**MESSAGE, "parts": ["x"]}}), -32602),
        (rpc("SendMessage", {"message": {**MESSAGE, "parts": [{"text": "a", "data": 1}]}}), -32602),
        (rpc("SendMessage", {"message": {**MESSAGE, "parts": [{"raw": "*"}]}}), -32005),
        (rpc("SendMessage", {"message": {**MESSAGE, "role": "ROLE_AGENT"}}), -32602),
        (rpc("SendMessage", {"message": {**MESSAGE, "role": "x"}}), -32602),
        (rpc("SendMessage", {"message": {**MESSAGE, "messageId": ""}}), -32602),
        (rpc("SendMessage", {"message": {**MESSAGE, "taskId": "x"}}), -32001),
        (rpc("SendMessage", {"message": MESSAGE, "configuration": {"historyLength": -1}}), -32602),
        (rpc("SendMessage", {"message": MESSAGE, "configuration": 7}), -32602),
        (rpc("CreateTaskPushNotificationConfig", {"taskId": "x", "url": "http://example.com"}), -32001),
        (rpc("CreateTaskPushNotificationConfig", {"taskId": "x"}), -32602),
        (rpc("DeleteTaskPushNotificationConfig", {"taskId": "x", "id": "y"}), -32001),
    ],
)
async def test_a_bad_json_rpc_request_gets_a_clear_error(web: Web, body: Any, code: int) -> None:
    answer = post(web, body)
    said = await answer.json()
    assert said["error"]["code"] == code, said
    assert answer.status == 200
    assert said["error"]["message"]
    assert "Traceback" not in str(said)
    assert web.upstream.calls == []
    assert not [line for line in web.log.lines if line.level == "error"]
    assert "result" in await post(web, rpc("SendMessage", {"message": MESSAGE})).json()


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/message:send", b"", 400),
        ("POST", "/message:send", b"{", 400),
        ("POST", "/message:send", b"\xff", 400),
        ("POST", "/message:send", b"[]", 400),
        ("POST", "/message:send", b"7", 400),
        ("POST", "/message:send", b'{"message":1,"message":2}', 400),
        ("POST", "/message:send", DEEP, 400),
        ("POST", "/message:send", b"{}", 400),
        ("POST", "/message:send", b'{"message":"x"}', 400),
        ("POST", "/message:send", b'{}}, "x": {"y": {}', 400),
        ("POST", "/message:stream", b"{}", 400),
        ("POST", "/message:nonsense", b"{}", 404),
        ("GET", "/message:send", b"", 405),
        ("PUT", "/message:send", b"", 405),
        ("GET", "/tasks/x", b"", 404),
        ("GET", "/tasks/x?historyLength=no", b"", 400),
        ("GET", "/tasks?pageSize=none", b"", 400),
        ("GET", "/tasks?pageSize=0", b"", 400),
        ("GET", "/tasks?pageToken=x", b"", 400),
        ("GET", "/tasks?statusTimestampAfter=x", b"", 400),
        ("POST", "/tasks/x:cancel", b"{}", 404),
        ("POST", "/tasks/x:subscribe", b"{}", 404),
        ("GET", "/tasks/x:subscribe", b"", 404),
        ("GET", "/tasks/x/pushNotificationConfigs", b"", 404),
        ("GET", "/tasks/x/pushNotificationConfigs/y", b"", 404),
        ("DELETE", "/tasks/x/pushNotificationConfigs/y", b"", 404),
        ("POST", "/tasks/x/pushNotificationConfigs", b'{"url":"http://example.com"}', 404),
        ("GET", "/nonsense", b"", 404),
        ("GET", "/", b"", 404),
    ],
)
async def test_a_bad_rest_request_gets_a_clear_error(
    web: Web, method: str, path: str, body: bytes, status: int
) -> None:
    path, _, query = path.partition("?")
    answer = web.open(method, HEADERS, body, "/a2a/default/rest" + path, query_string=query.encode())
    said = await answer.body()
    assert answer.status == status, said
    if status != 405:
        error = msgspec.json.decode(said)["error"]
        assert (error["code"], bool(error["message"])) == (status, True)
    assert b"Traceback" not in said
    assert web.upstream.calls == []
    assert not [line for line in web.log.lines if line.level == "error"]


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": ""},
        {"content-encoding": "gzip"},
    ],
)
@pytest.mark.parametrize("path", ["", "/rest/message:send"])
async def test_bodies_of_other_types_are_refused(web: Web, headers: Json, path: str) -> None:
    answer = post(web, {"message": MESSAGE}, "/a2a/default" + path, {**HEADERS, **headers})
    assert await answer.head() == 415


@pytest.mark.parametrize("media", ["application/a2a+json", "application/json; charset=utf-8"])
async def test_both_media_types_are_taken(web: Web, media: str) -> None:
    headers = {**HEADERS, "content-type": media}
    answer = post(web, {"message": MESSAGE}, "/a2a/default/rest/message:send", headers)
    assert await answer.head() == 200
    assert answer.headers["content-type"] == "application/a2a+json"


async def test_a_page_from_elsewhere_cannot_reach_an_agent(web: Web) -> None:
    headers = {**HEADERS, "origin": "https://evil.example"}
    assert await post(web, rpc("ListTasks"), headers=headers).head() == 403
    assert await post(web, rpc("ListTasks"), headers={**HEADERS, "host": "evil.example"}).head() == 421


async def test_an_empty_list_of_tasks_says_everything_a_page_must(web: Web) -> None:
    said = await post(web, rpc("ListTasks")).json()
    assert said["result"] == {"tasks": [], "nextPageToken": "", "pageSize": 50, "totalSize": 0}
    assert said["id"] == 7


async def test_whole_numbers_are_written_as_integers(web: Web) -> None:
    numbers = {"a": 3, "b": -0.5, "c": [1.0, 1e300, "3.0", '":4.0,'], "d": {"e 5.0": 12}}
    message = {**MESSAGE, "parts": [{"data": {"tool": "echo", "arguments": numbers}}]}
    body = await post(web, rpc("SendMessage", {"message": message})).body()
    shown = msgspec.json.decode(body)["result"]["task"]["artifacts"][0]["parts"][0]["data"]
    assert shown == numbers
    assert isinstance(shown["a"], int)
    assert isinstance(shown["c"][0], int)


async def test_a_stream_ends_when_its_reader_is_welcome_no_more(
    closed: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = {**MESSAGE, "parts": [{"data": {"tool": "hang"}}]}
    headers = {**HEADERS, **ALICE}
    stream = post(closed, rpc("SendStreamingMessage", {"message": message}), headers=headers)
    ident = (await stream.message())["result"]["task"]["id"]
    app = closed.gateway.transports["a2a"].endpoints.find("default")  # type: ignore[attr-defined]
    app.sweep()
    await app._looking
    assert not stream.ended

    async def broken(credentials: object) -> Challenge:
        return Challenge(reason="auth_error")

    async def refused(credentials: object) -> Challenge:
        return Challenge(reason="expired")

    with monkeypatch.context() as patch:
        patch.setattr(closed.gateway.plane.endpoints["default"], "authenticate", broken)
        app.sweep()
        await app._looking
        assert app._open
        patch.setattr(closed.gateway.plane.endpoints["default"], "authenticate", refused)
        app.sweep()
        await app._looking
        await stream.over()
    got = await post(closed, rpc("GetTask", {"id": ident}), headers=headers).json()
    assert got["result"]["status"]["state"] == "TASK_STATE_WORKING"
    assert "result" in await post(closed, rpc("CancelTask", {"id": ident}), headers=headers).json()


# --- servers that come and go --------------------------------------------------------------------------


async def test_an_agent_is_there_while_its_server_is() -> None:
    path = f"/a2a/late{CARD}"
    async with gateway("", "[transports.a2a]\n[registries.main]\nuse = 'memory'") as web:
        management = web.gateway.management
        assert management is not None
        author = Author("alice", "api")
        assert await web.open("GET", {"host": "localhost"}, path=path).head() == 404
        await management.change([Change("servers", "late", {"upstreams": ["one"]})], author)
        card = await web.open("GET", {"host": "localhost"}, path=path).json()
        assert "echo" in [skill["id"] for skill in card["skills"]]
        message = {**MESSAGE, "parts": [{"data": {"tool": "hang"}}]}
        stream = post(web, rpc("SendStreamingMessage", {"message": message}), "/a2a/late")
        assert "task" in (await stream.message())["result"]
        await happened(web.upstream.begun)
        await management.change([Change("servers", "late", None)], author)
        assert await web.open("GET", {"host": "localhost"}, path=path).head() == 404
        assert await post(web, rpc("ListTasks"), "/a2a/late").head() == 404
        web.gateway.transports["a2a"].endpoints.sweep()  # type: ignore[attr-defined]
        last = (await stream.rest())[-1]["result"]["statusUpdate"]["status"]
        assert last["state"] == "TASK_STATE_FAILED"
        await happened(web.upstream.cancelled)
