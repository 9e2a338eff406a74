from __future__ import annotations

from typing import Any

import pytest

from portico._core.requests.pipeline import Pipeline
from portico.api import GATEWAY, Era, Exchange, Json, Next, Refused, Result


class Recorder:
    """A client that keeps what it is sent."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, Json]] = []

    async def notify(self, method: str, params: Json) -> None:
        self.frames.append((method, params))

    def progress(self, params: bytes) -> bool:
        self.frames.append(("progress", {"params": params}))
        return True

    async def ask(self, method: str, params: Json) -> Json:
        return {"asked": method}

    def poll(self, retry_ms: int) -> None:
        self.frames.append(("poll", {"ms": retry_ms}))


def exchange(method: str = "tools/call") -> Exchange:
    return Exchange(
        id="1",
        method=method,
        params={},
        principal=GATEWAY,
        server="default",
        era=Era.MODERN,
        version="2026-07-28",
        client=Recorder(),
        capabilities={},
        client_info=None,
        log_level=None,
        progress_token=None,
        headers={},
        deadline=0,
    )


class Tracer:
    def __init__(self, name: str, trail: list[str], methods: frozenset[str] | None = None) -> None:
        self.name, self.trail = name, trail
        if methods is not None:
            self.methods = methods

    async def __call__(self, exchange: Exchange, call_next: Next) -> Result:
        self.trail.append(f">{self.name}")
        try:
            return await call_next(exchange)
        finally:
            self.trail.append(f"<{self.name}")


async def router(exchange: Exchange) -> Result:
    await exchange.client.notify("notifications/progress", {"text": "half"})
    return Result(value={"ok": True})


async def test_policies_stand_around_the_router_in_config_order() -> None:
    trail: list[str] = []
    pipeline = Pipeline([("a", Tracer("a", trail)), ("b", Tracer("b", trail))], router)
    result = await pipeline.chain("tools/call")(exchange())
    assert result.value == {"ok": True}
    assert trail == [">a", ">b", "<b", "<a"]


async def test_a_method_no_policy_claims_goes_straight_to_the_router() -> None:
    pipeline = Pipeline([("a", Tracer("a", [], frozenset({"tools/call"})))], router)
    assert pipeline.chain("tools/list") is router
    assert pipeline.chain("tools/call") is not router
    assert Pipeline([], router).chain("anything") is router


async def test_a_policy_sees_only_the_methods_it_claims() -> None:
    trail: list[str] = []
    narrow = Tracer("narrow", trail, frozenset({"tools/call"}))
    pipeline = Pipeline([("wide", Tracer("wide", trail)), ("narrow", narrow)], router)
    await pipeline.chain("tools/list")(exchange("tools/list"))
    assert trail == [">wide", "<wide"]
    await pipeline.chain("tools/call")(exchange())
    assert trail[2:] == [">wide", ">narrow", "<narrow", "<wide"]


def test_methods_clients_make_up_compile_nothing_new() -> None:
    pipeline = Pipeline([("a", Tracer("a", []))], router)
    assert pipeline.chain("x/1") is pipeline.chain("x/2")


async def test_a_policy_can_answer_by_itself() -> None:
    async def cached(exchange: Exchange, call_next: Next) -> Result:
        return Result(value={"from": "cache"})

    async def unreachable(exchange: Exchange) -> Result:
        raise AssertionError

    result = await Pipeline([("cache", cached)], unreachable).chain("tools/call")(exchange())
    assert result.value == {"from": "cache"}


async def test_a_policy_can_try_again() -> None:
    calls: list[int] = []

    async def retry(exchange: Exchange, call_next: Next) -> Result:
        try:
            return await call_next(exchange)
        except OSError:
            return await call_next(exchange)

    async def flaky(exchange: Exchange) -> Result:
        calls.append(1)
        if len(calls) == 1:
            raise OSError("reset")
        return Result(value={})

    await Pipeline([("retry", retry)], flaky).chain("tools/call")(exchange())
    assert len(calls) == 2


async def test_a_refusal_passes_outwards_without_blame() -> None:
    async def guard(exchange: Exchange, call_next: Next) -> Result:
        raise Refused(40300, "no")

    with pytest.raises(Refused) as caught:
        await Pipeline([("a", Tracer("a", [])), ("guard", guard)], router).chain("tools/call")(exchange())
    assert not hasattr(caught.value, "__notes__")


async def test_an_error_names_the_policy_that_raised_it_and_no_other() -> None:
    async def buggy(exchange: Exchange, call_next: Next) -> Result:
        raise KeyError("oops")

    chain = Pipeline([("outer", Tracer("o", [])), ("buggy", buggy), ("inner", Tracer("i", []))], router)
    with pytest.raises(KeyError) as caught:
        await chain.chain("tools/call")(exchange())
    assert caught.value.__notes__ == ["in policy 'buggy'"]


async def test_a_router_error_is_not_blamed_on_a_policy() -> None:
    async def broken(exchange: Exchange) -> Result:
        raise KeyError("oops")

    with pytest.raises(KeyError) as caught:
        await Pipeline([("a", Tracer("a", []))], broken).chain("tools/call")(exchange())
    assert caught.value.__notes__ == ["behind the policies"]


class Tap(Tracer):
    def __init__(self, name: str, trail: list[str], **change: Any) -> None:
        super().__init__(name, trail)
        self.change = change

    def tap(self, exchange: Exchange, method: str, params: Json) -> Json | None:
        self.trail.append(f"tap {self.name} {params['text']}")
        return {**params, **self.change} if self.change else None


async def test_taps_see_frames_from_the_inside_out_and_may_change_them() -> None:
    trail: list[str] = []
    pipeline = Pipeline([("a", Tap("a", trail, text="A")), ("b", Tap("b", trail, text="B"))], router)
    one = exchange()
    client = one.client
    assert isinstance(client, Recorder)
    await pipeline.chain("tools/call")(one)
    assert [entry for entry in trail if entry.startswith("tap")] == ["tap b half", "tap a B"]
    assert client.frames == [("notifications/progress", {"text": "A"})]
    assert one.client is client


async def test_a_tap_can_drop_a_frame() -> None:
    one = exchange()
    client = one.client
    assert isinstance(client, Recorder)
    await Pipeline([("drop", Tap("drop", []))], router).chain("tools/call")(one)
    assert client.frames == []


async def test_no_progress_passes_a_tapped_client_unseen() -> None:
    took: list[bool] = []

    async def quick(exchange: Exchange) -> Result:
        took.append(exchange.client.progress(b"{}"))
        return Result(value={})

    await Pipeline([("a", Tap("a", []))], quick).chain("tools/call")(exchange())
    await Pipeline([("a", Tracer("a", []))], quick).chain("tools/call")(exchange())
    assert took == [False, True]


async def test_questions_and_polls_pass_a_tapped_client_untouched() -> None:
    one = exchange()
    client = one.client
    assert isinstance(client, Recorder)

    async def asking(exchange: Exchange) -> Result:
        exchange.client.poll(5)
        return Result(value=await exchange.client.ask("roots/list", {}))

    result = await Pipeline([("t", Tap("t", []))], asking).chain("tools/call")(one)
    assert result.value == {"asked": "roots/list"}
    assert client.frames == [("poll", {"ms": 5})]


async def test_an_error_in_a_tap_names_its_policy() -> None:
    class Bad(Tracer):
        def tap(self, exchange: Exchange, method: str, params: Json) -> Json | None:
            raise ValueError("bad")

    with pytest.raises(ValueError, match="bad") as caught:
        await Pipeline([("bad", Bad("bad", []))], router).chain("tools/call")(exchange())
    assert caught.value.__notes__ == ["in the tap of policy 'bad'"]


def test_methods_given_as_one_string_are_a_mistake() -> None:
    policy = Tracer("a", [])
    policy.methods = "tools/call"  # type: ignore[assignment]
    with pytest.raises(TypeError, match="policy 'a': methods must be a frozenset"):
        Pipeline([("a", policy)], router)


class Doorman(Tracer):
    """A policy that only admits."""

    def __init__(self, name: str, trail: list[str], refuse: Exception | None = None) -> None:
        super().__init__(name, trail)
        self.refuse = refuse

    def admit(self, exchange: Exchange) -> None:
        self.trail.append(f"admit {self.name}")
        if self.refuse:
            raise self.refuse


async def test_policies_that_only_admit_are_asked_in_order_and_leave_no_frame() -> None:
    trail: list[str] = []
    pipeline = Pipeline([("a", Doorman("a", trail)), ("b", Doorman("b", trail))], router)
    coroutine = pipeline.chain("tools/call")(exchange())
    assert trail == ["admit a", "admit b"]
    assert getattr(coroutine, "cr_code", None) is router.__code__
    assert (await coroutine).value == {"ok": True}


async def test_a_policy_that_only_admits_keeps_its_place_among_others() -> None:
    trail: list[str] = []
    policies = [("a", Doorman("a", trail)), ("b", Tracer("b", trail)), ("c", Doorman("c", trail))]
    await Pipeline(policies, router).chain("tools/call")(exchange())
    assert trail == ["admit a", ">b", ">c", "<c", "<b"]


@pytest.mark.parametrize("error", [Refused(42900, "slow down"), KeyError("oops")])
async def test_what_does_not_admit_ends_the_exchange_and_an_error_names_it(error: Exception) -> None:
    trail: list[str] = []
    policies = [("a", Doorman("a", trail, error)), ("b", Doorman("b", trail))]
    with pytest.raises(type(error)) as caught:
        await Pipeline(policies, router).chain("tools/call")(exchange())
    assert trail == ["admit a"]
    notes = getattr(caught.value, "__notes__", [])
    assert notes == ([] if isinstance(error, Refused) else ["in policy 'a'"])


def test_an_admit_that_would_have_to_be_awaited_is_a_mistake() -> None:
    class Late(Tracer):
        async def admit(self, exchange: Exchange) -> None:
            raise Refused(40300, "no")

    with pytest.raises(TypeError, match="policy 'late': admit must not be async"):
        Pipeline([("late", Late("late", []))], router)
