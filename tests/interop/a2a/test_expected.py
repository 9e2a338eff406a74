"""What the TCK runner calls a finding, and how it reads what the kit wrote."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tests.interop.a2a.expected import FAILING, THROUGH, VIRTUAL, Excuse, compare, failing, holding, unneeded
from tests.interop.a2a.kit import Outcome, Status, read_outcome
from tests.interop.a2a.tck import judged


def outcome(**tests: Status) -> Outcome:
    made: dict[str, Status] = {f"tests/a.py::{name}": status for name, status in tests.items()}
    must = {"M-1": frozenset(test for test in made if "must" in test)}
    return Outcome(made, {test: "said so" for test, status in made.items() if status != "passed"}, must)


def test_the_same_statuses_are_no_difference() -> None:
    run = outcome(one="passed", two="failed", three="skipped")
    assert compare(run, run, ()) == []


def test_every_other_status_is_a_difference_better_ones_too() -> None:
    found = compare(
        outcome(one="passed", two="failed", gone="passed"),
        outcome(one="skipped", two="passed", new="passed"),
        (),
    )
    assert [(each.test.partition("::")[2], each.wanted, each.found) for each in found] == [
        ("gone", "passed", "absent"),
        ("new", "absent", "passed"),
        ("one", "passed", "skipped"),
        ("two", "failed", "passed"),
    ]
    assert all(each.reason == "" for each in found)


def test_an_excuse_gives_its_reason_and_covers_what_it_says() -> None:
    excuse = Excuse("*::two[x-*]", "it is right")
    assert excuse.covers("tests/a.py::two[x-1]")
    assert not excuse.covers("tests/a.py::two[y-1]")
    assert not excuse.covers("tests/a.py::two")
    failed: dict[str, Status] = {"tests/a.py::two[x-1]": "failed"}
    run = Outcome(failed, {}, {})
    (found,) = failing(run, [excuse])
    assert found.reason == "it is right"
    assert unneeded([found], [excuse, Excuse("*::three", "?")]) == [Excuse("*::three", "?")]


def test_a_must_that_was_skipped_did_not_pass() -> None:
    run = outcome(must_a="passed", must_b="skipped", must_c="failed", may="skipped")
    assert [each.test.partition("::")[2] for each in failing(run, (), run.musts)] == ["must_b", "must_c"]
    assert [each.test.partition("::")[2] for each in failing(run, ())] == ["must_c"]


def test_excuses_hold_for_agents_with_or_without_webhooks() -> None:
    both, only, never = Excuse("a", "x"), Excuse("b", "x", push=True), Excuse("c", "x", push=False)
    assert holding([both, only, never], push=True) == [both, only]
    assert holding([both, only, never], push=False) == [both, never]


def test_an_excuse_that_excuses_nothing_is_a_problem_of_a_whole_run() -> None:
    run = {"through": outcome(one="passed"), "direct": outcome(one="passed")}
    assert all(not row.problems for row in judged(run, push=True, whole=False))
    rows = {row.leg: row for row in judged(run, push=True, whole=True)}
    assert len(rows["through"].problems) == len(THROUGH)
    assert len(rows["direct"].problems) == len(holding(FAILING, push=True))


def test_each_excuse_has_a_reason() -> None:
    assert all(each.reason for each in (*FAILING, *THROUGH, *VIRTUAL))


def test_what_the_kit_wrote_is_read(tmp_path: Path) -> None:
    (tmp_path / "junit.xml").write_text(
        "<testsuites><testsuite>"
        '<testcase classname="tests.compatibility.grpc.test_x.TestY" name="test_z[grpc]"/>'
        '<testcase classname="tests.compatibility.test_x" name="test_f">'
        '<failure message="a&#10;b"/></testcase>'
        '<testcase classname="tests.compatibility.test_x" name="test_e"><error message="e"/></testcase>'
        '<testcase classname="tests.compatibility.test_x" name="test_s"><skipped message="s"/></testcase>'
        "</testsuite></testsuites>"
    )
    requirements = {
        "A-1": {"level": "MUST", "test_ids": ["tests/compatibility/test_x.py::test_f"]},
        "A-2": {"level": "MAY", "test_ids": ["tests/compatibility/test_x.py::test_s"]},
    }
    (tmp_path / "report.json").write_bytes(msgspec.json.encode({"per_requirement": requirements}))
    found = read_outcome(tmp_path / "junit.xml", tmp_path / "report.json")
    assert found.tests == {
        "tests/compatibility/grpc/test_x.py::TestY::test_z[grpc]": "passed",
        "tests/compatibility/test_x.py::test_f": "failed",
        "tests/compatibility/test_x.py::test_e": "failed",
        "tests/compatibility/test_x.py::test_s": "skipped",
    }
    assert found.said["tests/compatibility/test_x.py::test_f"] == "a b"
    assert found.musts == {"tests/compatibility/test_x.py::test_f"}
    assert found.figures == {"passed": 1, "failed": 2, "skipped": 1}
