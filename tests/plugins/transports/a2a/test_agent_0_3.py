"""Clients of A2A 0.3, when they are let in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest_asyncio

from portico.api import Json
from tests.plugins.transports.web import Web, gateway

HEADERS = {"host": "localhost", "content-type": "application/json"}


@pytest_asyncio.fixture
async def web() -> AsyncIterator[Web]:
    async with gateway("", "[transports.a2a]\nv0_3 = true") as made:
        yield made


def order(tool: str, **more: Any) -> Json:
    data = {"kind": "data", "data": {"tool": tool, "arguments": {"n": 1}}}
    return {"kind": "message", "messageId": "1", "role": "user", "parts": [data], **more}


async def ask(web: Web, method: str, params: Json) -> Any:
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    return await web.open("POST", HEADERS, body, "/a2a").json()


async def test_a_message_is_a_call_and_the_task_is_found_again(web: Web) -> None:
    task = (await ask(web, "message/send", {"message": order("echo")}))["result"]
    assert (task["kind"], task["status"]["state"]) == ("task", "completed")
    assert task["artifacts"][0]["parts"][0]["data"] == {"n": 1}
    again = (await ask(web, "tasks/get", {"id": task["id"]}))["result"]
    assert again["id"] == task["id"]
    assert (await ask(web, "tasks/cancel", {"id": task["id"]}))["error"]["code"] == -32002
    assert (await ask(web, "tasks/get", {"id": "x"}))["error"]["code"] == -32001


async def test_a_stream_tells_of_progress(web: Web) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "message/stream", "params": {"message": order("progress")}}
    events = await web.open("POST", HEADERS, msgspec.json.encode(body), "/a2a").rest()
    kinds = [event["result"]["kind"] for event in events]
    assert kinds == ["task", "status-update", "status-update", "artifact-update", "status-update"]
    assert events[-1]["result"]["final"] is True


async def test_rest_has_its_old_paths(web: Web) -> None:
    message: Json = {
        "messageId": "1",
        "role": "ROLE_USER",
        "content": [{"data": {"data": {"tool": "echo", "arguments": {"n": 1}}}}],
    }
    body = msgspec.json.encode({"message": message})
    answer = web.open("POST", HEADERS, body, "/a2a/default/rest/v1/message:send")
    said = msgspec.json.decode(await answer.body())
    assert (answer.status, said["task"]["status"]["state"]) == (200, "TASK_STATE_COMPLETED"), said


async def test_the_card_names_both_versions_and_newer_clients_are_served_as_before(web: Web) -> None:
    card = await web.open("GET", HEADERS, path="/.well-known/agent-card.json").json()
    versions = {(each["protocolBinding"], each["protocolVersion"]) for each in card["supportedInterfaces"]}
    assert versions == {(b, v) for b in ("JSONRPC", "HTTP+JSON") for v in ("1.0", "0.3")}
    assert (card["url"], card["preferredTransport"]) == ("http://localhost/a2a/default", "JSONRPC")
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {}})
    new = web.open("POST", {**HEADERS, "a2a-version": "1.0"}, body, "/a2a")
    assert (await new.json())["result"]["tasks"] == []
