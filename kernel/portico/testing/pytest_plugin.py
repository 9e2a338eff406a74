"""The pytest plugin of the author kit: fixtures that import the kit only when a test asks for one.

pytest loads this module in every run of an environment that has Portico installed, so it imports nothing
but pytest itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from portico.api import Exchange, Host
    from portico.testing import FakeClock


@pytest.fixture
def portico_clock() -> FakeClock:
    """A clock that moves when the test says so; the other fixtures use it too."""
    from portico.testing import FakeClock

    return FakeClock()


@pytest.fixture
def portico_host(portico_clock: FakeClock) -> Callable[..., Host]:
    """`make_host` with the test's clock: `portico_host(name="limit", kind="policies")`."""
    from portico.testing import make_host

    return functools.partial(make_host, clock=portico_clock)


@pytest.fixture
def portico_exchange(portico_clock: FakeClock) -> Callable[..., Exchange]:
    """`make_exchange` with the test's clock: `portico_exchange("tools/call", {"name": "add"})`."""
    from portico.testing import make_exchange

    return functools.partial(make_exchange, clock=portico_clock)
