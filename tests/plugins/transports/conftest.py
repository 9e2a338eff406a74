from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.plugins.transports.web import Web, gateway


@pytest_asyncio.fixture
async def web() -> AsyncIterator[Web]:
    """A gateway whose legacy answers become event streams soon."""
    async with gateway("stream_after = 0.01") as opened:
        yield opened
