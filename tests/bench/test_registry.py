"""Many upstreams in a registry: what is concluded, and that a real run has the figures."""

from __future__ import annotations

import json
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("the bench needs Linux", allow_module_level=True)

from bench.load import Round
from bench.machine import Cores
from bench.native import CannotBuild, find_compiler
from bench.registry.changes import Changes, Cost
from bench.registry.driver import main
from bench.registry.report import Found, RegistryReport, Start, percentile

ROUNDS = [Round(1000, 1000.0, 1.0, 2.0, 3.0, 0, 0, 0, "", 40.0)] * 3


def report(*visible: float) -> RegistryReport:
    found = Found(
        kind="sqlite",
        filled=2.0,
        listed=3.0,
        watching=3,
        starts=[Start(1.0, 1.5, 100_000_000)],
        rss=120_000_000,
        changes=[Changes("upstream added", [5.0] * len(visible), list(visible))],
        cost=Cost(10, 12.0, 3),
        quiet=ROUNDS,
        changing=ROUNDS,
        made=9,
        of_one=ROUNDS,
        of_many=ROUNDS,
        first_page=ROUNDS,
        whole_list=ROUNDS,
    )
    return RegistryReport([found], 1000, Cores(), 3, 1.0, 0.0)


def test_a_change_that_is_seen_late_is_an_error() -> None:
    assert report(400.0, 999.0).errors == 0
    late = report(400.0, 1001.0)
    assert late.errors == 1
    assert "1 ERRORS" in late.as_text()


def test_the_longest_of_few_is_their_99th_percentile() -> None:
    assert percentile([1.0, 3.0, 2.0], 0.99) == 3.0
    assert percentile([float(number) for number in range(200)], 0.99) == 198.0


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_real_run_has_every_figure(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        find_compiler()
    except CannotBuild as error:
        pytest.skip(str(error))
    command = f"{sys.executable} -m portico serve --config {{config}}"
    options = ["--upstreams", "12", "--changes", "2", "--rounds", "1", "--seconds", "0.5", "--json"]
    main([*options, "--kept-in", kind, "--command", command])
    (found,) = json.loads(capsys.readouterr().out)["found"]
    assert found["kind"] == kind
    assert [len(each["visible"]) for each in found["changes"]] == [2, 2, 2]
    assert len(found["starts"]) == (0 if kind == "memory" else 1)
    for side in ("quiet", "changing", "of_one", "of_many", "first_page", "whole_list"):
        assert [(each["errors"], each["calls"] > 0) for each in found[side]] == [(0, True)]
