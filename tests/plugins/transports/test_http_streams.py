"""Legacy event streams: GET, priming, resumption, and what a disconnect is (nothing)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from portico.api import GATEWAY, Json
from tests.plugins.transports.kit import YES, happened
from tests.plugins.transports.web import Legacy, Web, gateway

ASKABLE: Json = {"elicitation": {}}


async def watching(web: Web) -> Legacy:
    """A session that has subscribed to a resource."""
    session = await web.session()
    assert "result" in await session.request("resources/subscribe", {"uri": "test://one"}).json()
    return session


def update(web: Web, number: int = 0) -> None:
    web.upstream.wiring.resource_updated("one", GATEWAY, {"uri": "test://one", "n": number})


async def numbers(stream: Any, count: int) -> list[int]:
    return [(await stream.message())["params"]["n"] for _ in range(count)]


# --- priming --------------------------------------------------------------------------------------


async def test_a_stream_begins_with_an_id_and_when_to_come_back() -> None:
    async with gateway("retry = 1234\nstream_after = 0.01") as web:
        session = await web.session()
        for stream in (session.get(), session.call("gate")):
            first = await stream.event()
            assert (first.data, first.retry) == ("", 1234)
            assert first.id
        web.upstream.gate.set()


@pytest.mark.parametrize("version", ["2025-06-18", "2025-03-26", "2024-11-05"])
async def test_an_older_client_gets_no_empty_event_on_its_calls_stream(web: Web, version: str) -> None:
    # Their SSE readers decode every event as a message.
    session = await web.session(version)
    answer = session.call("gate")
    await answer.head()
    web.upstream.gate.set()
    event = await answer.event()
    assert "result" in event.data


async def test_every_event_has_an_id_of_its_own(web: Web) -> None:
    session = await web.session()
    streams = [session.call("progress", {"n": 3}, ident=i, progressToken="t") for i in range(2)]
    ids = []
    for stream in streams:
        ids += [(await stream.event()).id for _ in range(5)]
    assert len(set(ids)) == len(ids) == 10


async def test_silence_becomes_comments() -> None:
    async with gateway("keep_alive = 0.01") as web:
        session = await web.session()
        stream = session.get()
        await stream.event()
        await stream.until(lambda: b": keep-alive\n\n: keep-alive\n\n" in stream._data)


# --- GET ------------------------------------------------------------------------------------------


async def test_updates_and_changes_come_on_the_get_stream(web: Web) -> None:
    session = await watching(web)
    stream = session.get()
    assert await stream.head() == 200
    update(web, 1)
    web.upstream.wiring.offer_changed("one", ["tools"])
    assert (await stream.message())["params"] == {"uri": "test://one", "n": 1}
    assert (await stream.message())["method"] == "notifications/tools/list_changed"


async def test_after_unsubscribing_no_update_comes(web: Web) -> None:
    session = await watching(web)
    stream = session.get()
    assert await stream.head() == 200
    assert "result" in await session.request("resources/unsubscribe", {"uri": "test://one"}).json()
    update(web)
    web.upstream.wiring.offer_changed("one", ["prompts"])
    assert (await stream.message())["method"] == "notifications/prompts/list_changed"


async def test_an_update_goes_to_no_session_that_did_not_subscribe(web: Web) -> None:
    other = (await web.session()).get()
    mine = (await watching(web)).get()
    assert await other.head() == await mine.head() == 200
    update(web, 1)
    assert await numbers(mine, 1) == [1]
    web.upstream.wiring.offer_changed("one", ["tools"])
    assert (await other.message())["method"] == "notifications/tools/list_changed"


async def test_a_second_get_stream_is_an_extra_one_that_gets_nothing(web: Web) -> None:
    session = await watching(web)
    first = session.get()
    assert await first.head() == 200
    second = session.get()
    assert await second.head() == 200
    for number in range(3):
        update(web, number)
    assert await numbers(first, 3) == [0, 1, 2]
    assert await session.delete().head() == 204
    assert await second.rest() == []


async def test_when_the_first_stream_has_gone_the_next_one_is_told(web: Web) -> None:
    session = await watching(web)
    first = session.get()
    assert await first.head() == 200
    await first.gone()
    second = session.get()
    assert await second.head() == 200
    update(web, 7)
    assert await numbers(second, 1) == [7]


async def test_when_the_told_stream_goes_one_beside_it_is_told(web: Web) -> None:
    # A client whose connection broke comes back before the gateway has noticed.
    session = await watching(web)
    first = session.get()
    assert await first.head() == 200
    second = session.get()
    assert await second.head() == 200
    await first.gone()
    update(web, 8)
    assert await numbers(second, 1) == [8]


async def test_many_reconnects_do_not_pile_up(web: Web) -> None:
    session = await web.session()
    for _ in range(50):
        stream = session.get()
        assert await stream.head() == 200
        await stream.gone()
    (held,) = web.sessions._sessions.values()
    assert len(held.streams) <= 10


async def test_a_get_needs_to_accept_event_streams(web: Web) -> None:
    session = await web.session()
    answer = web.open("GET", {**session.headers, "accept": "application/json"})
    assert await answer.head() == 406


async def test_an_unrelated_question_goes_to_the_get_stream(web: Web) -> None:
    session = await web.session(capabilities=ASKABLE)
    stream = session.get()
    assert await stream.head() == 200
    (principal,) = {s.principal for s in web.gateway.plane.endpoints["default"].sessions}
    asking = asyncio.create_task(
        web.upstream.wiring.ask_unrelated("one", principal, "elicitation/create", {"message": "?"})
    )
    question = await stream.message()
    await session.post({"jsonrpc": "2.0", "id": question["id"], "result": YES}).head()
    assert await asking == YES


# --- disconnecting is not cancelling --------------------------------------------------------------


async def test_leaving_does_not_cancel_a_call(web: Web) -> None:
    session = await web.session()
    answer = session.call("gate")
    first = await answer.event()
    await answer.gone()
    assert web.gateway.plane.load.calls
    web.upstream.gate.set()
    resumed = session.get(first.id)
    (result,) = await resumed.rest()
    assert result["id"] == 1
    assert result["result"]["structuredContent"] == {}


async def test_leaving_before_the_head_does_not_cancel_a_call() -> None:
    async with gateway("stream_after = 5.0") as web:
        session = await web.session()
        answer = session.call("gate", {"n": 1}, progressToken=1)
        await happened(web.upstream.begun)
        answer.leave()
        web.upstream.gate.set()
        await answer.over()
        assert not web.upstream.cancelled.is_set()
        assert [name for name, _ in web.upstream.calls] == ["gate"]


async def test_what_a_call_yields_meanwhile_waits_for_the_client(web: Web) -> None:
    session = await web.session()
    answer = session.call("gate", {"n": 3}, progressToken="t")
    events = [await answer.event() for _ in range(3)]
    await answer.gone()
    web.upstream.gate.set()
    resumed = session.get(events[1].id)
    messages = await resumed.rest()
    assert [m["params"]["progress"] for m in messages[:-1]] == [1, 2]
    assert "result" in messages[-1]


async def test_a_question_put_meanwhile_waits_for_the_client(web: Web) -> None:
    session = await web.session(capabilities=ASKABLE)
    answer = session.call("elicit")
    first = await answer.event()
    await answer.gone()
    resumed = session.get(first.id)
    question = await resumed.message()
    assert question["method"] == "elicitation/create"
    await session.post({"jsonrpc": "2.0", "id": question["id"], "result": YES}).head()
    (result,) = await resumed.rest()
    assert result["result"]["structuredContent"] == YES


async def test_a_call_nobody_listens_to_is_not_held_up(web: Web) -> None:
    session = await web.session()
    answer = session.call("flood", {"n": 2000}, progressToken="t")
    first = await answer.event()
    await answer.gone()
    await happened(web.upstream.begun)
    resumed = session.get(first.id)
    messages = await resumed.rest()
    assert "result" in messages[-1]
    assert web.upstream.sent == 2000


async def test_a_stream_can_be_resumed_twice(web: Web) -> None:
    session = await web.session()
    answer = session.call("progress", {"n": 2}, progressToken="t")
    first = await answer.event()
    whole = await answer.rest()
    for _ in range(2):
        assert await session.get(first.id).rest() == whole


async def test_a_get_stream_is_resumed_where_it_broke_off(web: Web) -> None:
    session = await watching(web)
    stream = session.get()
    await stream.event()
    update(web, 1)
    seen = await stream.event()
    await stream.gone()
    update(web, 2)
    update(web, 3)
    resumed = session.get(seen.id)
    assert await resumed.head() == 200
    update(web, 4)
    assert await numbers(resumed, 3) == [2, 3, 4]


@pytest.mark.parametrize(
    "last", ["", "nope", "1", "-1", "1--1", "99-1", "1-99999999999999999999", "1-x", "1-²"]
)
async def test_an_event_id_that_is_none_opens_a_new_stream(web: Web, last: str | None) -> None:
    session = await watching(web)
    stream = session.get(last)
    assert await stream.head() == 200
    update(web, 5)
    assert await numbers(stream, 1) == [5]


async def test_an_event_id_of_another_session_gets_nothing_of_it(web: Web) -> None:
    mine, other = await web.session(), await watching(web)
    answer = mine.call("progress", {"n": 2}, progressToken="mine")
    first = await answer.event()
    await answer.rest()
    stream = other.get(first.id)
    assert await stream.head() == 200
    update(web, 6)
    assert await numbers(stream, 1) == [6]


async def test_an_event_id_beyond_the_end_gets_what_comes_after(web: Web) -> None:
    session = await web.session()
    answer = session.call("gate", {"n": 1}, progressToken="t")
    event = await answer.event()
    ident = event.id.rpartition("-")[0]
    await answer.gone()
    resumed = session.get(f"{ident}-900")
    assert await resumed.head() == 200
    web.upstream.gate.set()
    assert await resumed.rest() == []


async def test_a_client_sent_away_comes_back_for_its_answer() -> None:
    async with gateway("stream_after = 5.0") as web:
        session = await web.session()
        answer = session.call("poll", {"ms": 77})
        events = [await answer.event() for _ in range(2)]
        assert events[1].retry == 77
        await answer.over()
        web.upstream.gate.set()
        (result,) = await session.get(events[0].id).rest()
        assert result["id"] == 1


async def test_a_get_client_that_does_not_read_costs_a_bounded_amount(web: Web) -> None:
    session = await watching(web)
    stream = session.get()
    await stream.event()
    stream.reading.clear()
    for number in range(5000):
        update(web, number)
    (held,) = web.sessions._sessions.values()
    assert len(held.session.outlet._events) <= 2048


async def test_a_call_whose_client_does_not_read_is_held_up(web: Web) -> None:
    session = await web.session()
    answer = session.call("flood", {"n": 2000}, progressToken="t")
    answer.reading.clear()
    await happened(web.upstream.begun)
    stalled = -1
    while stalled != web.upstream.sent:
        stalled = web.upstream.sent
        for _ in range(50):
            await asyncio.sleep(0)
    assert stalled < 2000
    answer.reading.set()
    assert len(await answer.rest()) == 2001


async def test_a_call_whose_reader_stalled_and_left_goes_on(web: Web) -> None:
    session = await web.session()
    answer = session.call("flood", {"n": 2000}, progressToken="t")
    first = await answer.event()
    answer.reading.clear()
    await happened(web.upstream.begun)
    answer.leave()
    answer.reading.set()
    await answer.over()
    assert "result" in (await session.get(first.id).rest())[-1]
