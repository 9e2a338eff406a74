"""What the TCK finds that is right all the same, each with its reason.

Three lists: what fails against the agent itself, what is different through the gateway, and what does not
hold for a virtual server. An entry that is not needed any more is an error: the lists stay true.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Final

import attrs

from tests.interop.a2a.kit import Outcome, Status


@attrs.frozen
class Excuse:
    """A finding that is right.

    Attributes:
        tests: A pattern for the ids of tests (`*` for anything; `[` is itself).
        reason: Why it is right.
        push: Whether it holds for agents that call webhooks; None: for all.
    """

    tests: str
    reason: str
    push: bool | None = None

    def covers(self, test: str) -> bool:
        """Whether a test is one of these."""
        return fnmatchcase(test, self.tests.replace("[", "[[]"))


@attrs.frozen
class Finding:
    """A test whose status is not what it should be.

    Attributes:
        test: Its id.
        wanted: What it should be.
        found: What it is; "absent" where it did not run.
        said: What the kit said.
        reason: What excuses it, or "".
    """

    test: str
    wanted: str
    found: str
    said: str
    reason: str


_THE_KITS: Final = (
    Excuse(
        "*[CORE-SEND-003-*]",
        "the answer is ContentTypeNotSupportedError, as it should be; the kit takes that for failure",
    ),
    Excuse(
        "*::TestRestFormat::test_response_content_type",
        "the kit wants application/json; since A2A 1.0.1 it is application/a2a+json",
    ),
    Excuse(
        "*::TestGrpcStatusCodes::test_push_not_supported_returns_unimplemented",
        "the kit wants UNIMPLEMENTED; since A2A 1.0.1 it is FAILED_PRECONDITION",
        push=False,
    ),
)

FAILING: Final = (
    *_THE_KITS,
    Excuse("*::test_last_modified_present", "a MAY; the SDK sends an ETag"),
    Excuse(
        "*::TestGrpcStatusCodes::test_version_not_supported_returns_unimplemented",
        "the SDK's gRPC server does not look at a2a-version",
    ),
    Excuse(
        "*::TestJsonRpcErrorCodeMappings::test_content_type_not_supported_error",
        "the SDK reads what says that it is no JSON, and finds that it is none",
    ),
)
"""Tests that fail against the agent itself."""

THROUGH: Final = tuple(
    Excuse(tests, "the agent reads what says that it is no JSON; the gateway refuses it, as the kit would")
    for tests in (
        "*::TestHttpJsonStatusCodes::test_content_type_not_supported_returns_415",
        "*::TestJsonRpcErrorCodeMappings::test_content_type_not_supported_error",
    )
)
"""Tests that are different through the gateway."""

VIRTUAL: Final = (
    *_THE_KITS,
    Excuse(
        "*::TestMessageResponse::*",
        "the call of a tool is a task, always; the MUST is about the fields of messages that there are",
    ),
    Excuse(
        "*::TestGrpcStatusCodes::test_version_not_supported_returns_unimplemented",
        "the kit wants UNIMPLEMENTED; since A2A 1.0.1 it is FAILED_PRECONDITION",
    ),
    *(
        Excuse(tests, "of agents that do not stream; a virtual server does")
        for tests in ("*::TestCapabilityStreaming::*", "*::test_unsupported_operation_*")
    ),
    *(
        Excuse(tests, "of agents without push notifications; it runs with --no-push", push=True)
        for tests in ("*::TestCapabilityPushNotifications::*", "*::test_push_not*_supported_*")
    ),
    Excuse("*::TestPushNotification*", "of agents with push notifications", push=False),
    Excuse("*::TestCapabilityExtensionRequired::*", "of agents that require an extension; no tool does"),
    Excuse(
        "*[CARD-EXT-*]",
        "of agents with an extended card: a virtual server has one where clients authenticate, which the kit "
        "cannot",
    ),
)
"""Tests of a MUST that do not pass against a virtual server as an agent."""


def holding(excuses: Sequence[Excuse], *, push: bool) -> Sequence[Excuse]:
    """Those that hold for agents that call webhooks, or for those that do not."""
    return [each for each in excuses if each.push in (None, push)]


def compare(direct: Outcome, through: Outcome, excuses: Sequence[Excuse]) -> list[Finding]:
    """Every test whose status is not the same in both runs."""
    found = []
    for test in sorted(direct.tests.keys() | through.tests.keys()):
        before, after = direct.tests.get(test, "absent"), through.tests.get(test, "absent")
        if before != after:
            found.append(_finding(test, before, after, through, excuses))
    return found


def failing(outcome: Outcome, excuses: Sequence[Excuse], tests: Iterable[str] | None = None) -> list[Finding]:
    """Every test that did not pass, of all or of some of them; those that were skipped only of some."""
    wrong: frozenset[Status] = frozenset({"failed"} if tests is None else {"failed", "skipped"})
    return [
        _finding(test, "passed", outcome.tests.get(test, "absent"), outcome, excuses)
        for test in sorted(outcome.tests if tests is None else tests)
        if outcome.tests.get(test, "failed") in wrong
    ]


def unneeded(findings: Sequence[Finding], excuses: Sequence[Excuse]) -> list[Excuse]:
    """Excuses of nothing."""
    return [each for each in excuses if not any(each.covers(found.test) for found in findings)]


def _finding(test: str, wanted: str, found: str, outcome: Outcome, excuses: Sequence[Excuse]) -> Finding:
    reason = next((each.reason for each in excuses if each.covers(test)), "")
    return Finding(test, wanted, found, outcome.said.get(test, ""), reason)
