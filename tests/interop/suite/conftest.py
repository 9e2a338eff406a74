"""Every act of the suite on every line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.interop.speaking import Json, Speaker
from tests.interop.suite.acts import Part
from tests.interop.suite.stage import LINES, Stage


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "part" in metafunc.fixturenames:
        metafunc.parametrize("part", LINES, ids=str, indirect=True, scope="session")


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("stage"))
    try:
        yield made
    finally:
        made.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def part(request: pytest.FixtureRequest, stage: Stage) -> AsyncIterator[Part]:
    """A client that stays connected for all acts on its line."""
    line = request.param

    def another(version: str | None = None, capabilities: Json | None = None) -> Speaker:
        return stage.client(line, version, capabilities)

    async with another() as client:
        yield Part(line, client, another)
