from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

from portico._config.components import Component
from portico._host.lifecycle import FailedUpstream, running
from portico.api import (
    GATEWAY,
    UPSTREAM_UNAVAILABLE,
    Era,
    Exchange,
    Factory,
    Host,
    Ref,
    Refused,
    State,
    Store,
    Target,
)
from tests.kernel.doubles import jumping

Key = tuple[str, str]


@attrs.frozen
class Config:
    store: Ref[Store] | None = None


class Stage:
    """Components that leave a trail, and what was reported of them."""

    def __init__(self) -> None:
        self.trail: list[str] = []
        self.reports: list[tuple[str, str, str]] = []
        self.reported = asyncio.Event()
        self.components: dict[Key, Component] = {}
        self.crash = asyncio.Event()
        self.hosts: list[Key] = []

    def add(
        self,
        key: str,
        *,
        start: Exception | None = None,
        stop: Exception | None = None,
        hang: str = "",
        crash: Exception | None = None,
        gate: asyncio.Barrier | None = None,
        store: str | None = None,
    ) -> None:
        kind, name = key.split(".")

        @asynccontextmanager
        async def create(config: Any, host: Host) -> AsyncIterator[str]:
            self.trail.append(f"+{name}")
            if gate is not None:
                await gate.wait()
            if hang == "start":
                await asyncio.Event().wait()
            if start is not None:
                raise start
            async with anyio.create_task_group() as group:
                if crash is not None:
                    group.start_soon(self._crash, crash)
                try:
                    yield f"the {name}"
                finally:
                    self.trail.append(f"-{name}")
                    if hang == "stop":
                        await asyncio.Event().wait()
                    while hang == "forever" and not self.crash.is_set():
                        try:
                            await self.crash.wait()
                        except asyncio.CancelledError:
                            continue
                    if stop is not None:
                        raise stop

        config = Config(Ref(store) if store else None)
        factory: Factory[Any, Any] = Factory(name="test", summary="", config=Config, create=create)
        self.components[kind, name] = Component(kind, name, "test", config, factory, "p")

    async def _crash(self, error: Exception) -> None:
        await self.crash.wait()
        raise error

    def report(self, key: Key, phase: str, error: BaseException) -> None:
        self.reports.append((".".join(key), phase, f"{type(error).__name__}: {error}"))
        self.reported.set()

    def host(self, component: Component, live: Mapping[Key, Any]) -> Host:
        self.hosts.append(component.key)
        any_: Any = None
        return Host(
            component.name, component.kind, any_, any_, Path(), lambda ref: live["stores", ref.name], any_
        )

    def running(self, **limits: float) -> Any:
        return running(self.components, self.host, self.report, **limits)


async def test_components_start_in_order_and_stop_in_reverse() -> None:
    stage = Stage()
    for key in ("transports.t", "registries.r", "policies.p"):
        stage.add(key)
    async with stage.running() as crew:
        assert crew.live == {
            ("registries", "r"): "the r",
            ("policies", "p"): "the p",
            ("transports", "t"): "the t",
        }
        assert stage.trail == ["+r", "+p", "+t"]
    assert stage.trail[3:] == ["-t", "-p", "-r"]
    assert stage.reports == []


async def test_a_component_gets_at_what_it_refers_to() -> None:
    stage = Stage()
    seen: list[Any] = []
    stage.add("registries.r", store="s")
    stage.add("stores.s")

    @asynccontextmanager
    async def create(config: Config, host: Host) -> AsyncIterator[None]:
        assert config.store is not None
        seen.append(host.component(config.store))
        yield

    needy = stage.components["registries", "r"]
    stage.components["registries", "r"] = attrs.evolve(
        needy, factory=attrs.evolve(needy.factory, create=create)
    )
    async with stage.running():
        assert seen == ["the s"]


async def test_the_first_failure_is_the_one_raised_and_names_its_component() -> None:
    stage = Stage()
    stage.add("registries.r")
    stage.add("stores.s", stop=RuntimeError("also bad at stopping"))
    stage.add("caches.c", start=OSError("refused"))
    stage.add("transports.t")
    with pytest.raises(OSError, match="refused") as caught:
        async with stage.running():
            pytest.fail("ran")
    assert caught.value.__notes__ == ["while starting caches.c (use = 'test')"]
    assert stage.trail == ["+r", "+s", "+c", "-s", "-r"]
    [(where, phase, _)] = stage.reports
    assert (where, phase) == ("stores.s", "stop")


@jumping
async def test_a_start_that_takes_too_long_is_a_failure() -> None:
    stage = Stage()
    stage.add("registries.r", hang="start")
    with pytest.raises(TimeoutError, match=r"did not start within 0\.01 s") as caught:
        async with stage.running(start_timeout=0.01):
            pytest.fail("ran")
    assert caught.value.__notes__ == ["while starting registries.r (use = 'test')"]


async def test_upstreams_start_together() -> None:
    stage = Stage()
    gate = asyncio.Barrier(3)
    for name in "abc":
        stage.add(f"upstreams.{name}", gate=gate)
    async with asyncio.timeout(30), stage.running():
        assert sorted(stage.trail) == ["+a", "+b", "+c"]


@pytest.mark.parametrize("how", [{"start": ValueError("broken plugin")}, {"hang": "start"}])
@jumping
async def test_an_upstream_that_does_not_start_stops_nothing_else(how: dict[str, Any]) -> None:
    stage = Stage()
    stage.add("upstreams.bad", **how)
    stage.add("upstreams.good")
    stage.add("transports.t")
    async with stage.running(start_timeout=0.05) as crew:
        live = crew.live
        bad = live["upstreams", "bad"]
        assert isinstance(bad, FailedUpstream)
        assert (bad.state, bad.offer.tools) == (State.UNAVAILABLE, ())
        assert bad.reason in ("ValueError: broken plugin", "TimeoutError: did not start within 0.05 s")
        assert live["upstreams", "good"] == "the good"
        assert live["transports", "t"] == "the t"
    assert [report[:2] for report in stage.reports] == [("upstreams.bad", "start")]


async def test_an_upstream_that_did_not_start_refuses_calls() -> None:
    nobody: Any = None
    exchange = Exchange(
        id="7",
        method="tools/call",
        params={},
        principal=GATEWAY,
        server="default",
        era=Era.MODERN,
        version="2026-07-28",
        client=nobody,
        capabilities={},
        client_info=None,
        log_level=None,
        progress_token=None,
        headers={},
        deadline=0,
    )
    with pytest.raises(Refused, match="Upstream 'x' did not start") as caught:
        await FailedUpstream("x", "secret details").send(exchange, Target("x"))
    assert caught.value.code == UPSTREAM_UNAVAILABLE
    assert "secret details" not in str(caught.value.body())
    assert caught.value.data["gateway"]["upstream"] == "x"


async def test_a_crash_is_reported_and_ends_nothing_else() -> None:
    stage = Stage()
    stage.add("stores.s", crash=OSError("gone"))
    stage.add("transports.t")
    async with stage.running():
        stage.crash.set()
        await asyncio.wait_for(stage.reported.wait(), 30)
        [(where, phase, what)] = stage.reports
        assert (where, phase) == ("stores.s", "run")
        assert "ExceptionGroup" in what
        assert stage.trail == ["+s", "+t", "-s"]
    assert stage.trail == ["+s", "+t", "-s", "-t"]
    assert len(stage.reports) == 1


@jumping
async def test_a_stop_that_hangs_is_cancelled_and_the_rest_still_stops() -> None:
    stage = Stage()
    stage.add("registries.r")
    stage.add("transports.t", hang="stop")
    async with stage.running(stop_timeout=0.01):
        pass
    assert stage.trail == ["+r", "+t", "-t", "-r"]
    assert stage.reports == [("transports.t", "stop", "TimeoutError: did not stop within 0.01 s; cancelled")]


@jumping
async def test_a_stop_that_ignores_its_cancellation_is_abandoned() -> None:
    stage = Stage()
    stage.add("registries.r")
    stage.add("transports.t", hang="forever")
    async with stage.running(stop_timeout=0.01):
        pass
    assert [what for _, _, what in stage.reports] == [
        "TimeoutError: did not stop within 0.01 s; cancelled",
        "TimeoutError: did not stop within 0.01 s; abandoned",
    ]
    assert stage.trail[-1] == "-r"
    stage.crash.set()
    [left] = [task for task in asyncio.all_tasks() if task.get_name() == "transports.t"]
    await asyncio.wait([left])


@jumping
async def test_upstreams_stop_together() -> None:
    stage = Stage()
    for name in "abc":
        stage.add(f"upstreams.{name}", hang="stop")
    began = asyncio.get_running_loop().time()
    async with stage.running(stop_timeout=0.1):
        pass
    assert asyncio.get_running_loop().time() - began == pytest.approx(0.1, abs=0.05)
    assert len(stage.reports) == 3


async def test_an_error_of_the_body_stops_everything_and_is_raised() -> None:
    stage = Stage()
    stage.add("registries.r", stop=RuntimeError("bad at stopping"))
    with pytest.raises(KeyError, match="mine"):
        async with stage.running():
            raise KeyError("mine")
    assert stage.trail == ["+r", "-r"]
    assert [report[:2] for report in stage.reports] == [("registries.r", "stop")]


async def test_a_cancelled_start_ends_what_was_begun() -> None:
    stage = Stage()
    stage.add("registries.r")
    stage.add("stores.s", hang="start")

    async def compose() -> None:
        async with stage.running():
            pytest.fail("ran")

    task = asyncio.create_task(compose())
    while "+s" not in stage.trail:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 30)
    assert stage.trail == ["+r", "+s", "-r"]
    assert stage.reports == []


async def test_nothing_is_left_running() -> None:
    before = asyncio.all_tasks()
    stage = Stage()
    for key in ("registries.r", "upstreams.a", "upstreams.b", "transports.t"):
        stage.add(key)
    async with stage.running():
        assert len(asyncio.all_tasks() - before) == 4
    assert asyncio.all_tasks() == before


async def test_components_come_and_go_while_others_run() -> None:
    stage = Stage()
    for key in ("upstreams.a", "policies.p", "transports.t"):
        stage.add(key)
    async with stage.running() as crew:
        stage.add("upstreams.b")
        await crew.start([stage.components["upstreams", "b"]])
        assert crew.live["upstreams", "b"] == "the b"
        await crew.end(crew.take_out([("upstreams", "a")]))
        assert ("upstreams", "a") not in crew.live
        assert stage.trail == ["+a", "+p", "+t", "+b", "-a"]
    assert stage.trail[5:] == ["-t", "-p", "-b"]
