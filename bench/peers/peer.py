"""What the bench has to know of a peer: how to install it, how to start it, where it listens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import attrs

from bench.load import Endpoint


@attrs.frozen
class Site:
    """Where one peer runs.

    Attributes:
        programs: The folder of the programs of its environment (`venv/bin`).
        folder: Its working directory and home; kept over its starts, gone after the run.
        port: The port on 127.0.0.1 it is to listen on.
        upstream: The stub's port.
        secret: Random hexadecimal digits, for peers that want a key; the same over its starts.
    """

    programs: Path
    folder: Path
    port: int
    upstream: int
    secret: str

    @property
    def upstream_url(self) -> str:
        """The stub's MCP endpoint."""
        return f"http://127.0.0.1:{self.upstream}/mcp"

    def program(self, name: str) -> str:
        """The path of a program of its environment."""
        return str(self.programs / name)


@attrs.frozen
class Launch:
    """How it is started.

    Attributes:
        words: The argument list.
        endpoint: The path and the headers it wants; the tool's name is found out.
        environment: Variables beside PATH, HOME and the like.
    """

    words: tuple[str, ...]
    endpoint: Endpoint = attrs.field(factory=Endpoint)
    environment: Mapping[str, str] = attrs.field(factory=dict)


def _nothing_to_register(site: Site, launch: Launch) -> None:
    """Most peers read their upstream from their configuration."""


@attrs.frozen
class Peer:
    """One system, or one way to run it.

    Attributes:
        name: For `--only`.
        title: For the table.
        version: The version of `requirement`; part of the table.
        requirement: What to install, pinned; "" when there is nothing to install.
        note: How it runs here, in a sentence.
        launch: Gives its start; writes the files it needs.
        register: What is to be done once, when it first listens. An OSError means "not yet".
        home: The name of its environment; ways to run one system share one.
    """

    name: str
    title: str
    version: str
    requirement: str
    note: str
    launch: Callable[[Site], Launch]
    register: Callable[[Site, Launch], None] = _nothing_to_register
    home: str = attrs.field(default=attrs.Factory(lambda self: self.name, takes_self=True))
