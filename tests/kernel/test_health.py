"""How an upstream is: its own word, and what probes show."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico._core.health import Condition, Health
from portico.api import State

READY, GONE, DEGRADED = State.READY, State.UNAVAILABLE, State.DEGRADED


def ready(threshold: int = 3) -> Health:
    health = Health(threshold, 0.0)
    health.says(READY, "", 1.0)
    return health


def test_it_begins_as_starting() -> None:
    assert Health(3, 5.0).condition == Condition(State.STARTING, "", 5.0)


def test_probes_that_fail_count_only_when_there_are_enough_in_a_row() -> None:
    health = ready()
    assert [health.failed(GONE, "refused", at) for at in (2.0, 3.0)] == [False, False]
    assert health.condition == Condition(READY, "", 1.0)
    assert not health.answered(4.0)
    assert [health.failed(GONE, "refused", at) for at in (5.0, 6.0, 7.0, 8.0)] == [False, False, True, False]
    assert health.condition == Condition(GONE, "refused", 7.0)


def test_one_answer_is_enough_to_be_ready_again() -> None:
    health = ready(1)
    health.failed(GONE, "refused", 2.0)
    assert health.answered(3.0)
    assert health.condition == Condition(READY, "", 3.0)


def test_another_reason_does_not_change_since_when_it_is_so() -> None:
    health = ready(1)
    health.failed(GONE, "refused", 2.0)
    health.failed(GONE, "name_not_found", 3.0)
    assert health.condition == Condition(GONE, "name_not_found", 2.0)
    assert health.failed(DEGRADED, "slow", 4.0)
    assert health.condition == Condition(DEGRADED, "slow", 4.0)


def test_what_it_says_of_itself_holds_at_once_and_needs_no_probe() -> None:
    health = ready()
    assert health.probed
    health.says(GONE, "connection_refused", 2.0)
    assert (health.condition, health.probed) == (Condition(GONE, "connection_refused", 2.0), False)
    health.says(READY, "", 3.0)
    assert (health.condition, health.probed) == (Condition(READY, "", 3.0), True)


def test_saying_that_it_is_ready_makes_up_for_failures_only_when_it_was_not() -> None:
    health = ready(1)
    health.failed(GONE, "refused", 2.0)
    health.says(READY, "", 3.0)  # a list has changed; that it answers probes is another matter
    assert health.condition.state is GONE
    health.says(DEGRADED, "bad_list", 4.0)
    health.says(READY, "", 5.0)
    assert health.condition == Condition(READY, "", 5.0)


def test_whoever_takes_over_knows_since_when_it_is_so() -> None:
    health = ready()
    health.takes_over(Condition(READY, "", 0.5))
    assert health.condition.since == 0.5
    health.takes_over(Condition(GONE, "refused", 0.2))
    assert health.condition == Condition(GONE, "refused", 0.2)
    assert not health.failed(GONE, "refused", 3.0)
    assert health.answered(4.0)
    assert health.condition == Condition(READY, "", 4.0)


def test_whoever_takes_over_believes_an_upstream_that_says_that_it_is_away() -> None:
    health = ready()
    health.says(GONE, "connection_refused", 2.0)
    health.takes_over(Condition(READY, "", 0.5))
    assert health.condition == Condition(GONE, "connection_refused", 2.0)
    health.takes_over(Condition(GONE, "name_not_found", 1.5))
    assert health.condition == Condition(GONE, "connection_refused", 1.5)


@pytest.mark.parametrize(
    ("failures", "interval", "seconds"),
    [
        (0, 20.0, 20.0),
        (1, 20.0, 1.0),
        (2, 20.0, 2.0),
        (4, 20.0, 8.0),
        (9, 20.0, 30.0),
        (9, 60.0, 60.0),
        (1, 0.1, 0.1),
        (2000, 20.0, 30.0),
    ],
)
def test_probes_come_soon_after_a_failure_and_then_less_and_less_often(
    failures: int, interval: float, seconds: float
) -> None:
    health = ready()
    for _ in range(failures):
        health.failed(GONE, "refused", 2.0)
    assert health.pause(interval, 0.5) == pytest.approx(seconds)


@given(st.floats(0.01, 3600), st.floats(0, 0.999), st.integers(0, 40))
def test_jitter_is_a_fifth_either_way(interval: float, random: float, failures: int) -> None:
    health = ready()
    for _ in range(failures):
        health.failed(GONE, "refused", 2.0)
    exact = health.pause(interval, 0.5)
    assert 0.799 * exact <= health.pause(interval, random) <= 1.201 * exact


@given(
    st.integers(1, 5),
    st.lists(st.sampled_from(["ready", "gone", "answered", "failed", "slow"]), max_size=40),
)
def test_the_state_is_its_own_word_or_that_of_enough_probes(threshold: int, events: Sequence[str]) -> None:
    health = Health(threshold, 0.0)
    says, failures, last, since = State.STARTING, 0, READY, 0.0
    for at, event in enumerate(events, 1):
        before = health.condition
        match event:
            case "ready" | "gone":
                failures = 0 if event == "gone" or says is not READY else failures
                says = READY if event == "ready" else GONE
                health.says(says, "why", float(at))
            case "answered":
                failures = 0
                health.answered(float(at))
            case _:
                failures, last = failures + 1, GONE if event == "failed" else DEGRADED
                health.failed(last, "why", float(at))
        # A probe that was under way when the upstream lost its connection shows nothing new.
        expected = says if says is not READY else last if failures >= threshold else READY
        since = float(at) if expected is not before.state else since
        assert (health.condition.state, health.condition.since) == (expected, since)
        assert (health.condition.reason == "") == (expected in (READY, State.STARTING))
