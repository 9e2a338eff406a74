"""What the conformance runner calls a difference."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec

from tests.interop.expectations import Exemption, compare, stale
from tests.interop.harness import Check, Outcome, read_outcome


def outcome(*checks: tuple[str, str, str]) -> Outcome:
    found = [Check(scenario, check, check.title(), status) for scenario, check, status in checks]
    messages = {check: f"{check.id} went wrong" for check in found if check.status != "SUCCESS"}
    return Outcome(Counter(found), messages, frozenset(check.scenario for check in found))


def exempt(scenario: str, check: str = "") -> Exemption:
    return Exemption("legacy", "2026-07-28", scenario, check, "it cannot be")


def test_the_same_checks_are_no_difference() -> None:
    run = outcome(("ping", "pong", "SUCCESS"), ("ping", "pong", "SUCCESS"))
    assert compare(run, run) == []


def test_a_failing_check_is_a_difference_and_says_why() -> None:
    (found,) = compare(outcome(("ping", "pong", "SUCCESS")), outcome(("ping", "pong", "FAILURE")))
    assert (found.direct, found.through) == (("SUCCESS",), ("FAILURE",))
    assert found.message == "pong went wrong"
    assert found.reason == ""


def test_a_check_that_runs_once_instead_of_twice_is_a_difference() -> None:
    twice = outcome(("ping", "pong", "SUCCESS"), ("ping", "pong", "SUCCESS"))
    (found,) = compare(twice, outcome(("ping", "pong", "SUCCESS")))
    assert (len(found.direct), len(found.through)) == (2, 1)


def test_a_missing_check_and_a_new_check_are_differences() -> None:
    found = compare(outcome(("ping", "old", "SUCCESS")), outcome(("ping", "new", "SUCCESS")))
    assert [(one.id, one.direct, one.through) for one in found] == [
        ("new", (), ("SUCCESS",)),
        ("old", ("SUCCESS",), ()),
    ]


def test_an_exempted_difference_carries_its_reason_and_others_do_not() -> None:
    direct = outcome(("ping", "pong", "SUCCESS"), ("ping", "echo", "SUCCESS"))
    through = outcome(("ping", "pong", "FAILURE"), ("ping", "echo", "FAILURE"))
    reasons = {one.id: one.reason for one in compare(direct, through, [exempt("ping", "pong")])}
    assert reasons == {"pong": "it cannot be", "echo": ""}


def test_an_exemption_of_a_whole_scenario_covers_each_of_its_checks() -> None:
    direct, through = outcome(("ping", "pong", "SUCCESS")), outcome(("ping", "pong", "WARNING"))
    assert [one.reason for one in compare(direct, through, [exempt("ping")])] == ["it cannot be"]


def test_an_exemption_that_excuses_nothing_is_stale() -> None:
    used, unused = exempt("ping", "pong"), exempt("ping", "echo")
    found = compare(
        outcome(("ping", "pong", "SUCCESS")), outcome(("ping", "pong", "FAILURE")), [used, unused]
    )
    assert stale(found, [used, unused]) == [unused]


def test_of_the_tasks_extension_only_lost_successes_are_differences() -> None:
    neither = outcome(("tasks-wire", "a", "FAILURE"))
    assert compare(neither, outcome(("tasks-wire", "a", "WARNING"))) == []
    passing = outcome(("tasks-wire", "a", "SUCCESS"))
    assert [one.id for one in compare(passing, neither)] == ["a"]


def test_results_are_read_with_their_scenario_and_without_narration(tmp_path: Path) -> None:
    folder = tmp_path / "server-server-sse-polling-2026-11-21T00-35-36-391Z"
    folder.mkdir()
    raw = [
        {"id": "one", "name": "One", "status": "SUCCESS"},
        {"id": "two", "name": "Two", "status": "WARNING", "errorMessage": "late"},
        {"id": "outgoing-request", "name": "Request", "status": "INFO"},
    ]
    (folder / "checks.json").write_bytes(msgspec.json.encode(raw))
    found = read_outcome(tmp_path)
    assert found.scenarios == {"server-sse-polling"}
    assert sorted(check.id for check in found.checks) == ["one", "two"]
    assert [found.messages[check] for check in found.failing()] == ["late"]
