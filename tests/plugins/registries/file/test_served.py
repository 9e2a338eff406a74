"""A gateway of two workers whose registry is a folder: what is in the files is what clients see."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2

from tests.kernel.cli.conftest import serving

CONFIG = """
[gateway]
workers = 2

[registries.main]
use = "file"

[transports.streamable_http]

[transports.management_api]
"""


async def until(found: Callable[[], Awaitable[bool]], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not await found():
            await asyncio.sleep(0.01)


async def test_files_and_the_api_are_two_ways_to_the_same_records(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(CONFIG)
    prompts = tmp_path / "registry" / "prompts"
    with serving(tmp_path) as served:
        api = served.url.removesuffix("/mcp") + "/api/v1/prompts"

        async def everywhere(name: str, template: str | None) -> None:
            """Wait until six connections in a row, which the workers share, are told the same."""

            async def same() -> bool:
                for _ in range(6):
                    async with httpx2.AsyncClient() as client:
                        answer = await client.get(f"{api}/{name}")
                    found = answer.json()["config"]["template"] if answer.status_code == 200 else None
                    if found != template:
                        return False
                return True

            await until(same)

        async with httpx2.AsyncClient() as client:
            answer = await client.put(f"{api}/greet", json={"config": {"template": "One\nTwo\n"}})
        assert answer.status_code == 201, answer.text
        assert (prompts / "greet.toml").read_text() == '[config]\ntemplate = """\nOne\nTwo\n"""\n'
        await everywhere("greet", "One\nTwo\n")
        (prompts / "greet.toml").write_text('[config]\ntemplate = "Edited."\n')
        (prompts / "part.toml").write_text('[config]\ntemplate = "Good bye."\n')
        await everywhere("greet", "Edited.")
        await everywhere("part", "Good bye.")
        (prompts / "part.toml").unlink()
        await everywhere("part", None)
        assert served.stop() == 0
    lines = [
        json.loads(line)
        for line in (tmp_path / "registry" / ".portico" / "audit.jsonl").read_text().splitlines()
    ]
    # Two workers saw each edit, and one of them made a change of it.
    assert [line["revision"] for line in lines] == list(range(1, len(lines) + 1))
    changes = [(each["name"], each["version"]) for line in lines for each in line["changed"]]
    assert sorted(changes) == [("greet", 1), ("greet", 2), ("part", 1), ("part", 1)]
    assert [line["author"]["via"] for line in lines[1:]] == ["file"] * (len(lines) - 1)
