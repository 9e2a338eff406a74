"""Work is refused while the event loop is late or memory is short: when it begins, when it ends."""

from __future__ import annotations

import asyncio
import http.client
import json
from pathlib import Path

import pytest

from portico._core.requests.load import Load
from portico._host.strain import Strain, strain_of
from portico._host.system import memory_limit
from portico.api import Refused
from portico.testing import RecordingLog
from tests.kernel.doubles import ALICE, LoopClock, StubUpstream, World, composed, modern_params, offer
from tests.kernel.staff import PATIENCE, Client, config, staff

MIB = 1 << 20


class Watched:
    """A process whose lag and memory a test decides on."""

    def __init__(self, max_lag: float = 1.0, max_memory: int = 0) -> None:
        self.load = Load(10)
        self.log = RecordingLog()
        self.used: int | None = 0
        self.strain = Strain(
            self.load,
            LoopClock(),
            self.log,
            max_lag=max_lag,
            max_memory=max_memory,
            memory=lambda: self.used,
        )

    def look(self, *lags: float) -> list[str]:
        """What is refused for after each look."""
        seen = []
        for lag in lags:
            self.strain.look(lag)
            seen.append(self.load.strain)
        return seen


# --- the event loop --------------------------------------------------------------------------------------


def test_a_loop_that_is_late_twice_in_a_row_refuses() -> None:
    it = Watched()
    assert it.look(0.1, 1.5, 0.2, 1.5, 1.0, 1.5) == [""] * 6
    assert it.look(1.1) == ["loop_lag"]
    assert it.load.lag == 1.1


def test_it_accepts_again_only_when_it_has_been_well_below_for_a_while() -> None:
    it = Watched()
    it.look(2, 2)
    assert set(it.look(0.1, 0.1, 0.1, 0.1, 0.9, 0.1, 0.1, 0.1, 2.0, 0.1, 0.1, 0.1, 0.1)) == {"loop_lag"}
    assert it.look(0.1) == [""]
    assert it.look(2) == [""]


def test_entering_and_leaving_are_logged_once_each() -> None:
    it = Watched()
    it.look(2, 2, 2, 2)
    with pytest.raises(Refused):
        raise it.load.refusal("loop_lag")
    it.look(0, 0, 0, 0, 0, 0, 0)
    assert it.log.events == ["load.refusing", "load.accepting"]
    assert it.log.lines[0].facts == {"reason": "loop_lag", "lag": 2, "memory": None}
    assert it.log.lines[1].facts == {"after": "loop_lag", "refused": 1}


def test_without_a_limit_any_lag_will_do() -> None:
    assert set(Watched(max_lag=0).look(100, 100, 100)) == {""}


async def test_lag_is_measured_against_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Watched()
    turns: list[float] = []
    times = iter([5.0, 5.1, 5.1, 7.6, 7.6, 7.7])
    strain = Strain(
        it.load,
        type("Clock", (), {"monotonic": lambda self: next(times)})(),
        it.log,
        max_lag=1.0,
        max_memory=0,
        memory=lambda: 0,
        turned=lambda: turns.append(it.load.lag),
    )
    strain.start()
    async with asyncio.timeout(30):
        while len(turns) < 3:
            await asyncio.sleep(0)
    strain.stop()
    # What was late shows when the loop has turned: 2.4 s after the look at 5.1 was due.
    assert turns == [0.0, 0.0, 0.0]
    assert it.load.lag == pytest.approx(2.4)


# --- memory ----------------------------------------------------------------------------------------------


def test_too_much_memory_refuses_at_once_and_until_there_is_clearly_less() -> None:
    it = Watched(max_memory=100 * MIB)
    it.used = 100 * MIB
    assert it.look(0) == [""]
    it.used = 101 * MIB
    assert it.look(0) == ["memory"]
    it.used = 96 * MIB
    assert set(it.look(*[0] * 20)) == {"memory"}
    it.used = 95 * MIB
    assert it.look(0, 0, 0, 0, 0) == ["memory"] * 4 + [""]


def test_a_system_that_does_not_tell_memory_refuses_nothing() -> None:
    it = Watched(max_memory=1)
    it.used = None
    assert it.look(0, 0) == ["", ""]


@pytest.mark.parametrize(
    ("groups", "files", "limit"),
    [
        ("0::/a/b\n", {"a/memory.max": "1000", "a/b/memory.max": "max"}, 1000),
        ("0::/a/b\n", {"a/memory.max": "1000", "a/b/memory.max": "900"}, 900),
        ("0::/\n", {"memory.max": "max"}, None),
        ("0::/../../x\n", {"memory.max": "2000"}, 2000),
        ("4:cpu,memory:/docker/x\n0::/\n", {"memory/memory.limit_in_bytes": "3000"}, 3000),
        ("4:memory:/x\n", {"memory/x/memory.limit_in_bytes": "9223372036854771712"}, None),
        ("0::/a\n", {}, None),
        (None, {}, None),
    ],
)
def test_the_limit_of_a_container_is_found(
    tmp_path: Path, groups: str | None, files: dict[str, str], limit: int | None
) -> None:
    processes, root = tmp_path / "cgroup", tmp_path / "groups"
    if groups is not None:
        processes.write_text(groups)
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    assert memory_limit(processes, root) == limit


def test_by_default_workers_share_nine_tenths_of_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portico._host.strain.memory_limit", lambda: 1000)

    def most(**gateway: int) -> int:
        made = composed({}, **gateway).gateway
        return strain_of(made, Load(1), LoopClock(), RecordingLog(), None)._max_memory

    assert (most(), most(workers=3), most(max_memory=77), most(max_memory=0)) == (900, 300, 77, 0)
    monkeypatch.setattr("portico._host.strain.memory_limit", lambda: None)
    assert most(workers=2) == 0


# --- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["loop_lag", "memory"])
async def test_an_exchange_is_refused_before_it_begins(reason: str) -> None:
    up = StubUpstream(offer("t"))
    world = World({"a": up})
    world.load.strain = reason
    with pytest.raises(Refused) as caught:
        world.endpoint.modern_exchange("tools/call", modern_params({"name": "t"}), ALICE, {})
    refusal = caught.value.body()
    assert refusal["code"] == 50302
    assert refusal["data"]["gateway"]["reason"] == reason
    assert refusal["data"]["gateway"]["retryable"] is True
    assert world.load.refused == 1
    assert up.sent == []


async def test_a_gateway_short_of_memory_says_so_and_stays_healthy(tmp_path: Path) -> None:
    with staff(tmp_path, config(workers=2, extra=f"max_memory = {MIB}")) as it:
        await it.until(lambda status: all(each["load"]["refusing"] == "memory" for each in status["workers"]))
        client = Client(it.address)
        error = (await client.modern("echo"))["error"]
        assert (error["code"], error["data"]["gateway"]["reason"]) == (50302, "memory")
        status, answer = await client.legacy("echo")
        assert (status, answer["error"]["code"]) == (200, 50302)
        client.close()
        for path in ("/healthz", "/readyz"):
            health = http.client.HTTPConnection(*it.address, timeout=PATIENCE)
            health.request("GET", path)
            assert health.getresponse().status == 200
            health.close()
        assert sum(each["load"]["refused"] for each in it.status()["workers"]) == 2
        lines = [line for line in it.log if line["event"] == "load.refusing"]
        assert [line["reason"] for line in lines] == ["memory"] * 2
        assert all(line["memory"] > MIB for line in lines), json.dumps(lines)


async def test_a_gateway_whose_loop_is_late_says_so(tmp_path: Path) -> None:
    # Any loop is late by a microsecond, twice in a row, before long.
    with staff(tmp_path, config(extra="max_loop_lag = 0.000001")) as it:
        client = Client(it.address)
        async with asyncio.timeout(PATIENCE):
            while "error" not in (answer := await client.modern("echo")):
                pass
        assert (answer["error"]["code"], answer["error"]["data"]["gateway"]["reason"]) == (50302, "loop_lag")
        client.close()
        assert it.status()["workers"][0]["load"]["refused"] == 1
        assert "load.refusing" in [line["event"] for line in it.log]
