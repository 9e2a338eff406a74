"""The failure table for A2A: what HTTP servers do to calls, played to agents that answer, and that stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from portico.api import UPSTREAM_BAD_RESPONSE, UPSTREAM_TIMEOUT, UPSTREAM_UNAVAILABLE, Json, Refused
from portico.testing import RunningGateway, running_gateway
from tests.plugins.upstreams.misbehaving import Asked, Line, Server, answer, eventually, http_api, serving
from tests.plugins.upstreams.test_failures import FINE, MESSAGES, ROWS, full, moved

BAD, LATE, AWAY = UPSTREAM_BAD_RESPONSE, UPSTREAM_TIMEOUT, UPSTREAM_UNAVAILABLE
REASONS = {"bad_json": "malformed_message"}
DONE: Json = {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_COMPLETED"}}


@attrs.define(eq=False)
class Bad:
    """A gateway with an agent that fails and an upstream that does not."""

    gateway: RunningGateway
    bad: Server
    fine: Server

    async def call(self) -> Json:
        return await self.gateway.call("op", {"message": "x"})

    async def well(self) -> None:
        assert (await self.gateway.call("fine"))["structuredContent"] == {"ok": True}

    async def refused(self) -> Refused:
        """How a call fails; the other upstream is called meanwhile and afterwards."""
        names = await self.gateway.names()
        assert sorted(names) == ["fine", "op"]
        call = asyncio.create_task(self.call())
        await self.well()
        with pytest.raises(Refused) as caught:
            async with asyncio.timeout(90):
                await call
        await self.well()
        assert await self.gateway.names() == names
        return caught.value

    def judged(self, refused: Refused, code: int, reason: str) -> None:
        """It is what the table says, and tells nothing that is nobody's business."""
        about = refused.data["gateway"]
        assert (refused.code, about["reason"].partition(" ")[0]) == (code, reason)
        assert refused.message == MESSAGES[code]
        assert about["upstream"] == "bad"
        assert about["request_id"]
        said = json.dumps(refused.data) + refused.message
        for secret in ("127.0.0.1", str(self.bad.port), "canary", "Traceback"):
            assert secret not in said

    async def settled(self, before: set[asyncio.Task[Any]]) -> None:
        """No connection is left on which the agent misbehaves, and no task that was not there before."""
        async with asyncio.timeout(60):
            while self.bad.failing:
                await asyncio.sleep(0)
            while left := asyncio.all_tasks() - before - self.bad.tasks - self.fine.tasks:
                await asyncio.wait(left, timeout=1)


@asynccontextmanager
async def world(streaming: bool, folder: Path, **config: Any) -> AsyncIterator[Bad]:
    """A gateway in front of both."""

    def found(asked: Asked) -> bytes:
        if asked.http == "GET":
            skills = [{"id": each, "name": each, "description": each, "tags": []} for each in ("op", "other")]
            interface = {"url": f"{bad.origin}/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
            card = {"name": "a", "supportedInterfaces": [interface], "skills": skills}
            return answer({**card, "capabilities": {"streaming": streaming}})
        result = {"jsonrpc": "2.0", "id": asked.body["id"], "result": {"task": DONE}}
        if asked.body["method"] == "SendStreamingMessage":
            return answer(b"data: " + json.dumps(result).encode() + b"\n\n", "text/event-stream")
        return answer(result)

    bad = Server(found, lambda asked: str(asked.body.get("method", "")).startswith("Send"))
    async with serving(bad), serving(Server(http_api, lambda _: False)) as fine:
        keys = {
            "url": bad.origin,
            "skills": ["op"],
            "max_response_bytes": 4096,
            "call_timeout": 60.0,
        } | config
        lines = [f"{name} = {json.dumps(value)}" for name, value in keys.items()]
        said = "\n".join(["[upstreams.bad]", 'use = "a2a"', *lines, FINE.format(fine.origin)])
        async with running_gateway(said, base=folder) as gateway:
            yield Bad(gateway, bad, fine)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("row", ROWS)
async def test_an_agent_that_fails_fails_its_own_call_only(row: str, streaming: bool, tmp_path: Path) -> None:
    failure, code, reason, _ = ROWS[row]
    async with world(streaming, tmp_path, call_timeout=0.5 if code == LATE else 60.0) as at:
        await eventually(at.call)
        before = asyncio.all_tasks() - at.bad.tasks - at.fine.tasks
        at.bad.failure = failure
        refused = await at.refused()
        at.bad.failure = None
        at.judged(refused, code, REASONS.get(reason, reason))
        await at.settled(before)
        await eventually(at.call)


@pytest.mark.parametrize("streaming", [False, True])
async def test_an_agent_that_is_gone_is_missed_only_where_it_was(streaming: bool, tmp_path: Path) -> None:
    async with world(streaming, tmp_path) as at:
        await eventually(at.call)
        before = asyncio.all_tasks() - at.bad.tasks - at.fine.tasks
        await at.bad.stop()
        at.judged(await at.refused(), AWAY, "connection_refused")
        await at.bad.start()
        await at.settled(before)
        await eventually(at.call)


async def test_a_connection_that_does_not_come_about_is_given_up(tmp_path: Path) -> None:
    async with full() as port:
        where = {"url": f"http://127.0.0.1:{port}", "connect_timeout": 0.2, "start_grace": 0}
        async with world(False, tmp_path, **where) as at:
            async with asyncio.timeout(60):
                late = {"connect_timeout", "card_timeout"}
                while at.gateway.gateway.plane.status()["bad"]["reason"] not in late:
                    await asyncio.sleep(0)
            assert await at.gateway.names() == ["fine"]
            await at.well()


async def test_a_redirect_opens_no_connection(tmp_path: Path) -> None:
    async with world(False, tmp_path) as at, serving(Server(http_api, lambda _: False)) as trap:
        at.bad.failure = moved(f"{trap.origin}/x")
        at.judged(await at.refused(), BAD, "redirect")
        assert trap.accepted == 0


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ("17", "malformed_message"),
        ('"text"', "malformed_message"),
        ("null", "malformed_message"),
        ('{"task": 17}', "malformed_message"),
        ("{}", "empty_event"),
        ('{"task": {}}', "task_without_id"),
    ],
)
async def test_a_result_that_is_none_is_an_answer_of_no_use(result: str, reason: str, tmp_path: Path) -> None:
    async with world(False, tmp_path) as at:

        async def failure(line: Line) -> None:
            said = b'{"jsonrpc":"2.0","id":"x","result":%b}' % result.encode()
            await line.say(answer(said))

        at.bad.failure = failure
        at.judged(await at.refused(), BAD, reason)


async def test_an_agent_that_is_silent_is_left_and_so_is_its_task(tmp_path: Path) -> None:
    async with world(True, tmp_path, call_timeout=1.0) as at:
        await eventually(at.call)

        async def failure(line: Line) -> None:
            begun = {"jsonrpc": "2.0", "id": "x", "result": {"task": {**DONE, "status": {}}}}
            event = b"data: " + json.dumps(begun).encode() + b"\n\n"
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
            await line.say(head + event)
            await line.hang()

        cancelled = asyncio.Event()
        really = at.bad.answers

        def noting(asked: Asked) -> bytes:
            if asked.body.get("method") == "CancelTask":
                cancelled.set()
            return really(asked)

        at.bad.failure, at.bad.answers = failure, noting
        async with asyncio.timeout(90):
            while not cancelled.is_set():  # on a busy machine it may have been too late to begin
                at.judged(await at.refused(), LATE, "call_timeout")
