"""Two workers: a client is given a task by one, and asks the other how it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest

from portico.api import Exchange, Json, Result, Target
from tests.plugins.transports.test_http_workers import Pair, Worker, workers
from tests.plugins.transports.web import Answer, frame

EXTENSION = "io.modelcontextprotocol/tasks"
KNOWS: Json = {"extensions": {EXTENSION: {}}}
JSON = {"host": "localhost", "content-type": "application/json"}


def with_tasks(worker: Worker) -> list[str]:
    """Give a worker's upstream tasks; the methods that it is sent."""
    sent: list[str] = []
    upstream = worker.web.upstream

    async def send(exchange: Exchange, target: Target) -> Result:
        sent.append(exchange.method)
        if exchange.params.get("name") == "big":
            return Result(value={"content": []})
        state: Json = {"taskId": "own", "status": "working", "createdAt": "2026-07-28T00:00:00Z"}
        return Result(value={**state, **({"resultType": "task"} if exchange.method == "tools/call" else {})})

    upstream.send = send  # type: ignore[method-assign]
    capabilities = {**upstream.offer.capabilities, "extensions": {EXTENSION: {}}}
    upstream.offer = attrs.evolve(upstream.offer, capabilities=capabilities)
    worker.web.gateway.plane.offer_changed("one")
    return sent


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with workers("[transports.jsonrpc]\n") as made:
        yield made


async def both(pair: Pair) -> tuple[list[str], list[str]]:
    sent = with_tasks(pair.owner), with_tasks(pair.other)
    for worker in (pair.owner, pair.other):
        await worker.web.gateway.plane.looked()
    return sent


async def begun(pair: Pair) -> str:
    """A task of a modern client."""
    body = await pair.owner.web.call("echo", capabilities=KNOWS).json()
    assert body["result"]["resultType"] == "task"
    return str(body["result"]["taskId"])


def look(worker: Worker, ident: str) -> Answer:
    return worker.web.modern("tasks/get", {"taskId": ident}, capabilities=KNOWS)


async def test_the_worker_that_gave_a_task_out_is_asked_for_it(pair: Pair) -> None:
    owner, other = await both(pair)
    ident = await begun(pair)
    body = await look(pair.other, ident).json()
    assert (body["result"]["taskId"], body["result"]["status"]) == (ident, "working")
    assert (owner, other) == (["tools/call", "tasks/get"], [])
    assert [each["kind"] for each in pair.forwarded] == ["task"]


async def test_if_that_is_gone_another_does_what_it_can(pair: Pair) -> None:
    owner, other = await both(pair)
    ident = await begun(pair)
    pair.owner.die()
    assert (await look(pair.other, ident).json())["result"]["status"] == "working"
    assert (owner, other) == (["tools/call"], ["tasks/get"])


async def test_an_id_that_is_none_is_forwarded_to_nobody(pair: Pair) -> None:
    await both(pair)
    assert (await look(pair.other, "made-up").json())["error"]["code"] == -32602
    assert pair.forwarded == []


def rpc(worker: Worker, method: str, params: Json) -> Answer:
    return worker.web.open("POST", JSON, frame(7, method, params), "/rpc")


async def test_a_result_that_is_kept_by_one_worker_is_had_through_the_other(pair: Pair) -> None:
    await both(pair)
    call: Json = {"name": "big", "arguments": {}, "task": {}}
    body: Any = await rpc(pair.owner, "tools/call", call).json()
    ident = body["result"]["task"]["taskId"]
    body = await rpc(pair.other, "tasks/result", {"taskId": ident}).json()
    assert body["result"]["content"] == []
    pair.owner.die()
    body = await rpc(pair.other, "tasks/result", {"taskId": ident}).json()
    assert body["error"]["code"] == -32602
