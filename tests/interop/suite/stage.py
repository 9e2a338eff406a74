"""The ways from a client to a server, and what has to run for each."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import attrs

from tests.interop.carriers import CARRIERS
from tests.interop.client_wrapper import answer
from tests.interop.processes import fixture, serving
from tests.interop.speaking import MODERN, Json, Speaker
from tests.ports import free_port

LEGACY: Final = "2025-11-25"
ERAS: Final = ("legacy", "modern")
VERSIONS: Final = {"legacy": LEGACY, "modern": MODERN}

ALL: Final[Json] = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {"listChanged": True}}
"""What a client can be asked for."""

PAGE: Final = 7
"""Entries on a page of the lists that a served gateway gives."""

_GATEWAY: Final = str(Path(sys.executable).with_name("gateway"))
_ENDS: Final = {
    "streamable_http": ("http", "mcp"),
    "sse": ("http", "sse"),
    "websocket": ("ws", "ws"),
    "jsonrpc": ("http", "rpc"),
}


@attrs.frozen
class Line:
    """A way from a client of one era to a server of one.

    Attributes:
        way: Through what: a key of `WAYS`.
        client: The client's era.
        server: The server's.
    """

    way: str
    client: str
    server: str

    @property
    def carrier(self) -> str:
        """The transport that the client speaks."""
        return WAYS[self.way][0]

    def __str__(self) -> str:
        return f"{self.way}-{self.client}_client-{self.server}_server"


class Stage:
    """What runs, each from when it is first needed.

    Args:
        folder: For configurations and logs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self._urls: dict[str, str] = {}

    def close(self) -> None:
        """End everything."""
        self._stack.close()

    def client(self, line: Line, version: str | None = None, capabilities: Json | None = None) -> Speaker:
        """A client at the beginning of a line; it is not connected yet.

        Args:
            line: Which.
            version: Its revision, if not the latest of its era.
            capabilities: What it declares, if not all there is.
        """
        carrier, address = WAYS[line.way]
        where = address(self, line.server)
        return CARRIERS[carrier](where, version or VERSIONS[line.client], answer, capabilities or ALL)

    def fixture(self, era: str) -> str:
        """The endpoint of a server of one era, made with the SDK."""

        def start() -> str:
            return self._stack.enter_context(fixture(f"bridge_{era}", self._folder)).url

        return self._once(f"fixture-{era}", start)

    def gateway(self) -> str:
        """The address of a gateway in front of both, with every transport that has a port."""

        def start() -> str:
            port = free_port()
            transports = "".join(f"[transports.{name}]\n" for name in _ENDS)
            config = self._config(f'listen = ["127.0.0.1:{port}"]', transports)
            command = ["serve", "--config", config]
            self._stack.enter_context(serving(command, port, self._folder / "gateway.log"))
            return f"//127.0.0.1:{port}"

        return self._once("gateway", start)

    def bridge(self) -> str:
        """The address of a bridge in front of both as processes, exposing every transport that has a port."""

        def start() -> str:
            port = free_port()
            command = ["bridge", "--port", str(port), "--expose", ",".join(_ENDS).replace("_", "-")]
            for era in ERAS:
                server = [sys.executable, "-m", f"tests.interop.bridge_{era}", "--stdio"]
                command += ["--named-server", era, shlex.join(server)]
            self._stack.enter_context(serving(command, port, self._folder / "bridge.log"))
            return f"//127.0.0.1:{port}"

        return self._once("bridge", start)

    def on_stdio(self, era: str) -> str:
        """The command line of a gateway that serves on stdio."""
        return _command("serve", "--stdio", "--server", era, "--quiet", "--config", self._config("", ""))

    def _config(self, gateway: str, transports: str) -> str:
        both = "".join(
            f'[upstreams.{era}]\nuse = "mcp"\nurl = "{self.fixture(era)}"\n'
            f'[servers.{era}]\nupstreams = ["{era}"]\nprefix = "never"\npage_size = {PAGE}\n'
            for era in ERAS
        )
        path = self._folder / ("gateway.toml" if transports else "stdio.toml")
        path.write_text(f'[gateway]\nlog_level = "warning"\n{gateway}\n{both}{transports}')
        return str(path)

    def _once(self, name: str, start: Callable[[], str]) -> str:
        if name not in self._urls:
            self._urls[name] = start()
        return self._urls[name]


Address = Callable[[Stage, str], str]


def _command(*words: str) -> str:
    return shlex.join([_GATEWAY, *words])


def _at(carrier: str, running: Callable[[Stage], str]) -> tuple[str, Address]:
    """One transport of something that runs; each server has a path."""
    scheme, end = _ENDS[carrier]
    return carrier, lambda stage, era: f"{scheme}:{running(stage)}/servers/{era}/{end}"


WAYS: Final[Mapping[str, tuple[str, Address]]] = {
    **{carrier: _at(carrier, Stage.gateway) for carrier in _ENDS},
    "stdio": ("stdio", Stage.on_stdio),
    "wrapper": (
        "stdio",
        lambda stage, era: _command("wrapper", "--url", f"http:{stage.gateway()}/servers/{era}"),
    ),
    "connect": ("stdio", lambda stage, era: _command("bridge", "--connect", stage.fixture(era), "--stdio")),
    **{f"bridge_{carrier}": _at(carrier, Stage.bridge) for carrier in _ENDS},
}
"""Name -> the transport that the client speaks, and where to; for a command, what to start.

`streamable_http` to `stdio` are a gateway's transports; `wrapper` is in front of that gateway, `connect` (a
bridge on stdio) in front of the server itself; `bridge_*` is a bridge before the server as a process.
"""

LINES: Final = tuple(Line(way, client, server) for way in WAYS for client in ERAS for server in ERAS)
"""All there are."""
