"""Every test of a server runs on both event loops the gateway runs on, and most on both lanes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

from tests.plugins.servers.serving import LANE


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=["fast", "ordinary"])
def lane(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test runs on both lanes for HTTP/1.1: they are to behave the same."""
    monkeypatch.setitem(LANE, "fast_lane", request.param == "fast")
    return str(request.param)
