"""Upstreams that take their time: nobody waits for them, and those before them serve."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from portico.api import Author, Change, Management
from portico.testing import RunningGateway, running_gateway
from tests.kernel import gated, kept
from tests.kernel.test_roster import management, tools, until

ALICE = Author("alice", "api")


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


@asynccontextmanager
async def managed(name: str) -> AsyncIterator[tuple[RunningGateway, Management, gated.Gate]]:
    gate = gated.GATES.setdefault(name, gated.Gate())
    config = f'[registries.main]\nuse = "kept"\nshelf = "{name}"\n'
    with tempfile.TemporaryDirectory() as folder:
        async with running_gateway(config, plugins=[kept, gated], base=Path(folder)) as running:
            yield running, management(running), gate


def upstream(gate: str, name: str, tool: str) -> Change:
    return Change("upstreams", name, {"use": "gated", "gate": gate, "tool": tool})


def state(mgmt: Management, name: str) -> str:
    found = mgmt.get("upstreams", name)
    assert found is not None
    return found.state


async def test_an_upstream_that_takes_long_holds_up_no_other_change(name: str) -> None:
    async with managed(name) as (gw, mgmt, gate):
        await gate.let("quick")
        async with asyncio.timeout(30):  # the slow one would take for ever
            await mgmt.change([upstream(name, "a", "slow")], ALICE)
            await mgmt.change([upstream(name, "b", "quick")], ALICE)
        assert await tools(gw) == ["quick"]
        assert (state(mgmt, "a"), state(mgmt, "b")) == ("starting", "ready")
        await gate.let("slow")
        await until(gw, ["slow", "quick"])
        assert state(mgmt, "a") == "ready"


async def test_the_one_before_serves_until_the_new_one_has_started(name: str) -> None:
    async with managed(name) as (gw, mgmt, gate):
        await gate.let("old")
        await mgmt.change([upstream(name, "a", "old")], ALICE)
        await mgmt.change([upstream(name, "a", "new")], ALICE)
        assert gate.begun == ["old", "new"]
        answer = await gw.request("tools/call", {"name": "old", "arguments": {}})
        assert answer["content"][0]["text"] == "old"
        await gate.let("new")
        await until(gw, ["new"])
        async with asyncio.timeout(30):
            while gate.ended != ["old"]:
                await asyncio.sleep(0)


async def test_one_that_is_wanted_in_another_way_before_it_has_come_never_comes(name: str) -> None:
    async with managed(name) as (gw, mgmt, gate):
        await gate.let("third")
        await mgmt.change([upstream(name, "a", "first")], ALICE)
        await mgmt.change([upstream(name, "a", "second")], ALICE)
        await mgmt.change([upstream(name, "a", "third")], ALICE)
        await gate.let("*")
        await until(gw, ["third"])
        assert sorted(gate.ended) == ["first", "second"]
        await mgmt.change([Change("upstreams", "a", None)], ALICE)
        assert await tools(gw) == []


async def test_one_that_is_removed_before_it_has_come_never_comes(name: str) -> None:
    async with managed(name) as (gw, mgmt, gate):
        await mgmt.change([upstream(name, "a", "first")], ALICE)
        await mgmt.change([Change("upstreams", "a", None)], ALICE)
        async with asyncio.timeout(30):
            while gate.ended != ["first"]:
                await asyncio.sleep(0)
        await gate.let("*")
        await mgmt.change([upstream(name, "b", "other")], ALICE)
        assert await tools(gw) == ["other"]
        assert mgmt.get("upstreams", "a") is None


async def test_of_very_many_only_some_begin_together_and_slow_ones_keep_none_back(
    name: str,
) -> None:
    async with managed(name) as (gw, mgmt, gate):
        many = [upstream(name, f"u{number:03d}", f"t{number:03d}") for number in range(100)]
        adding = asyncio.create_task(mgmt.change(many, ALICE))
        await gate.until(64)
        assert len(gate.begun) == 64
        await gate.until(100)  # though none of the first has started
        await adding
        await gate.let("*")
        await until(gw, [f"t{number:03d}" for number in range(100)])


async def test_a_gateway_that_stops_ends_those_that_have_not_come(name: str) -> None:
    async with managed(name) as (_, mgmt, gate):
        await mgmt.change([upstream(name, "a", "first")], ALICE)
    assert gate.ended == ["first"]
