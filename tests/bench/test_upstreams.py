"""Kinds of upstreams beside direct calls: what is reported, and that a real run has right answers of each."""

from __future__ import annotations

import json
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("the bench needs Linux", allow_module_level=True)

from bench.load import Round
from bench.machine import Cores
from bench.native import CannotBuild, find_compiler
from bench.upstreams.driver import Beside, UpstreamsReport, main
from bench.upstreams.kinds import KINDS


def rounds(rate: float, cpu_us: float | None, errors: int = 0) -> list[Round]:
    return [Round(int(rate), rate, 1.0, 2.0, 3.0, errors, 0, 0, "", cpu_us)] * 3


def report(*rows: Beside, left_out: tuple[str, ...] = ()) -> str:
    return UpstreamsReport(rows, left_out, Cores(), 3, 1.0, 0.0).as_text()


def test_a_row_has_both_sides_and_what_has_no_direct_side_has_a_dash() -> None:
    said = report(
        Beside("REST", 16, rounds(200_000, None), rounds(18_000, 54.4)),
        Beside("local", 1, [], rounds(13_000, 58.3)),
    ).splitlines()
    rest, local = (next(line.split() for line in said if line.startswith(name)) for name in ("REST", "local"))
    assert rest == ["REST", "16", "200,000", "18,000", *("1.000",) * 2, *("2.000",) * 2, "-", "54.4"]
    assert local == ["local", "1", "-", "13,000", "-", "1.000", "-", "2.000", "-", "58.3"]


def test_errors_and_what_was_left_out_are_said() -> None:
    said = report(Beside("REST", 1, rounds(1, None), rounds(1, 1.0, errors=2)), left_out=("grpc: pip ...",))
    assert "6 ERRORS: the figures above do not count" in said
    assert "left out: grpc: pip ..." in said


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_a_real_run_of_each_kind_has_right_answers(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        find_compiler()
    except CannotBuild as error:
        pytest.skip(str(error))
    command = f"{sys.executable} -m portico serve --config {{config}}"
    options = ["--rounds", "1", "--seconds", "1", "--connections", "2", "--only", kind, "--json"]
    assert main([*options, "--command", command]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["errors"] == 0
    assert said["left_out"] == []
    for row in said["rows"]:
        assert all(one["calls"] > 0 for one in (*row["direct"], *row["through"]))
        assert row["through"][0]["cpu_us"] is not None
        assert bool(row["direct"]) is (kind != "local")
