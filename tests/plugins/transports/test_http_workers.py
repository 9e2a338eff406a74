"""Two workers: a client reaches one, and what it names belongs to the other."""

from __future__ import annotations

import asyncio
import importlib.metadata
import tempfile
import tomllib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from portico._config.discovery import GROUP, discover
from portico._config.settings import Document, load
from portico._host.board import Board, Slot
from portico._host.forwarding.peers import Peers
from portico._host.gateway import started
from portico._host.places import Place
from portico.api import PROXIED, Challenge, Credentials, Json, Principal
from portico.testing import RecordingLog
from tests.plugins.transports import scripted
from tests.plugins.transports.kit import ALICE, BOB, TOKENS, YES, error_of, happened
from tests.plugins.transports.scripted import Scripted
from tests.plugins.transports.web import PATIENCE, Answer, Legacy, Web, frame

ASKABLE: Json = {"elicitation": {}}
KEY = bytes(32)


@attrs.frozen
class Worker:
    """One of the workers.

    Attributes:
        web: The way into it.
        peers: What the other has of it.
    """

    web: Web
    peers: Peers

    def die(self) -> None:
        """As far as the other can tell."""
        self.peers.abort()


@asynccontextmanager
async def worker(folder: Path, node: str, extra: str) -> AsyncIterator[Worker]:
    point = importlib.metadata.EntryPoint("scripted", scripted.__name__, GROUP)
    points = [*importlib.metadata.entry_points(group=GROUP), point]
    # However busy the machine is, an answer without frames before it is JSON.
    tables = tomllib.loads(
        f"[upstreams.one]\nuse = 'scripted'\n[transports.streamable_http]\nstream_after = 60.0\n{extra}"
    )
    settings = load(Document(tables), discover(entry_points=points))
    log = RecordingLog()
    board = Board()
    place = Place(node, folder, KEY, Slot(board, board.claim()))
    board.close()
    async with started(settings, log, place=place) as gateway:
        upstream = gateway.plane.upstreams["one"]
        assert isinstance(upstream, Scripted)
        peers = Peers(folder, node, gateway.directs, log)
        await peers.open()
        web = Web(gateway, upstream, log)
        try:
            yield Worker(web, peers)
        finally:
            await web.close()
            peers.abort()


@attrs.frozen
class Pair:
    """Two workers; `owner` has what is asked for, `other` is asked."""

    owner: Worker
    other: Worker

    def across(self, session: Legacy) -> Legacy:
        """The owner's session, as a client has it whose requests reach the other."""
        return at(session, self.other.web)

    @property
    def forwarded(self) -> list[Json]:
        """What the other has sent on."""
        lines = self.other.web.log.lines
        return [dict(line.facts) for line in lines if line.event == "session.forwarded"]


def at(session: Legacy, web: Web) -> Legacy:
    """The same session, as a client has it whose requests reach this worker."""
    copy = Legacy(web, session.id, "2025-11-25", {}, session.result)
    copy.headers = dict(session.headers)
    return copy


@asynccontextmanager
async def workers(extra: str = "") -> AsyncIterator[Pair]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        async with AsyncExitStack() as stack:
            made = [
                await stack.enter_async_context(worker(Path(folder), node, extra)) for node in ("aa", "bb")
            ]
            yield Pair(*made)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with workers() as made:
        yield made


# --- sessions ------------------------------------------------------------------------------------------


async def test_a_call_is_answered_by_the_worker_that_has_the_session(pair: Pair) -> None:
    session = pair.across(await pair.owner.web.session())
    body = await session.call("echo", {"n": 1}).json()
    assert body["result"]["structuredContent"] == {"n": 1}
    assert [name for name, _ in pair.owner.web.upstream.calls] == ["echo"]
    assert pair.other.web.upstream.calls == []
    assert pair.forwarded == [{"server": "default", "kind": "session", "http_method": "POST", "node": "aa"}]


@pytest.mark.parametrize("marks", [{}, {PROXIED: True}])
async def test_the_owner_knows_whether_the_request_came_through_a_proxy(
    pair: Pair, marks: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await pair.owner.web.session()
    endpoint = pair.owner.web.gateway.plane.endpoints["default"]
    seen: list[Credentials] = []
    recognise = endpoint.recognise

    def look(credentials: Credentials) -> Principal | Challenge | None:
        seen.append(credentials)
        return recognise(credentials)

    monkeypatch.setattr(endpoint, "recognise", look)
    ping = frame(1, "ping", {})
    assert await pair.other.web.open("POST", session.headers, ping, **marks).head() == 200
    assert [credentials.proxied for credentials in seen] == [bool(marks)]


async def test_big_results_keep_their_bytes(pair: Pair) -> None:
    session = pair.across(await pair.owner.web.session())
    assert scripted.BIG in await session.call("big").body()


async def test_many_calls_at_once_get_each_its_own_answer(pair: Pair) -> None:
    session = pair.across(await pair.owner.web.session())
    for _ in range(2):  # the second time over connections that are there already
        answers = [session.call("echo", {"n": n}, ident=n) for n in range(40)]
        bodies = [await each.json() for each in answers]
        assert [each["result"]["structuredContent"]["n"] for each in bodies] == list(range(40))
        assert [each["id"] for each in bodies] == list(range(40))


async def test_progress_comes_while_the_call_goes_on(pair: Pair) -> None:
    session = pair.across(await pair.owner.web.session())
    answer = session.call("gate", {"n": 2}, progressToken="t")
    assert [(await answer.message())["params"]["progress"] for _ in range(2)] == [0, 1]
    pair.owner.web.upstream.gate.set()
    assert (await answer.message())["result"]["structuredContent"] == {"n": 2}


async def test_a_question_is_answered_through_the_other_worker(pair: Pair) -> None:
    session = pair.across(await pair.owner.web.session(capabilities=ASKABLE))
    answer = session.call("elicit")
    question = await answer.message()
    reply = session.post({"jsonrpc": "2.0", "id": question["id"], "result": YES})
    assert await reply.head() == 202
    assert (await answer.rest())[-1]["result"]["structuredContent"] == YES


async def test_a_get_stream_is_the_owners_and_ends_with_the_session(pair: Pair) -> None:
    session = pair.across(await pair.owner.web.session())
    stream = session.get()
    assert await stream.head() == 200
    assert stream.headers["content-type"] == "text/event-stream"
    plane = pair.owner.web.gateway.plane
    await plane.announce("one", None, "notifications/message", {"level": "info", "data": "hello"})
    assert (await stream.message())["params"]["data"] == "hello"
    assert await session.delete().head() == 204
    assert await stream.rest() == []
    assert await session.call("echo").head() == 404


async def test_a_broken_stream_is_resumed_through_the_other_worker(pair: Pair) -> None:
    mine = await pair.owner.web.session()
    answer = mine.call("gate", {"n": 1}, progressToken="t")
    first = await answer.event()
    while not first.data:
        first = await answer.event()
    await answer.gone()
    resumed = pair.across(mine).get(last=first.id)
    assert await resumed.head() == 200
    pair.owner.web.upstream.gate.set()
    assert (await resumed.message())["result"]["structuredContent"] == {"n": 1}


async def test_a_get_client_that_leaves_is_noticed_by_the_owner(pair: Pair) -> None:
    session = pair.across(await pair.owner.web.session())
    stream = session.get()
    await stream.head()
    (held,) = pair.owner.web.sessions._sessions.values()
    assert not held.idle
    await stream.gone()
    async with asyncio.timeout(PATIENCE):
        while not held.idle:
            await asyncio.sleep(0)


async def test_a_cancellation_reaches_the_call(pair: Pair) -> None:
    session = pair.across(await pair.owner.web.session())
    session.call("hang", ident=7)
    await happened(pair.owner.web.upstream.begun)
    cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
    assert await session.post(cancel).head() == 202
    await happened(pair.owner.web.upstream.cancelled)


async def test_a_batch_goes_to_the_owner_too(pair: Pair) -> None:
    session = pair.across(await pair.owner.web.session("2025-03-26"))
    batch = [{"jsonrpc": "2.0", "id": n, "method": "ping"} for n in (1, 2)]
    body = await session.post(batch).json()
    assert sorted(each["id"] for each in body) == [1, 2]


async def test_a_slow_client_of_the_other_worker_holds_the_owner_back(pair: Pair) -> None:
    session = pair.across(await pair.owner.web.session())
    answer = session.call("flood", {"n": 20_000}, progressToken="t" * 200)
    answer.reading.clear()
    upstream = pair.owner.web.upstream
    await happened(upstream.begun)
    before = -1
    while upstream.sent != before:  # until nothing moves any more
        before = upstream.sent
        for _ in range(500):
            await asyncio.sleep(0)
    assert upstream.sent < 20_000
    answer.reading.set()
    *frames, last = await answer.rest()
    assert len(frames) == 20_000
    assert "result" in last


# --- who may, and what does not exist ----------------------------------------------------------------


async def test_another_principals_session_does_not_exist_anywhere() -> None:
    async with workers(TOKENS) as pair:
        mine = await pair.owner.web.session(headers=ALICE)
        theirs = pair.across(mine)
        theirs.headers["authorization"] = BOB["authorization"]
        assert await theirs.call("echo").head() == 404
        assert pair.forwarded == []
        own = pair.across(mine)
        assert (await own.call("echo").json())["result"]


async def test_a_session_of_a_worker_that_has_gone_does_not_exist(pair: Pair) -> None:
    session = pair.across(await pair.owner.web.session())
    assert (await session.call("echo").json())["result"]
    pair.owner.die()
    for answer in (session.call("echo"), session.get(), session.delete()):
        assert await error_of(answer) == (404, -32600)


async def test_an_invented_session_does_not_exist_and_is_not_forwarded(pair: Pair) -> None:
    session = pair.across(await pair.owner.web.session())
    session.headers["mcp-session-id"] = session.id[:-4] + "AAAA"
    assert await error_of(session.call("echo")) == (404, -32600)
    assert pair.forwarded == []


async def test_a_session_the_owner_has_forgotten_is_not_sent_back_and_forth(pair: Pair) -> None:
    session = pair.across(await pair.owner.web.session())
    pair.owner.web.sessions.close()
    assert await error_of(session.call("echo")) == (404, -32600)
    assert len(pair.forwarded) == 1
    assert "session.forwarded" not in pair.owner.web.log.events


async def test_a_handle_of_a_third_worker_is_not_forwarded_twice(pair: Pair) -> None:
    endpoint = pair.owner.web.gateway.plane.endpoints["default"]
    seal = endpoint.seal
    mine = await pair.owner.web.session()
    (held,) = pair.owner.web.sessions._sessions.values()
    # Sealed by the owner in the name of a worker that is the asked one: it would go round in circles.
    node, seal.node = seal.node, "bb"
    handle = seal.close("session", held.session.principal, "x", 60)
    seal.node = node
    session = at(mine, pair.owner.web)
    session.headers["mcp-session-id"] = handle
    assert await error_of(session.call("echo")) == (404, -32600)
    assert "session.forwarded" in pair.owner.web.log.events
    assert pair.forwarded == []


async def test_a_worker_that_dies_before_it_has_said_anything_takes_its_session_with_it(pair: Pair) -> None:
    answer = pair.across(await pair.owner.web.session()).call("hang")
    await happened(pair.owner.web.upstream.begun)
    pair.owner.die()
    assert await error_of(answer) == (404, -32600)


async def test_a_worker_that_dies_on_a_stream_ends_it_with_one_error(pair: Pair) -> None:
    session = pair.across(await pair.owner.web.session())
    answer = session.call("gate", {"n": 1}, ident=5, progressToken="t")
    await answer.message()
    pair.owner.die()
    (message,) = await answer.rest()
    assert message["id"] == 5
    assert message["error"]["code"] == -32603
    assert message["error"]["data"]["gateway"]["reason"] == "worker_gone"


# --- parked calls -------------------------------------------------------------------------------------


async def parked(web: Web, tool: str = "elicit", arguments: Json | None = None) -> Json:
    result: Json = (await web.call(tool, arguments, capabilities=ASKABLE).json())["result"]
    assert result["resultType"] == "input_required"
    return result


def retry(web: Web, result: Json, tool: str = "elicit", arguments: Json | None = None, **more: Any) -> Answer:
    (key,) = result["inputRequests"]
    answers = {"inputResponses": {key: YES}, "requestState": result["requestState"]}
    return web.call(tool, arguments, capabilities=ASKABLE, more=answers, **more)


async def test_a_retry_resumes_the_call_where_it_is_parked(pair: Pair) -> None:
    result = await parked(pair.owner.web)
    body = await retry(pair.other.web, result, ident="again").json()
    assert body["id"] == "again"
    assert body["result"]["structuredContent"] == YES
    assert len(pair.owner.web.upstream.calls) == 1
    assert pair.other.web.upstream.calls == []
    assert pair.forwarded == [{"server": "default", "kind": "parked", "http_method": "POST", "node": "aa"}]


async def test_a_second_round_and_its_progress_come_through_as_well(pair: Pair) -> None:
    first = await parked(pair.owner.web, "elicit_late")
    answer = retry(pair.other.web, first, "elicit_late", meta={"progressToken": "t"})
    progress, asked = await answer.rest()
    assert progress["method"] == "notifications/progress"
    body = await retry(pair.other.web, asked["result"], "elicit_late").json()
    assert body["result"]["structuredContent"] == {"first": YES, "second": YES}


async def test_a_retry_works_once_wherever_it_comes(pair: Pair) -> None:
    result = await parked(pair.owner.web)
    await retry(pair.other.web, result).json()
    assert await error_of(retry(pair.other.web, result)) == (400, -32602)
    assert await error_of(retry(pair.owner.web, result)) == (400, -32602)
    assert len(pair.owner.web.upstream.calls) == 1


async def test_a_client_that_leaves_after_its_retry_cancels_the_call(pair: Pair) -> None:
    answer = retry(pair.other.web, await parked(pair.owner.web, "elicit_hang"), "elicit_hang")
    await happened(pair.owner.web.upstream.begun)
    assert not pair.owner.web.upstream.cancelled.is_set()
    await answer.gone()
    await happened(pair.owner.web.upstream.cancelled)


async def test_a_worker_that_dies_after_a_retry_ends_its_stream_with_one_error(pair: Pair) -> None:
    result = await parked(pair.owner.web, "elicit_hang", {"n": 1})
    answer = retry(pair.other.web, result, "elicit_hang", {"n": 1}, meta={"progressToken": "t"}, ident=9)
    assert (await answer.message())["method"] == "notifications/progress"
    pair.owner.die()
    (message,) = await answer.rest()
    assert message["id"] == 9
    assert message["error"]["data"]["gateway"]["reason"] == "worker_gone"


async def test_a_call_parked_at_a_worker_that_has_gone_is_used_up(pair: Pair) -> None:
    result = await parked(pair.owner.web)
    pair.owner.die()
    assert await error_of(retry(pair.other.web, result)) == (400, -32602)
    assert pair.other.web.upstream.calls == []


async def test_the_state_of_an_upstream_is_good_at_any_worker(pair: Pair) -> None:
    result = await parked(pair.owner.web, "rounds")
    body = await retry(pair.other.web, result, "rounds").json()
    assert body["result"]["structuredContent"]["state"] == "state-1"
    assert [name for name, _ in pair.other.web.upstream.calls] == ["rounds"]
    assert pair.forwarded == []


async def test_a_request_for_a_server_the_owner_lacks_is_not_found(pair: Pair) -> None:
    session = pair.across(await pair.owner.web.session())
    pair.owner.peers._directs = {}
    assert await session.call("echo").head() == 404


async def test_what_is_wrong_with_a_request_is_said_before_it_is_forwarded(pair: Pair) -> None:
    session = pair.across(await pair.owner.web.session())
    wrong = {**session.headers, "content-type": "text/plain"}
    assert await pair.other.web.open("POST", wrong, b"{}").head() == 415
    assert pair.forwarded == []
