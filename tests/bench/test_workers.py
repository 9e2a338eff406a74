"""One worker beside two: what is concluded, and that a real run has the figures."""

from __future__ import annotations

import json
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("the bench needs Linux", allow_module_level=True)

from bench.load import Round
from bench.machine import Cores
from bench.native import CannotBuild, find_compiler
from bench.workers import Comparison, Side, WorkersReport, main


def rounds(rate: float, cpu_us: float) -> list[Round]:
    return [Round(int(rate), rate, 1.0, 2.0, 3.0, 0, 0, 0, "", cpu_us)] * 3


def report(one: tuple[float, float], two: tuple[float, float]) -> str:
    sides = (Side(1, rounds(*one), [1.0] * 3), Side(2, rounds(*two), [0.5, 0.7, 0.6]))
    return WorkersReport([Comparison("modern", *sides)], Cores(), 64, 3, 1.0, 0.0).as_text()


def test_two_workers_with_their_cores_are_judged_by_calls() -> None:
    assert "carry 1.90 times the calls of one; at least 1.8" in report((20_000, 50), (38_000, 51))
    assert "carry 1.70 times the calls of one; NOT at least 1.8" in report((20_000, 50), (34_000, 55))


def test_starved_ones_are_judged_by_what_a_call_costs() -> None:
    said = report((20_000, 50), (22_000, 52.5))
    assert "starved them: they had 1.16 of 2 cores" in said
    assert "a core each gives 1.90 times; at least 1.8" in said
    assert "gives 1.67 times; NOT at least 1.8" in report((20_000, 50), (22_000, 60))


def test_the_split_between_workers_is_shown() -> None:
    row = next(
        line for line in report((20_000, 50), (38_000, 51)).splitlines() if line.startswith("modern  ")
    )
    assert row.split()[-1] == "100%"
    assert " 60%" in report((20_000, 50), (38_000, 51))


def test_a_real_run_has_both_sides(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        find_compiler()
    except CannotBuild as error:
        pytest.skip(str(error))
    command = f"{sys.executable} -m portico serve --config {{config}}"
    options = ["--rounds", "1", "--seconds", "1", "--connections", "8", "--era", "modern", "--json"]
    assert main([*options, "--command", command]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["errors"] == 0
    (era,) = said["eras"]
    for workers, side in enumerate(era["sides"], 1):
        assert side["workers"] == workers
        assert side["rounds"][0]["calls"] > 0
        assert 1 / workers <= side["shares"][0] <= 1
    assert era["speedup"] > 0
