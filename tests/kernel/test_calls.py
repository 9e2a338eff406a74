from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from portico._core.protocol.audience import admit, check_ask
from portico._core.protocol.jsonrpc import decode
from portico._core.protocol.legacy_call import LegacyCall
from portico._core.protocol.modern_call import Asking, Frames, ModernCall
from portico._core.protocol.stream import MAX_UNREAD, MAX_UNREAD_BYTES, Stream, Unread
from portico.api import (
    INTERNAL_ERROR,
    METHOD_NOT_FOUND,
    MISSING_CAPABILITY,
    SHUTTING_DOWN,
    UPSTREAM_TIMEOUT,
    Era,
    Exchange,
    Json,
    Refused,
    Result,
)
from portico.testing import make_exchange
from tests.kernel.doubles import LoopClock, frames_of, jumping, settle

Body = Callable[[Exchange], Awaitable[Result]]
FORM: Json = {"elicitation": {}}


class Faults:
    """Remembers what was reported as nobody's intention."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    def __call__(self, exchange: Exchange, error: BaseException) -> None:
        self.errors.append(error)


def modern(body: Body, faults: Faults | None = None, timeout: float = 60, **options: Any) -> ModernCall:
    exchange = make_exchange(clock=LoopClock(), timeout=timeout, **options)
    return ModernCall(exchange, body, faults or Faults())


class Asker:
    """A session that answers every question, and remembers which calls are over."""

    def __init__(self) -> None:
        self.over: list[LegacyCall] = []

    async def ask_on(self, method: str, params: Json, sink: Any) -> Json:
        return {"asked": method}

    def settled(self, call: LegacyCall) -> None:
        self.over.append(call)


def legacy(body: Body, sink: Any, asker: Asker | None = None, **options: Any) -> LegacyCall:
    exchange = make_exchange(clock=LoopClock(), era=Era.LEGACY, **options)
    return LegacyCall(exchange, body, Faults(), 1, sink, asker or Asker())


async def result_of(call: ModernCall) -> Result:
    turn = await call.turn(15)
    assert isinstance(turn, Result)
    return turn


async def refusal_of(call: ModernCall) -> Refused:
    turn = await call.turn(15)
    assert isinstance(turn, Refused)
    return turn


# --- what may be told ----------------------------------------------------------------------------------


def admitted(method: str, params: Json, era: Era = Era.MODERN, **options: Any) -> Json | None:
    return admit(make_exchange(era=era, **options), method, params)


@pytest.mark.parametrize("era", Era)
def test_progress_needs_the_clients_token_and_carries_that(era: Era) -> None:
    told = {"progressToken": "upstream's", "progress": 1}
    assert admitted("notifications/progress", told, era) is None
    assert admitted("notifications/progress", told, era, progress_token=0) == {
        "progressToken": 0,
        "progress": 1,
    }


@pytest.mark.parametrize(
    ("level", "passes"),
    [("debug", False), ("info", False), ("warning", True), ("emergency", True), ("odd", False)],
)
@pytest.mark.parametrize("era", Era)
def test_log_messages_pass_from_the_level_that_was_asked_for(era: Era, level: str, passes: bool) -> None:
    told = {"level": level, "data": "x"}
    assert admitted("notifications/message", told, era, log_level="warning") == (told if passes else None)


def test_without_a_level_a_modern_client_gets_no_log_messages_and_a_legacy_one_what_the_server_likes() -> (
    None
):
    told = {"level": "debug", "data": "x"}
    assert admitted("notifications/message", told) is None
    assert admitted("notifications/message", told, Era.LEGACY) == told


@pytest.mark.parametrize(
    "method", ["notifications/tools/list_changed", "notifications/resources/updated", "x/y"]
)
def test_a_modern_response_stream_carries_nothing_else(method: str) -> None:
    assert admitted(method, {}) is None
    assert admitted(method, {"a": 1}, Era.LEGACY) == {"a": 1}


# --- what may be asked ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capabilities", "method", "params"),
    [
        ({"elicitation": {}}, "elicitation/create", {}),
        ({"elicitation": {}}, "elicitation/create", {"mode": "form"}),
        ({"elicitation": {"form": {}}}, "elicitation/create", {}),
        ({"elicitation": {"url": {}}}, "elicitation/create", {"mode": "url"}),
        ({"elicitation": {"form": {}, "url": {}}}, "elicitation/create", {"mode": "url"}),
        ({"sampling": {}}, "sampling/createMessage", {}),
        ({"roots": {"listChanged": True}}, "roots/list", {}),
    ],
)
def test_a_client_may_be_asked_what_it_declared(capabilities: Json, method: str, params: Json) -> None:
    check_ask(capabilities, method, params)


@pytest.mark.parametrize(
    ("capabilities", "method", "params", "needed"),
    [
        ({}, "elicitation/create", {}, {"elicitation": {"form": {}}}),
        ({"elicitation": {}}, "elicitation/create", {"mode": "url"}, {"elicitation": {"url": {}}}),
        ({"elicitation": {"url": {}}}, "elicitation/create", {}, {"elicitation": {"form": {}}}),
        ({"elicitation": {"form": {}}}, "elicitation/create", {"mode": "url"}, {"elicitation": {"url": {}}}),
        ({}, "elicitation/create", {"mode": "url"}, {"elicitation": {"url": {}}}),
        ({"elicitation": True}, "elicitation/create", {}, {"elicitation": {"form": {}}}),
        ({"elicitation": {}}, "sampling/createMessage", {}, {"sampling": {}}),
        ({"roots": None}, "roots/list", {}, {"roots": {}}),
    ],
)
def test_a_capability_that_is_lacking_is_named(
    capabilities: Json, method: str, params: Json, needed: Json
) -> None:
    with pytest.raises(Refused) as caught:
        check_ask(capabilities, method, params)
    assert caught.value.code == MISSING_CAPABILITY
    assert caught.value.data == {"requiredCapabilities": needed}


def test_a_mode_that_is_nonsense_is_a_missing_capability() -> None:
    with pytest.raises(Refused) as caught:
        check_ask(FORM, "elicitation/create", {"mode": ["form"]})
    assert caught.value.code == MISSING_CAPABILITY


@pytest.mark.parametrize("method", ["tools/call", "ping", "tasks/get", ""])
def test_nobody_can_be_asked_anything_else(method: str) -> None:
    with pytest.raises(Refused) as caught:
        check_ask({"elicitation": {}, "sampling": {}, "roots": {}}, method, {})
    assert caught.value.code == METHOD_NOT_FOUND


# --- outcomes ------------------------------------------------------------------------------------------


@jumping
async def test_the_outcome_is_the_result() -> None:
    made = Result(value={"a": 1})

    async def body(exchange: Exchange) -> Result:
        return made

    assert await result_of(modern(body)) is made


@jumping
async def test_the_outcome_is_the_refusal() -> None:
    refused = Refused(40300, "no")

    async def body(exchange: Exchange) -> Result:
        raise refused

    assert await refusal_of(modern(body)) is refused


@jumping
async def test_a_fault_is_reported_and_the_client_learns_nothing_of_it() -> None:
    faults = Faults()

    async def body(exchange: Exchange) -> Result:
        raise KeyError("/secret/path")

    refusal = await refusal_of(modern(body, faults))
    assert refusal.code == INTERNAL_ERROR
    assert "secret" not in repr(refusal.body())
    assert refusal.data["gateway"]["request_id"] == "0123456789abcdef"
    assert [repr(error) for error in faults.errors] == ["KeyError('/secret/path')"]


async def forever(exchange: Exchange) -> Result:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


@jumping
async def test_the_deadline_answers_and_cancels() -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    call = modern(forever, timeout=2)
    refusal = await refusal_of(call)
    assert refusal.code == UPSTREAM_TIMEOUT
    assert refusal.data["gateway"] == {
        "reason": "upstream_timeout", "upstream": None, "request_id": "0123456789abcdef", "retryable": False,
    }  # fmt: skip
    assert loop.time() - before == pytest.approx(2, abs=0.1)
    assert call.task.done()


@jumping
async def test_a_call_that_is_cancelled_before_its_first_step_is_over_all_the_same() -> None:
    ran: list[int] = []

    async def body(exchange: Exchange) -> Result:
        ran.append(1)
        return Result(value={})

    call = modern(body)
    call.cancel()
    assert (await refusal_of(call)).code == INTERNAL_ERROR
    assert call.unwanted
    assert not ran


@jumping
async def test_a_call_that_is_over_is_garbage_without_a_collection() -> None:
    async def body(exchange: Exchange) -> Result:
        return Result(value={})

    async def refused(exchange: Exchange) -> Result:
        raise Refused(INTERNAL_ERROR, "no")

    for each in (body, refused):
        asker = Asker()
        calls = [modern(each), legacy(each, Stream(), asker)]
        await settle()
        asker.over.clear()
        assert all(call.outcome is not None for call in calls)
        last = [weakref.ref(call.exchange) for call in calls]
        gc.disable()
        try:
            calls.clear()
            assert [ref() for ref in last] == [None, None]
        finally:
            gc.enable()


@jumping
async def test_a_call_that_ends_in_time_leaves_no_timer_behind() -> None:
    async def body(exchange: Exchange) -> Result:
        return Result(value={})

    call = modern(body)
    await result_of(call)
    assert call._timer is None


@jumping
async def test_shutting_down_answers_with_that() -> None:
    call = modern(forever)
    await settle()
    call.shut_down()
    refusal = await refusal_of(call)
    assert refusal.code == SHUTTING_DOWN
    assert refusal.data["gateway"]["retryable"] is True


@jumping
async def test_a_cancelled_call_is_a_refusal_like_any_other() -> None:
    call = modern(forever)
    await settle()
    call.cancel()
    assert (await refusal_of(call)).code == INTERNAL_ERROR


@jumping
async def test_a_call_cancelled_before_it_began_never_runs() -> None:
    began: list[int] = []

    async def body(exchange: Exchange) -> Result:
        began.append(1)
        return Result(value={})

    call = modern(body)
    call.cancel()
    await call.turn(15)
    assert began == []


# --- frames --------------------------------------------------------------------------------------------


@jumping
async def test_frames_come_in_order_before_the_outcome() -> None:
    async def body(exchange: Exchange) -> Result:
        for number in range(3):
            await exchange.client.notify("notifications/progress", {"progress": number})
        return Result(value={})

    call = modern(body, progress_token="t")
    turn = await call.turn(15)
    assert isinstance(turn, Frames)
    assert [decode(frame)["params"] for frame in turn.frames] == [
        {"progress": number, "progressToken": "t"} for number in range(3)
    ]
    assert isinstance(await call.turn(15), Result)


@jumping
async def test_after_a_while_of_nothing_a_turn_has_no_frames() -> None:
    loop = asyncio.get_running_loop()
    call = modern(forever)
    before = loop.time()
    assert await call.turn(15) == Frames([])
    assert loop.time() - before == pytest.approx(15, abs=0.1)
    call.cancel()


@jumping
async def test_progress_that_comes_together_is_told_together_and_as_it_came() -> None:
    told: list[bool] = []

    async def body(exchange: Exchange) -> Result:
        told.extend(exchange.client.progress(b'{"progressToken": 5,"n":%d}' % n) for n in range(3))
        await settle()
        return Result(raw=b"{}")

    call = modern(body, progress_token=5)
    turn = await call.turn(15)
    assert isinstance(turn, Frames)
    head = b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken": 5,"n":'
    assert turn.frames == [head + b"%d}}" % n for n in range(3)]
    assert told == [True] * 3
    await result_of(call)


@pytest.mark.parametrize("era", Era)
@jumping
async def test_progress_is_not_taken_at_once_without_a_token_or_room(era: Era) -> None:
    told: list[bool] = []

    async def body(exchange: Exchange) -> Result:
        told.append(exchange.client.progress(b"{}"))
        exchange.progress_token = 5
        told.extend(exchange.client.progress(b"{}") for _ in range(MAX_UNREAD + 1))
        return Result(raw=b"{}")

    stream = Stream()
    stream.attach()
    call = modern(body) if era is Era.MODERN else legacy(body, stream)
    await call.task
    assert told == [False, *[True] * MAX_UNREAD, False]


@jumping
async def test_how_far_behind_a_client_may_be_can_be_said() -> None:
    told: list[bool] = []

    async def body(exchange: Exchange) -> Result:
        told.extend(exchange.client.progress(b"{}") for _ in range(3))
        return Result(raw=b"{}")

    call = modern(body, progress_token=5)
    call.unread = Unread(frames=2)
    await call.task
    assert told == [True, True, False]


@jumping
async def test_whoever_follows_a_call_has_its_turn_before_progress_has_to_wait() -> None:
    taken: list[bytes] = []

    async def body(exchange: Exchange) -> Result:
        assert all(exchange.client.progress(b"{}") for _ in range(3 * MAX_UNREAD))
        return Result(raw=b"{}")

    call = modern(body, progress_token=5)

    def follow() -> None:
        turn = call.next()
        if isinstance(turn, Frames):
            taken.extend(turn.frames)

    call.follow(follow)
    await call.task
    await settle()
    assert len(taken) == 3 * MAX_UNREAD


@jumping
async def test_a_call_waits_while_its_client_is_slow() -> None:
    sent: list[int] = []

    async def body(exchange: Exchange) -> Result:
        for number in range(MAX_UNREAD + 5):
            await exchange.client.notify("notifications/progress", {"progress": number})
            sent.append(number)
        return Result(value={})

    call = modern(body, progress_token=1)
    await settle()
    assert len(sent) == MAX_UNREAD
    first = await call.turn(15)
    second = await call.turn(15)
    assert isinstance(first, Frames)
    assert isinstance(second, Frames)
    assert (len(first.frames), len(second.frames)) == (MAX_UNREAD, 5)
    assert isinstance(await call.turn(15), Result)


@jumping
async def test_bytes_make_a_call_wait_too() -> None:
    sent: list[int] = []

    async def body(exchange: Exchange) -> Result:
        for number in range(3):
            await exchange.client.notify("notifications/progress", {"message": "x" * (MAX_UNREAD_BYTES + 1)})
            sent.append(number)
        return Result(value={})

    call = modern(body, progress_token=1)
    await settle()
    assert sent == [0]
    while not isinstance(await call.turn(15), Result):
        pass
    assert sent == [0, 1, 2]


@jumping
async def test_a_legacy_calls_frames_go_on_its_stream() -> None:
    async def body(exchange: Exchange) -> Result:
        await exchange.client.notify("notifications/progress", {"progress": 1})
        await exchange.client.notify("notifications/message", {"level": "debug"})
        return Result(value=await exchange.client.ask("roots/list", {}))

    sink = Stream()
    asker = Asker()
    call = legacy(body, sink, asker, progress_token=7, log_level="error", capabilities={"roots": {}})
    await asyncio.wait([call.task])
    await settle()
    assert [frame["params"] for frame in frames_of(sink)] == [{"progress": 1, "progressToken": 7}]
    assert isinstance(call.outcome, Result)
    assert call.outcome.value == {"asked": "roots/list"}
    assert asker.over == [call]


@jumping
async def test_a_legacy_client_is_not_asked_what_it_did_not_declare() -> None:
    async def body(exchange: Exchange) -> Result:
        return Result(value=await exchange.client.ask("roots/list", {}))

    call = legacy(body, Stream())
    await asyncio.wait([call.task])
    outcome = call.outcome
    assert isinstance(outcome, Refused)
    assert outcome.code == MISSING_CAPABILITY


@jumping
async def test_only_a_stream_can_send_its_client_away() -> None:
    class Pipe:
        attached = True

        def push(self, frame: bytes) -> None: ...

        async def put(self, frame: bytes) -> None: ...

        def end(self, last: bytes | None = None) -> None: ...

    stream = Stream()
    legacy(forever, stream).poll(700)
    assert stream.retry == 700
    legacy(forever, Pipe()).poll(700)
    modern(forever).poll(700)


@jumping
async def test_without_waiting_there_is_the_next_thing_or_nothing() -> None:
    gate = asyncio.Event()

    async def body(exchange: Exchange) -> Result:
        await exchange.client.notify("notifications/progress", {"progress": 1})
        await gate.wait()
        return Result(value={})

    woken: list[int] = []
    call = modern(body, progress_token=1)
    call.follow(lambda: woken.append(1))
    assert call.next() is None
    await settle()
    assert woken == [1]
    assert call.next(hold=True) is None
    assert isinstance(call.next(), Frames)
    assert call.next() is None
    gate.set()
    await settle()
    assert woken == [1, 1]
    assert isinstance(call.next(), Result)


@jumping
async def test_a_follower_is_called_again_when_what_it_waits_for_is_ready() -> None:
    woken: list[int] = []
    call = modern(forever)
    call.follow(lambda: woken.append(1))
    room = asyncio.Event()

    async def ready() -> None:
        await room.wait()

    call.follow_after(ready())
    await settle()
    assert woken == []
    room.set()
    await settle()
    assert woken == [1]
    call.follow(None)
    call.cancel()
    await settle()
    assert woken == [1]


# --- questions -----------------------------------------------------------------------------------------


async def ask_two(exchange: Exchange) -> Result:
    one, two = await asyncio.gather(
        exchange.client.ask("elicitation/create", {"message": "one"}),
        exchange.client.ask("elicitation/create", {"message": "two"}),
    )
    return Result(value={"one": one, "two": two})


async def asked_by(call: ModernCall) -> Json:
    turn = await call.turn(15)
    assert isinstance(turn, Asking)
    return turn.requests


@jumping
async def test_questions_asked_together_are_put_together() -> None:
    call = modern(ask_two, capabilities=FORM)
    requests = await asked_by(call)
    assert [request["params"]["message"] for request in requests.values()] == ["one", "two"]
    call.resume(call.exchange, {key: {"to": key} for key in requests})
    one, two = requests
    assert (await result_of(call)).value == {"one": {"to": one}, "two": {"to": two}}


@jumping
async def test_only_questions_without_an_answer_are_put_again() -> None:
    call = modern(ask_two, capabilities=FORM)
    one, two = await asked_by(call)
    call.resume(call.exchange, {one: {"n": 1}, "made-up": {"n": 9}})
    assert list(await asked_by(call)) == [two]
    call.resume(call.exchange, {one: {"n": 5}, two: "no object"})
    assert list(await asked_by(call)) == [two]
    call.resume(call.exchange, {two: {"n": 2}})
    assert (await result_of(call)).value == {"one": {"n": 1}, "two": {"n": 2}}


@jumping
async def test_ids_and_tasks_of_other_eras_are_taken_out_of_a_question() -> None:
    async def body(exchange: Exchange) -> Result:
        params = {"mode": "url", "url": "https://x.example/", "elicitationId": "1", "task": {}, "_meta": {}}
        return Result(value=await exchange.client.ask("elicitation/create", params))

    call = modern(body, capabilities={"elicitation": {"url": {}}})
    (request,) = (await asked_by(call)).values()
    assert request == {"method": "elicitation/create", "params": {"mode": "url", "url": "https://x.example/"}}
    call.cancel()


@jumping
async def test_frames_are_dropped_while_the_client_is_being_asked_and_flow_again_after() -> None:
    parked = asyncio.Event()

    async def body(exchange: Exchange) -> Result:
        asking = asyncio.ensure_future(exchange.client.ask("elicitation/create", {}))
        await parked.wait()
        await exchange.client.notify("notifications/progress", {"progress": 1})
        await asking
        await exchange.client.notify("notifications/progress", {"progress": 2})
        return Result(value={})

    call = modern(body, capabilities=FORM, progress_token="old")
    (key,) = await asked_by(call)
    parked.set()
    await settle()
    retry = make_exchange(clock=LoopClock(), progress_token="new", capabilities=FORM)
    call.resume(retry, {key: {}})
    turn = await call.turn(15)
    assert isinstance(turn, Frames)
    assert [decode(frame)["params"] for frame in turn.frames] == [{"progress": 2, "progressToken": "new"}]
    await result_of(call)


@jumping
async def test_a_retry_brings_its_own_deadline_level_headers_and_capabilities() -> None:
    async def body(exchange: Exchange) -> Result:
        await exchange.client.ask("elicitation/create", {})
        await exchange.client.ask("roots/list", {})
        return Result(value={})

    call = modern(body, capabilities=FORM, timeout=5)
    (key,) = await asked_by(call)
    call.disarm()
    retry = make_exchange(
        clock=LoopClock(), timeout=100, capabilities={"roots": {}}, log_level="info", headers={"x": "1"}
    )
    call.resume(retry, {key: {}})
    (request,) = (await asked_by(call)).values()
    assert request["method"] == "roots/list"
    assert (call.exchange.deadline, call.exchange.log_level) == (retry.deadline, "info")
    assert call.exchange.headers == {"x": "1"}
    before = asyncio.get_running_loop().time()
    assert await call.turn(200) != Frames([])
    assert asyncio.get_running_loop().time() - before == pytest.approx(100, abs=0.1)


@jumping
async def test_a_question_the_upstream_takes_back_is_not_put_again() -> None:
    asking: list[asyncio.Task[Json]] = []

    async def body(exchange: Exchange) -> Result:
        asking.append(asyncio.ensure_future(exchange.client.ask("elicitation/create", {})))
        await asyncio.wait(asking)
        return Result(value={"cancelled": asking[0].cancelled()})

    call = modern(body, capabilities=FORM)
    await asked_by(call)
    asking[0].cancel()
    await settle()
    call.resume(call.exchange, {})
    assert (await result_of(call)).value == {"cancelled": True}


@jumping
async def test_an_abandoned_call_is_cancelled_at_its_question() -> None:
    ended: list[str] = []

    async def body(exchange: Exchange) -> Result:
        try:
            return Result(value=await exchange.client.ask("elicitation/create", {}))
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    call = modern(body, capabilities=FORM)
    await asked_by(call)
    call.abandon()
    await settle()
    assert ended == ["cancelled"]
