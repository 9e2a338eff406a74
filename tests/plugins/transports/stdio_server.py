"""A gateway on this process's stdin and stdout, in front of a `Scripted` upstream; run by `test_stdio`."""

from __future__ import annotations

import asyncio
import importlib.metadata
import sys
import tomllib

from portico._config.discovery import GROUP, discover
from portico._config.settings import Document, load
from portico._host.serve import serve_io

CONFIG = """
[upstreams.one]
use = "scripted"
[transports.stdio]
max_line = 100_000
"""


def main() -> None:
    points = [
        *importlib.metadata.entry_points(group=GROUP),
        importlib.metadata.EntryPoint("scripted", "tests.plugins.transports.scripted", GROUP),
    ]
    settings = load(Document(tomllib.loads(CONFIG), "test"), discover(entry_points=points), {})
    asyncio.run(serve_io(settings, lambda gateway, addresses: print("ready", file=sys.stderr, flush=True)))


if __name__ == "__main__":
    main()
