"""What must not happen, and what becomes of it: faults, slow readers, nonsense, a missing extra."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from a2a.utils.errors import A2AError

from portico._host.gateway import drain
from portico.api import ConfigError, Json
from portico_plugins.a2a import missing
from portico_plugins.transports.a2a import inside
from tests.plugins.transports.web import PATIENCE, Web, gateway

HEADERS = {"host": "localhost", "content-type": "application/json", "a2a-version": "1.0"}
CARD = "/.well-known/agent-card.json"


@pytest_asyncio.fixture
async def web() -> AsyncIterator[Web]:
    async with gateway("", "[transports.a2a]\nwebhooks_private = true") as made:
        yield made


def message(tool: str, arguments: Json | None = None) -> Json:
    data = {"tool": tool, "arguments": arguments or {}}
    return {"message": {"messageId": "1", "role": "ROLE_USER", "parts": [{"data": data}]}}


def body(method: str, params: Any) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})


SAID: Json = {"message": {"messageId": "1", "role": "ROLE_USER", "parts": [{"text": "hello"}]}}


@pytest.mark.parametrize(
    ("path", "params", "word"),
    [
        ("/a2a", {"message": {**SAID["message"], "taskId": "unknown"}}, "Task not found"),
        (
            "/a2a/default/rest/message:send",
            {"message": {**SAID["message"], "parts": []}},
            "Validation failed",
        ),
    ],
)
async def test_a_request_that_fails_is_not_kept_until_memory_is_cleared_up(
    web: Web, path: str, params: Json, word: str
) -> None:
    text = msgspec.json.encode(params) if "rest" in path else body("SendMessage", params)
    await web.open("POST", HEADERS, text, path).json()
    gc.collect()
    gc.disable()
    try:
        answer = web.open("POST", HEADERS, text, path)
        assert word in str(await answer.json())
        await answer.over()
        await asyncio.sleep(0)
        kept = [each for each in gc.get_objects() if isinstance(each, A2AError)]
        assert all(each.__traceback__ is None for each in kept)
    finally:
        gc.enable()


@pytest.mark.parametrize("name", ["messageId", "contextId"])
async def test_an_id_that_would_make_every_event_large_is_refused(web: Web, name: str) -> None:
    for length, taken in ((512, True), (513, False)):
        said = {"message": {**SAID["message"], name: "i" * length}}
        answer = await web.open("POST", HEADERS, body("SendMessage", said), "/a2a").json()
        assert ("result" in answer) is taken
    assert answer["error"]["code"] == -32602
    listed = await web.open("POST", HEADERS, body("ListTasks", {}), "/a2a").json()
    assert listed["result"]["totalSize"] == 1


async def test_what_only_waits_does_not_hold_up_the_end_of_the_gateway(web: Web) -> None:
    chooses, asks = body("SendStreamingMessage", SAID), body("SendStreamingMessage", message("elicit"))
    streams = []
    for said in (chooses, asks):
        answer = await web.open("POST", HEADERS, said, "/a2a").rest()
        ident = answer[0]["result"]["task"]["id"]
        assert answer[-1]["result"]["statusUpdate"]["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
        follow = web.open("POST", HEADERS, body("SubscribeToTask", {"id": ident}), "/a2a")
        assert "task" in (await follow.message())["result"]
        streams.append(follow)
    working = web.open("POST", HEADERS, body("SendMessage", message("gate")), "/a2a")
    async with asyncio.timeout(PATIENCE):
        await web.upstream.begun.wait()
    ending = asyncio.create_task(drain(web.gateway, hurry=asyncio.Event()))
    for follow in streams:
        last = (await follow.rest())[-1]["result"]["statusUpdate"]["status"]
        assert last["message"]["parts"][0]["text"] == "The gateway is shutting down."
    assert not ending.done()
    web.upstream.gate.set()
    assert (await working.json())["result"]["task"]["status"]["state"] == "TASK_STATE_COMPLETED"
    async with asyncio.timeout(PATIENCE):
        await ending


async def test_a_gateway_that_ends_says_so(web: Web) -> None:
    web.gateway.plane.load.draining = True
    card = web.open("GET", HEADERS, path=CARD)
    assert (await card.head(), (await card.json())["error"]["status"]) == (503, "UNAVAILABLE")
    refused = await web.open("POST", HEADERS, body("SendMessage", message("echo")), "/a2a").json()
    assert refused["error"]["code"] == -32603
    assert refused["error"]["message"] == "The gateway is shutting down"
    assert refused["error"]["data"][0]["metadata"]["retryable"] == "True"
    rest = web.open("POST", HEADERS, msgspec.json.encode(message("echo")), "/a2a/default/rest/message:send")
    assert (await rest.head(), (await rest.json())["error"]["status"]) == (500, "INTERNAL")


@pytest.mark.parametrize(
    ("method", "path", "data"),
    [
        ("GET", CARD, b""),
        ("POST", "/a2a", body("SendMessage", SAID)),
        ("POST", "/a2a", body("SendStreamingMessage", SAID)),
        ("POST", "/a2a/default/rest/message:send", msgspec.json.encode(SAID)),
        ("POST", "/a2a/default/rest/message:stream", msgspec.json.encode(SAID)),
    ],
)
async def test_of_a_fault_the_client_learns_nothing_and_the_log_everything(
    web: Web,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    method: str,
    path: str,
    data: bytes,
) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("/etc/secret")

    monkeypatch.setattr("portico_plugins.transports.a2a.app.pages_of", broken)
    monkeypatch.setattr("portico_plugins.transports.a2a.agent.pages_of", broken)
    answer = web.open(method, HEADERS, data, path)
    said = await answer.body()
    assert answer.status == (200 if path == "/a2a" else 500)
    assert b"nternal" in said
    assert b"secret" not in said
    logged = capfd.readouterr().err
    assert '"event":"a2a.fault"' in logged
    assert "/etc/secret" in logged


async def test_a_reader_that_takes_nothing_is_cut_off_and_the_task_goes_on(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inside, "PATIENCE", 0.05)
    stream = web.open("POST", HEADERS, body("SendStreamingMessage", message("gate", {"n": 600})), "/a2a")
    assert "task" in (await stream.message())["result"]
    stream.reading.clear()
    async with asyncio.timeout(PATIENCE):
        await web.upstream.begun.wait()
    await stream.over()
    assert not stream.ended
    web.upstream.gate.set()
    async with asyncio.timeout(PATIENCE):
        while True:
            listed = await web.open("POST", HEADERS, body("ListTasks", {}), "/a2a").json()
            (task,) = listed["result"]["tasks"]
            if task["status"]["state"] == "TASK_STATE_COMPLETED":
                break


async def test_without_the_extra_the_configuration_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(missing, "_NEEDED", (("no_such_module", "a2a-sdk"),))
    with pytest.raises(ConfigError, match=r"pip install 'portico\[a2a\]'"):
        async with gateway("", "[transports.a2a]"):
            pass


# --- nonsense ------------------------------------------------------------------------------------------

JUNK: list[Any] = [
    None, True, 0, -1, 2**70, 0.5, "", "x", "\u0000", "é" * 300, [], {}, [[]], {"a": None}, "1.0",
    "ROLE_USER", ["x", 7], {"data": {"tool": "echo"}}, "2026-01-01T00:00:00Z", "TASK_STATE_FAILED",
]  # fmt: skip
TEMPLATES: list[tuple[str, Json]] = [
    (
        "SendMessage",
        {
            **message("echo", {"n": 1}),
            "configuration": {
                "acceptedOutputModes": ["text/plain"],
                "historyLength": 2,
                "returnImmediately": False,
                "taskPushNotificationConfig": {
                    "url": "http://127.0.0.1:1/",
                    "token": "t",
                    "authentication": {"scheme": "Bearer", "credentials": "c"},
                },
            },
            "metadata": {"k": "v"},
        },
    ),
    ("GetTask", {"id": "x", "historyLength": 1}),
    ("CancelTask", {"id": "x", "metadata": {}}),
    (
        "ListTasks",
        {"contextId": "c", "status": "TASK_STATE_FAILED", "pageSize": 3, "includeArtifacts": True,
         "statusTimestampAfter": "2026-01-01T00:00:00Z", "pageToken": ""},
    ),
    ("CreateTaskPushNotificationConfig", {"taskId": "x", "id": "y", "url": "http://127.0.0.1:1/"}),
    ("GetTaskPushNotificationConfig", {"taskId": "x", "id": "y"}),
    ("ListTaskPushNotificationConfigs", {"taskId": "x", "pageSize": 1}),
    ("DeleteTaskPushNotificationConfig", {"taskId": "x", "id": "y"}),
    ("GetExtendedAgentCard", {}),
]  # fmt: skip


def mutated(value: Any, dice: random.Random) -> Any:
    """The same with something in it replaced, left out, or doubled."""
    if isinstance(value, dict) and value and dice.random() < 0.85:
        key = dice.choice(sorted(value))
        rest = {k: v for k, v in value.items() if k != key}
        way = dice.random()
        if way < 0.1:
            return rest
        if way < 0.2:
            return {**value, key + "X": value[key]}
        return {**rest, key: mutated(value[key], dice)}
    if isinstance(value, list) and value and dice.random() < 0.85:
        at = dice.randrange(len(value))
        return [*value[:at], mutated(value[at], dice), *value[at : at + (dice.random() < 0.2)]]
    return dice.choice(JUNK)


@pytest.mark.parametrize("seed", range(4))
async def test_nonsense_is_answered_and_never_a_fault(web: Web, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(40):
        method, params = dice.choice(TEMPLATES)
        for _ in range(dice.randint(1, 3)):
            params = mutated(params, dice)
            if not isinstance(params, dict):
                break
        answer = await web.open("POST", HEADERS, body(method, params), "/a2a").json()
        assert ("result" in answer) is not ("error" in answer), (method, params)
        if "error" in answer:
            assert answer["error"]["code"] in (-32600, -32602, -32001, -32004, -32005), (params, answer)
            assert "Traceback" not in answer["error"]["message"]
        if method == "SendMessage" and isinstance(params, dict):
            path = "/a2a/default/rest/message:send"
            rest = web.open("POST", HEADERS, msgspec.json.encode(params), path)
            assert await rest.head() in (200, 400, 404), params
    assert not [line for line in web.log.lines if line.level == "error"]
    assert {name for name, _ in web.upstream.calls} <= {"echo"}
