from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import portico_clock
import portico_confirm
import pytest

from portico.api import ConfigError, Exchange, Host, Ref, Refused
from portico.testing import (
    FakeClock,
    RecordingClient,
    RecordingLog,
    make_exchange,
    make_host,
    running_gateway,
)


def test_the_pytest_plugin_loads_nothing_of_the_kit() -> None:
    code = "import portico.testing.pytest_plugin, sys; print('portico.testing.doubles' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_fake_clock_moves_only_when_told() -> None:
    clock = FakeClock(10)
    assert (clock.monotonic(), clock.time()) == (10, 10)
    clock.advance(2.5)
    assert clock.monotonic() == 12.5
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)


def test_the_fixtures_share_one_clock(
    portico_clock: FakeClock, portico_host: Callable[..., Host], portico_exchange: Callable[..., Exchange]
) -> None:
    portico_clock.advance(5)
    assert portico_host(kind="policies").clock is portico_clock
    assert portico_exchange(timeout=1).deadline == portico_clock.monotonic() + 1


def test_a_host_finds_the_components_it_is_given() -> None:
    store = object()
    assert make_host(components={"main": store}).component(Ref("main")) is store
    with pytest.raises(LookupError, match="'other'"):
        make_host().component(Ref("other"))


def test_a_log_remembers_events_and_facts() -> None:
    log = RecordingLog()
    log.info("started", port=1)
    assert log.events == ["started"]
    assert log.lines[0].facts == {"port": 1}


async def test_a_client_answers_what_it_has_answers_for() -> None:
    async def later(params: dict[str, object]) -> dict[str, object]:
        return {"echo": params}

    client = RecordingClient(
        {"roots/list": {"roots": []}, "sampling/createMessage": later, "x": Refused(1, "no")}
    )
    assert await client.ask("roots/list", {}) == {"roots": []}
    assert await client.ask("sampling/createMessage", {"a": 1}) == {"echo": {"a": 1}}
    for method in ("x", "elicitation/create"):
        with pytest.raises(Refused):
            await client.ask(method, {})
    assert [method for method, _ in client.asked][-1] == "elicitation/create"


async def test_an_exchange_has_a_client_that_remembers() -> None:
    exchange = make_exchange()
    await exchange.client.notify("notifications/progress", {"progress": 1})
    assert isinstance(exchange.client, RecordingClient)
    assert exchange.client.told == [("notifications/progress", {"progress": 1})]


PLUGINS: list[ModuleType] = [portico_clock, portico_confirm]
CONFIG = """
[upstreams.time]
use = "clock"

[policies.confirm]
tools = ["now"]

[servers.default]
policies = ["confirm"]
"""


@pytest.mark.parametrize(("action", "allowed"), [("accept", True), ("decline", False)])
async def test_a_running_gateway_answers_and_asks(action: str, allowed: bool) -> None:
    async with running_gateway(CONFIG, plugins=PLUGINS) as gateway:
        assert await gateway.names() == ["now"]
        answers = {"elicitation/create": {"action": action, "content": {}}}
        if allowed:
            assert (await gateway.call("now", answers=answers))["content"]
        else:
            with pytest.raises(Refused, match="did not agree"):
                await gateway.call("now", answers=answers)
        assert "call" in gateway.log.events


async def test_a_running_gateway_says_what_a_client_that_cannot_be_asked_hears() -> None:
    async with running_gateway(CONFIG, plugins=PLUGINS) as gateway:
        with pytest.raises(Refused) as refusal:
            await gateway.call("now")
    assert refusal.value.code == -32021


async def test_a_running_gateway_reports_every_problem_of_its_config(tmp_path: Path) -> None:
    text = '[gateway]\nlistne = []\n[upstreams.a]\nuse = "nothing"\n'
    with pytest.raises(ConfigError) as error:
        async with running_gateway(text, base=tmp_path):
            pass
    assert [path for path, _ in error.value.problems] == ["gateway.listne", "upstreams.a.use"]
