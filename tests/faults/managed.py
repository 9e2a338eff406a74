"""A gateway with a registry, and a client of its management API."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import msgspec

from tests.databases import end_shared
from tests.faults import http1
from tests.faults.http1 import Json
from tests.plugins.registries.kept import TABLES

LASTING = tuple(sorted(set(TABLES) - {"memory"}))
"""The registries that outlast a process."""


def tables_of(registry: Json, folder: Path, **upstreams: Json) -> dict[str, Any]:
    """The configuration of a gateway that keeps its state in a folder, so that another can go on with it."""
    return {
        "gateway": {
            "listen": ["127.0.0.1:0"],
            "log_level": "warning",
            "log_format": "json",
            "state": str(folder / "state"),
        },
        "registries": {"main": registry},
        "transports": {"api": {"use": "management_api"}, "streamable_http": {}},
        "servers": {"default": {"prefix": "always"}},
        "upstreams": upstreams,
    }


@contextmanager
def databases() -> Iterator[None]:
    """Take down the database servers that were started meanwhile."""
    try:
        yield
    finally:
        end_shared()


class Api:
    """One connection, and one request at a time on it.

    Args:
        port: The gateway's.
        patience: Seconds to wait for an answer.
    """

    def __init__(self, port: int, patience: float = 30.0) -> None:
        self._port = port
        self._patience = patience
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hang_up()

    def hang_up(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def ask(self, verb: str, path: str, body: Any = None) -> tuple[int, Json]:
        """A request below `/api/v1`: the status and the JSON of the answer.

        Raises:
            OSError, EOFError, ValueError: There was no whole answer.
        """
        try:
            async with asyncio.timeout(self._patience):
                return await self._ask(verb, path, body)
        except BaseException:
            self.hang_up()
            raise

    async def _ask(self, verb: str, path: str, body: Any) -> tuple[int, Json]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        reader, writer = self._streams
        data = msgspec.json.encode(body) if body is not None else b""
        headers = {"host": f"127.0.0.1:{self._port}", "content-length": str(len(data))}
        if data:
            headers["content-type"] = "application/json"
        writer.write(http1.head(f"{verb} /api/v1/{path} HTTP/1.1", headers) + data)
        await writer.drain()
        head = await http1.read_head(reader)
        answer = await http1.read_body(reader, head.headers)
        if head.headers.get("connection", "").lower() == "close":
            self.hang_up()
        return int(head.start[1]), http1.decoded(answer) if answer else {}

    async def all(self, kind: str) -> dict[str, Json]:
        """Every record of a kind, by name."""
        found: dict[str, Json] = {}
        cursor = ""
        while True:
            status, page = await self.ask("GET", f"{kind}?limit=100{cursor}")
            if status != 200:
                raise ValueError(f"{status} {page}")
            found |= {item["name"]: item for item in page["items"]}
            if not page["next_cursor"]:
                return found
            cursor = f"&cursor={quote(page['next_cursor'], safe='')}"


def grid(titles: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    """A table for people."""
    texts = [list(titles), *([str(each) for each in line] for line in lines)]
    widths = [max(len(line[i]) for line in texts) for i in range(len(titles))]
    return "\n".join(
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip()
        for line in texts
    )
