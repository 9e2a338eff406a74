"""What the sql registry has acknowledged is there when the process is not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.registries.kept import TABLES, opened

ROOT = Path(__file__).parents[3]
WRITER = """
import asyncio, json, sys
from pathlib import Path
from portico.api import Author, Change
from tests.plugins.registries.kept import opened

async def write():
    async with opened(json.loads(sys.argv[1]), Path(sys.argv[2])) as registry:
        first = (await registry.load())[0] + 1
        for number in range(first, 100_000):
            pair = [Change("upstreams", f"{letter}{number}", {"n": number}) for letter in "ab"]
            print(await registry.write(pair, Author("w")), flush=True)

asyncio.run(write())
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mariadb"])
async def test_nothing_acknowledged_is_lost_and_nothing_is_half_there(kind: str, tmp_path: Path) -> None:
    table = TABLES[kind](tmp_path)
    command = [sys.executable, "-c", WRITER, json.dumps(table), str(tmp_path)]
    for enough in (1, 60, 150):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
            assert writer.stdout is not None
            for line in writer.stdout:
                if int(line) >= enough:
                    writer.kill()
                    break
            acknowledged = [int(line), *map(int, writer.stdout)][-1]
        async with opened(table, tmp_path) as registry:
            revision, records = await registry.load()
            entries = await registry.history(limit=100_000)
        assert revision in (acknowledged, acknowledged + 1)  # that it was written may not have been heard
        assert sorted(each.revision for each in entries) == sorted([*range(1, revision + 1)] * 2)
        names = {each.name for each in records}
        assert {name[1:] for name in names if name[0] == "a"} == {
            name[1:] for name in names if name[0] == "b"
        }
