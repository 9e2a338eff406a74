"""For all tests: with `PORTICO_STRICT=1`, as CI has it, a skipped test is a failure."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

# How fast examples are made says how busy the machine is, nothing about what is tested.
settings.register_profile("portico", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("portico")

# As `portico_plugins` has it: a test may import gRPC first.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

STRICT = os.environ.get("PORTICO_STRICT") == "1"


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    where = report.longrepr
    text = where[2] if isinstance(where, tuple) else str(where)
    return f"{text}\n(a skipped test is a failure here: PORTICO_STRICT=1)"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that skips itself, or expects to fail, has failed to check what it is there for."""
    report = yield
    if STRICT and report.skipped:
        report.longrepr = _reason(report)
        report.outcome = "failed"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Likewise for a module that skips itself."""
    report = yield
    if STRICT and report.skipped:
        report.longrepr = _reason(report)
        report.outcome = "failed"
    return report


def pytest_sessionfinish() -> None:
    """End the database servers that tests shared."""
    databases = sys.modules.get("tests.databases")
    if databases is not None:
        databases.end_shared()
