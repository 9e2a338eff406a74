"""Every test of an upstream runs on both event loops the gateway runs on."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping

import pytest
import uvloop

from tests.plugins.upstreams.kit import HERE


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def _sdk(kind: str) -> Iterator[str]:
    argv = [sys.executable, str(HERE / "sdk_server.py"), kind]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


@pytest.fixture(scope="session")
def sdk_http() -> Iterator[str]:
    """The URL of a server of the SDK that speaks both eras."""
    yield from _sdk("http")


@pytest.fixture(scope="session")
def sdk_sse() -> Iterator[str]:
    """The URL of a server of the SDK that speaks HTTP+SSE."""
    yield from _sdk("sse")
