"""What the survival table makes of what was seen."""

from __future__ import annotations

import argparse
import json
import sys

import attrs
import pytest

if sys.platform != "linux":
    pytest.skip("the bench needs Linux", allow_module_level=True)

from bench.load import Round
from bench.measure import Plan
from bench.survival import driver
from bench.survival.figure import Figure, Sides, lines, of_rows
from tests.faults.verdicts import ANSWER, Row

ROUND = Round(1000, 1000.0, 1.0, 2.0, 3.0, 0, 0, 0, "")


def rounds(*p99s: float) -> list[Round]:
    return [attrs.evolve(ROUND, p99_ms=p99) for p99 in p99s]


@pytest.mark.parametrize(("harmed", "held"), [(2.09, True), (2.11, False)])
def test_p99_may_grow_by_so_many_percent_and_no_more(harmed: float, held: bool) -> None:
    times, answers = Sides("modern", rounds(1.9, 2.0, 9.0), rounds(1.0, harmed, 9.0)).figure("it", 5)
    assert (times.held, times.hard) == (held, False)
    assert (answers.held, answers.hard) == (True, True)


def test_the_noise_is_what_calm_rounds_differ_by() -> None:
    sides = Sides("modern", rounds(2.2, 2.0, 2.2, 2.0), rounds(2.0))
    assert sides.noise == pytest.approx(1.1)


def test_a_wrong_answer_in_any_round_is_a_breach() -> None:
    sides = Sides("modern", rounds(2.0), [attrs.evolve(ROUND, errors=1, first_error="status 500")])
    _, answers = sides.figure("it", 5)
    assert not answers.held
    assert list(answers.problems) == ["status 500"]
    text = "\n".join(lines([answers]))
    assert "MISSED" in text
    assert "status 500" in text


def test_a_breach_of_a_scenario_is_one_of_its_figure() -> None:
    row = Row("reload", "gateway", "both>both", 1, requests=7, facts={"rolls": 2})
    row.check(ANSWER, None)
    figure = of_rows("rolls", "both", "0 failed", "0 of 7", [row])
    assert figure.held
    assert figure.facts == {"requests": 7, "rolls": 2}
    row.check(ANSWER, "one was lost")
    assert not of_rows("rolls", "both", "0 failed", "1 of 7", [row]).held


@pytest.mark.parametrize(("hard", "held", "status"), [(True, True, 0), (False, False, 0), (True, False, 1)])
def test_only_a_missed_invariant_fails_the_run(
    hard: bool,
    held: bool,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def part(plan: Plan, options: argparse.Namespace) -> list[Figure]:
        return [Figure("it", "both", "a bar", "seen", held, hard)]

    monkeypatch.setattr(driver, "build", lambda: None)
    monkeypatch.setattr(driver, "PARTS", {"it": part})
    assert driver.main(["--json"]) == status
    (figure,) = json.loads(capsys.readouterr().out)["figures"]
    assert (figure["what"], figure["held"]) == ("it", held)
