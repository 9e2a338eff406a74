"""Two workers, and clients whose connection is not to the one that has their parked call."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import attrs
import pytest

from portico.api import META_CAPABILITIES, Json
from tests.plugins.transports.kit import ALICE, BOB, META, TOKENS, YES, call, cancelled, happened
from tests.plugins.transports.listening import listening
from tests.plugins.transports.test_http_workers import Pair, worker
from tests.plugins.transports.test_sse import opened
from tests.plugins.transports.test_task_workers import KNOWS, with_tasks
from tests.plugins.transports.test_websocket import hear
from tests.plugins.transports.web import Web, frame

Ways: Final = pytest.mark.parametrize("way", ["websocket", "sse"])
PRIVATE: Final = f"{TOKENS}\n[servers.default]\nauth = ['people']"


@attrs.frozen
class Client:
    """One open conversation."""

    say: Callable[[bytes], Awaitable[Any]]
    hear: Callable[[], Awaitable[Any]]

    async def ask(self, data: bytes) -> Any:
        await self.say(data)
        return await self.hear()


@attrs.frozen
class Both:
    """Two workers, one transport."""

    pair: Pair
    way: str
    stack: AsyncExitStack
    ports: dict[int, int] = attrs.field(factory=dict)

    async def connect(self, web: Web, headers: Json | None = None) -> Client:
        if self.way == "sse":
            session = await opened(web, headers, greet=False)
            return Client(session.say, session.stream.message)
        if id(web) not in self.ports:
            _, self.ports[id(web)] = await self.stack.enter_async_context(listening(web))
        port = self.ports[id(web)]
        http = await self.stack.enter_async_context(aiohttp.ClientSession())
        socket = await self.stack.enter_async_context(
            http.ws_connect(f"http://127.0.0.1:{port}/ws", headers=headers)
        )

        async def say(data: bytes) -> None:
            await socket.send_str(data.decode())

        async def listen() -> Any:
            return await hear(socket)

        return Client(say, listen)

    async def parked(
        self, tool: str = "elicit", headers: Json | None = None, arguments: Json | None = None
    ) -> Json:
        """What a call is answered that is parked at the owner."""
        client = await self.connect(self.pair.owner.web, headers)
        result: Json = (await client.ask(call(1, tool, arguments)))["result"]
        assert result["resultType"] == "input_required"
        return result

    async def other(self, headers: Json | None = None) -> Client:
        """The same client, back at the other worker."""
        return await self.connect(self.pair.other.web, headers)


@asynccontextmanager
async def both(way: str, more: str = "") -> AsyncIterator[Both]:
    extra = f"[transports.{way}]\n{more}"
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        async with (
            worker(Path(folder), "aa", extra) as owner,
            worker(Path(folder), "bb", extra) as other,
            AsyncExitStack() as stack,
        ):
            yield Both(Pair(owner, other), way, stack)


def retry(
    result: Json,
    ident: Any = "again",
    tool: str = "elicit",
    meta: Json | None = None,
    arguments: Json | None = None,
) -> bytes:
    (key,) = result["inputRequests"]
    more = {"inputResponses": {key: YES}, "requestState": result["requestState"]}
    return call(ident, tool, arguments, meta, more)


@Ways
async def test_a_retry_resumes_the_call_where_it_is_parked(way: str) -> None:
    async with both(way) as it:
        result = await it.parked()
        answer = await (await it.other()).ask(retry(result))
        assert answer["id"] == "again"
        assert answer["result"]["structuredContent"] == YES
        assert it.pair.other.web.upstream.calls == []
        assert len(it.pair.owner.web.upstream.calls) == 1
        kinds = [(each["kind"], each["node"]) for each in it.pair.forwarded]
        assert kinds == [("parked", "aa")]


async def test_a_retry_that_is_posted_to_the_worker_with_the_call_goes_by_the_one_with_the_stream() -> None:
    async with both("sse") as it:
        result = await it.parked()
        session = await opened(it.pair.other.web, greet=False)
        answer = await session.ask(retry(result), it.pair.owner.web)
        assert (answer["id"], answer["result"]["structuredContent"]) == ("again", YES)
        assert [each["kind"] for each in it.pair.forwarded] == ["parked"]
        assert it.pair.other.web.upstream.calls == []


@Ways
async def test_a_second_round_and_its_progress_come_through_as_well(way: str) -> None:
    async with both(way) as it:
        first = await it.parked("elicit_late")
        client = await it.other()
        progress = await client.ask(retry(first, 2, "elicit_late", {"progressToken": "t"}))
        assert progress["method"] == "notifications/progress"
        asked = await client.hear()
        answer = await client.ask(retry(asked["result"], 3, "elicit_late"))
        assert (answer["id"], answer["result"]["structuredContent"]) == (3, {"first": YES, "second": YES})


@Ways
async def test_a_retry_works_once_and_for_its_own_request_only(way: str) -> None:
    async with both(way) as it:
        result = await it.parked()
        client = await it.other()
        assert (await client.ask(retry(result, 1, "hang")))["error"]["code"] == -32602
        assert "result" in await client.ask(retry(result, 2))
        assert (await client.ask(retry(result, 3)))["error"]["code"] == -32602
        assert len(it.pair.owner.web.upstream.calls) == 1


@Ways
async def test_a_cancellation_reaches_the_owner_and_nothing_else_is_answered(way: str) -> None:
    async with both(way) as it:
        result = await it.parked("elicit_hang")
        client = await it.other()
        await client.say(retry(result, 7, "elicit_hang"))
        await happened(it.pair.owner.web.upstream.begun)
        assert (await client.ask(call(7, "echo")))["error"]["code"] == -32602  # it is in flight
        await client.say(cancelled(7))
        await happened(it.pair.owner.web.upstream.cancelled)
        assert (await client.ask(call(8, "echo")))["id"] == 8


@Ways
async def test_a_client_that_leaves_cancels_the_call(way: str) -> None:
    async with both(way) as it:
        result = await it.parked("elicit_hang")
        client = await it.other()
        await client.say(retry(result, 7, "elicit_hang"))
        await happened(it.pair.owner.web.upstream.begun)
        transport: Any = it.pair.other.web.gateway.transports[way]
        lines = transport.endpoints.apps["default"].lines
        (line,) = lines._lines.values()
        lines.gone(line)
        await happened(it.pair.owner.web.upstream.cancelled)


@Ways
async def test_a_worker_that_dies_ends_the_call_with_one_error(way: str) -> None:
    async with both(way) as it:
        result = await it.parked("elicit_hang", arguments={"n": 1})
        client = await it.other()
        again = retry(result, 7, "elicit_hang", {"progressToken": "t"}, {"n": 1})
        assert (await client.ask(again))["method"] == "notifications/progress"
        it.pair.owner.die()
        answer = await client.hear()
        assert answer["id"] == 7
        assert answer["error"]["data"]["gateway"]["reason"] == "worker_gone"
        assert (await client.ask(call(8, "echo")))["id"] == 8  # the conversation goes on


@Ways
async def test_a_call_parked_at_a_worker_that_has_gone_is_used_up(way: str) -> None:
    async with both(way) as it:
        result = await it.parked()
        it.pair.owner.die()
        answer = await (await it.other()).ask(retry(result))
        assert (answer["id"], answer["error"]["code"]) == ("again", -32602)
        assert it.pair.other.web.upstream.calls == []


@Ways
async def test_another_principals_call_is_not_found_anywhere(way: str) -> None:
    async with both(way, PRIVATE) as it:
        result = await it.parked(headers=ALICE)
        theirs = await it.other(BOB)
        assert (await theirs.ask(retry(result)))["error"]["code"] == -32602
        assert it.pair.forwarded == []
        mine = await it.other(ALICE)
        assert (await mine.ask(retry(result)))["result"]["structuredContent"] == YES


async def test_what_workers_pass_each_other_is_nothing_clients_can_ask_for() -> None:
    async with both("websocket") as it, it.stack:
        _, port = await it.stack.enter_async_context(listening(it.pair.owner.web))
        http = await it.stack.enter_async_context(aiohttp.ClientSession())
        body = call(1, "echo")
        for headers in ({}, {"portico.forwarded": "true"}):
            async with http.post(f"http://127.0.0.1:{port}/ws", data=body, headers=headers) as answer:
                assert answer.status == 405
        assert it.pair.owner.web.upstream.calls == []


async def test_a_message_without_a_session_is_not_found() -> None:
    async with both("sse") as it:
        lines = {"host": "localhost", "content-type": "application/json"}
        asked = it.pair.owner.web.open("POST", lines, call(1, "echo"), "/messages")
        assert await asked.head() == 404
        assert it.pair.owner.web.upstream.calls == []


@Ways
async def test_a_task_is_asked_for_at_the_worker_that_gave_it_out_and_here_when_that_is_gone(
    way: str,
) -> None:
    async with both(way) as made:
        owner, other = with_tasks(made.pair.owner), with_tasks(made.pair.other)
        for each in (made.pair.owner, made.pair.other):
            await each.web.gateway.plane.looked()
        client = await made.connect(made.pair.owner.web)
        task = (await client.ask(call(1, "echo", meta={META_CAPABILITIES: KNOWS})))["result"]["taskId"]
        client = await made.other()
        look = frame(2, "tasks/get", {"taskId": task, "_meta": META})
        assert (await client.ask(look))["result"]["status"] == "working"
        assert (owner, other) == (["tools/call", "tasks/get"], [])
        made.pair.owner.die()
        assert (await client.ask(frame(3, "tasks/get", {"taskId": task, "_meta": META})))["id"] == 3
        assert (owner, other) == (["tools/call", "tasks/get"], ["tasks/get"])
