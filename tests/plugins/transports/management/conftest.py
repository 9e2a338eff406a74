from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.plugins.transports.management.fake import Served, served


@pytest_asyncio.fixture
async def api() -> AsyncIterator[Served]:
    """The API, asked by alice."""
    async with served() as opened:
        yield opened
