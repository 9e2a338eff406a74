"""The harness sees what it is there to see: each invariant can be breached, and then it says so."""

from __future__ import annotations

import sys
from typing import Any

import attrs
import pytest

from tests.faults import matrix
from tests.faults.client import Asked
from tests.faults.held import Census
from tests.faults.http1 import Json
from tests.faults.stage import stage
from tests.faults.tools import Channel, Tools
from tests.faults.verdicts import ANSWER, ONCE, OWN, Row, breaches, table

NOTHING = Census({"serve": 1}, {"socket": 3}, 0, 0, 1 << 20, 0, 0, 0)


def asked(*answers: Json, **more: Any) -> Asked:
    return Asked("c1-1", "legacy__echo", {"payload": "mine"}, 200, list(answers), **{"end": "whole", **more})


def result(text: str, ident: str = "c1-1") -> Json:
    return {"jsonrpc": "2.0", "id": ident, "result": {"content": [{"type": "text", "text": text}]}}


@pytest.mark.parametrize(
    "one",
    [
        asked(),
        asked(result("mine"), result("mine")),
        asked(result("mine", "c2-9")),
        asked(result("mine"), end="broken"),
        asked({"jsonrpc": "2.0", "id": "c1-1", "error": {"code": -32603, "message": "Internal error"}}),
    ],
    ids=["none", "two", "of another request", "cut short", "internal error"],
)
def test_anything_but_one_whole_explicable_answer_is_a_breach(one: Asked) -> None:
    assert matrix._answer(one, lossy=False, garbled=False, lies=False)
    assert matrix._answer(asked(result("mine")), lossy=False, garbled=False, lies=False) is None


def test_another_clients_payload_is_a_breach_even_where_bytes_are_corrupted() -> None:
    assert matrix._own(asked(result("theirs")), {"theirs"}, lies=True)
    assert matrix._own(asked(result("mi~e")), {"theirs"}, lies=True) is None
    assert matrix._own(asked(result("mi~e")), {"theirs"}, lies=False)
    stray = {"method": "notifications/progress", "params": {"progressToken": "c2-1", "message": "mine"}}
    assert matrix._own(asked(result("mine"), frames=[stray]), set(), lies=False)


def test_more_of_anything_than_before_is_a_leak() -> None:
    assert NOTHING.over(NOTHING) == []
    for name in ("children", "zombies", "calls", "parked", "sessions"):
        more: dict[str, Any] = {name: 1}
        assert attrs.evolve(NOTHING, **more).over(NOTHING) == [f"{name} 0->1"]
    assert attrs.evolve(NOTHING, fds={"socket": 4}).over(NOTHING) == ["fds 3->4 {'socket': 1}"]
    assert attrs.evolve(NOTHING, tasks={"serve": 1, "x": 1}).over(NOTHING) == ["tasks 1->2 {'x': 1}"]


def test_a_breach_is_in_the_table_and_in_the_list() -> None:
    row = Row("reset", "client", "legacy>modern", 3)
    row.check(ANSWER, None)
    row.check(OWN, "the wrong one")
    assert "ok" in table([row])
    assert "BREACH" in table([row])
    assert breaches([row]) == ["reset (client, legacy>modern, seed 3) own answer: the wrong one"]


@pytest.mark.skipif(sys.platform != "linux", reason="counts file descriptors in /proc")
async def test_an_upstream_that_mixes_up_payloads_and_counts_twice_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    last = "nobody's"

    async def mixed_up(tools: Tools, arguments: Json, channel: Channel) -> str:
        nonlocal last
        last, said = str(arguments["payload"]), last
        return said

    async def twice(tools: Tools, arguments: Json, channel: Channel) -> str:
        tools.journal.note("effect", arguments["token"])
        tools.journal.note("effect", arguments["token"])
        return str(arguments["token"])

    monkeypatch.setattr(Tools, "_echo", mixed_up)
    monkeypatch.setattr(Tools, "_count", twice)
    async with stage() as scene:
        assert not await scene.gateway.ready()
        rows = await matrix.cell(scene, "calm", "upstream", seed=1, clients=2, calls=6)
    assert any(row.checks[OWN] for row in rows)
    assert any(row.checks[ONCE] for row in rows)
    assert not any(row.checks[ANSWER] for row in rows)
