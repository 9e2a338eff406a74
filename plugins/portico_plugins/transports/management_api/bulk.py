"""Many changes in one request: all of them or none, or each by itself with a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import UnsetType

from portico.api import Change, Entry, PorticoError, Stale
from portico_plugins.transports.management_api.again import Key, done
from portico_plugins.transports.management_api.answers import Report, Reports
from portico_plugins.transports.management_api.bodies import Bulk, Step, read
from portico_plugins.transports.management_api.problems import Problem, missing, problem_of
from portico_plugins.transports.management_api.shown import item_of, made_of, said_of, trouble_of
from portico_plugins.transports.management_api.table import REPLAYED, Answer, Call


class Bulks:
    """Carries out bulk requests.

    Args:
        most: How many changes one may have.
    """

    def __init__(self, most: int) -> None:
        self._most = most

    async def __call__(self, call: Call) -> Answer:
        """One request; its status is 200 when each of its changes has a report."""
        bulk = read(call.body, Bulk)
        _at_most(len(bulk.changes), self._most)
        _check(bulk.changes)
        return await self._made(call, bulk)

    async def make(self, call: Call, steps: Sequence[Step], mode: Literal["all", "each"]) -> list[Report]:
        """Make changes that are not the request's body; gives what became of each.

        Raises:
            Problem: There are too many, or they cannot all be made.
        """
        if not steps:
            return []
        _at_most(len(steps), self._most)
        answer = await (self._all(call, steps) if mode == "all" else self._each(call, steps, {}))
        return answer.value.results if isinstance(answer.value, Reports) else []

    async def _made(self, call: Call, bulk: Bulk) -> Answer:
        before = await done(call, many=len(bulk.changes))
        if bulk.mode == "each":
            return await self._each(call, bulk.changes, before)
        if before:  # all of them were made, or none
            results = [_made_before(call, step, before) for step in bulk.changes]
            return Answer(200, Reports(call.host.management.revision, False, 0, results), REPLAYED)
        return await self._all(call, bulk.changes)

    async def _all(self, call: Call, steps: Sequence[Step]) -> Answer:
        management = call.host.management
        statuses = [_status(call, step) for step in steps]
        outcome = await management.change(
            [_change(step) for step in steps], call.author, dry_run=call.dry_run
        )
        made = {(each.kind, each.name): each for each in outcome.items}
        results = []
        for step, status in zip(steps, statuses, strict=True):
            found = made.get((step.kind, step.name))
            results.append(Report(step.kind, step.name, status, item_of(found) if found else None))
        return Answer(200, Reports(outcome.revision, call.dry_run, 0, results))

    async def _each(self, call: Call, steps: Sequence[Step], before: Mapping[Key, Entry]) -> Answer:
        management = call.host.management
        results = []
        for step in steps:
            if (step.kind, step.name) in before:
                results.append(_made_before(call, step, before))
                continue
            try:
                status = _status(call, step)
                outcome = await management.change([_change(step)], call.author, dry_run=call.dry_run)
            except PorticoError as error:
                problem = problem_of(error, conditional=not isinstance(step.version, UnsetType))
                if problem is None:
                    raise
                results.append(Report(step.kind, step.name, problem.status, problem=trouble_of(problem)))
            else:
                made = next((item_of(each) for each in outcome.items), None)
                results.append(Report(step.kind, step.name, status, made))
        failed = sum(each.problem is not None for each in results)
        replayed = REPLAYED if before else {}
        return Answer(200, Reports(management.revision, call.dry_run, failed, results), replayed)


def _at_most(count: int, most: int) -> None:
    if count > most:
        wrong = [("changes", f"expected at most {most}, got {count}")]
        raise Problem(422, "invalid", "There are too many changes in it", wrong)


def _check(steps: Sequence[Step]) -> None:
    """Whether the steps make sense by themselves.

    Raises:
        Problem: 422 with everything that is wrong.
    """
    wrong: list[tuple[str, str]] = []
    seen: set[tuple[str, str]] = set()
    for index, step in enumerate(steps):
        place = f"changes[{index}]"
        if (step.kind, step.name) in seen:
            wrong.append((place, f"{step.kind} {step.name!r} stands in it twice"))
        seen.add((step.kind, step.name))
        if step.action == "delete" and not isinstance(step.config, UnsetType):
            wrong.append((f"{place}.config", "what is deleted has none"))
        if step.action != "delete" and isinstance(step.config, UnsetType):
            wrong.append((f"{place}.config", "is missing"))
        if step.action == "create" and not isinstance(step.version, UnsetType) and step.version:
            wrong.append((f"{place}.version", "what is created has none"))
    if wrong:
        raise Problem(422, "invalid", "The changes are not what is expected", wrong)


def _made_before(call: Call, step: Step, before: Mapping[Key, Entry]) -> Report:
    """What is to be said of a step of a request that was carried out before."""
    entry = before.get((step.kind, step.name))
    found = call.host.management.get(step.kind, step.name)
    status = 201 if entry is not None and entry.before is None else 200
    return Report(step.kind, step.name, status, item_of(found) if found else None)


def _change(step: Step) -> Change:
    if step.action == "create":
        expected: int | None = 0
    else:
        expected = None if isinstance(step.version, UnsetType) else step.version
    config = None if isinstance(step.config, UnsetType) else step.config
    return Change(step.kind, step.name, config, said_of(step.about), expected, made_of(step.made))


def _status(call: Call, step: Step) -> int:
    """What a change will have been: 201 for a new record, 200 for another, as for a request of its own.

    Raises:
        Problem: It cannot be made.
        Stale: The record is not what was expected.
    """
    found = call.host.management.get(step.kind, step.name)
    version = found.record.version if found and found.record else 0
    change = _change(step)
    if step.action == "create" and version:
        raise Problem(409, "exists", f"There is a {step.kind} record {step.name!r} already")
    if step.action == "delete" and found is None:
        raise missing(step.kind, step.name)
    if change.expected is not None and change.expected != version:
        raise Stale(step.kind, step.name, version)
    return 200 if version or step.action == "delete" or call.dry_run else 201
