"""What a gateway's everyday duties add to a call: token auth, a rate limit, a JSON access log."""

from __future__ import annotations

import time
from collections.abc import Sequence

import attrs

from bench.load import Endpoint, Round, Shape, load, median
from bench.measure import Plan, progress
from bench.processes import CONFIG, CannotRun, Running, first_answer, gateway, stub_upstream, wait_ready

CONNECTIONS = 16
TOKEN = "bench-0123456789abcdef"

# The bare gateway's config with them on; a rate that is never reached counts every call all the same.
CONFIG_WITH_DUTIES = (
    CONFIG.replace('log_level = "warning"', 'log_level = "info"\nlog_format = "json"')
    + f"""\
auth = ["people"]
policies = ["limit"]

[auth.people]
use = "token"
tokens = {{{{ bench = "{TOKEN}" }}}}

[policies.limit]
use = "rate_limit"
rate = 1000000
burst = 1000000
"""
)


@attrs.frozen
class Duties:
    """Rounds of one load through a bare gateway and through one with the duties, in turn."""

    shape: Shape
    bare: list[Round]
    full: list[Round]

    @property
    def errors(self) -> int:
        """Errors of all its rounds."""
        return sum(one.errors for one in (*self.bare, *self.full))

    @property
    def difference(self) -> float | None:
        """CPU microseconds a call that the duties add; None when a side has no figure."""
        bare, full = median(self.bare, "cpu_us"), median(self.full, "cpu_us")
        return full - bare if bare is not None and full is not None else None


def duties(plan: Plan, eras: Sequence[str]) -> list[Duties]:
    """Calls through a bare gateway and through one with token, rate limit and access log, in turn.

    The log goes to a file, and must have a line for every call.

    Raises:
        CannotRun: A part did not start or ended early, or lines are missing.
    """
    out = []
    shown = (("Authorization", f"Bearer {TOKEN}"),)
    with (
        stub_upstream(plan.tools, plan.cores.stub) as stub,
        gateway(plan.command, stub.port, plan.cores.gateway) as bare,
        gateway(plan.command, stub.port, plan.cores.gateway, CONFIG_WITH_DUTIES) as full,
    ):
        for running, headers in ((bare, ()), (full, shown)):
            wait_ready(running)
            first_answer(running, headers)
        for era in eras:
            shape = Shape(era, "tools/call", CONNECTIONS)
            found = Duties(shape, [], [])
            for number in range(plan.rounds):
                # Every other round begins with the duties: a drift of the machine favours neither.
                sides = ((bare, (), found.bare), (full, shown, found.full))
                for running, headers, rounds in sides if number % 2 == 0 else sides[::-1]:
                    running.check()
                    rounds.append(_round(plan, running, shape, Endpoint(headers=headers)))
                progress(
                    f"{shape} round {number + 1}/{plan.rounds}: bare {found.bare[-1].cpu_us:.1f} us, "
                    f"with duties {found.full[-1].cpu_us:.1f} us"
                )
            out.append(found)
        _check_log(full, sum(one.calls for found in out for one in found.full))
    return out


def _round(plan: Plan, running: Running, shape: Shape, endpoint: Endpoint) -> Round:
    done = load(
        plan.tools,
        running.port,
        shape,
        plan.seconds,
        plan.warmup,
        plan.cores.load,
        running.pid,
        endpoint,
    )
    if done.errors:
        progress(f"  {shape}: {done.errors} errors, the first: {done.first_error}")
    return done


def _check_log(running: Running, calls: int) -> None:
    """Whether every call has its line; the last ones may be on their way.

    Raises:
        CannotRun: Lines are missing.
    """
    assert running.log is not None
    for _ in range(20):
        with running.log.open("rb") as log:
            lines = sum(b'"event":"call"' in line for line in log)
        if lines >= calls:
            return
        time.sleep(0.1)
    raise CannotRun(f"the access log has {lines:,} lines for {calls:,} calls{running.last_words()}")
