"""The gateway as an MCP server on stdin and stdout, both eras."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs

from portico.api import (
    PARSE_ERROR,
    ConfigError,
    Factory,
    Host,
    Principal,
    Refused,
    Transport,
    doc,
    error_frame,
    hookimpl,
    nearest,
)
from portico_plugins.fields import number

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from portico_plugins.transports.stdio.pipe import Pipe
    from portico_plugins.transports.talking.talk import Talk

gateway_api = (1, 0)

LAST_WORDS_SECONDS = 0.5
"""How long what was asked before stdin ended may take; clients that end a server wait about two seconds."""


@attrs.frozen
class StdioConfig:
    """Config of the `stdio` transport."""

    server: str = attrs.field(default="default", metadata=doc("The virtual server to serve."))
    max_line: int = number(16 * 1024 * 1024, "Longest message taken, in bytes.", least=1024)


class Stdio:
    """Serves one virtual server on this process's stdin and stdout.

    Whoever started the process is who calls: there is no credential to check.
    """

    def __init__(self, config: StdioConfig, host: Host) -> None:
        endpoints = host.wiring.endpoints
        if config.server not in endpoints:
            hint = nearest(config.server, endpoints, "configured")
            raise ConfigError(
                [(f"transports.{host.name}.server", f"no server {config.server!r} is configured{hint}")]
            )
        self._endpoint = endpoints[config.server]
        self._max_line = config.max_line

        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a uid without a name, as containers have
            user = "local"
        self._principal = Principal(user, host.name)

    def routes(self) -> Sequence[BaseRoute]:
        """None: it does its own I/O."""
        return ()

    async def run(self) -> None:
        """Serve until stdin ends, or nobody reads stdout any more."""
        from portico_plugins.transports.stdio.pipe import Pipe
        from portico_plugins.transports.talking.talk import Talk

        pipe = Pipe()
        talk = Talk(self._endpoint, self._principal, pipe)
        reader = asyncio.create_task(self._listen(talk, pipe))
        writer = asyncio.create_task(pipe.write_out())
        try:
            await asyncio.wait([reader, writer], return_when=asyncio.FIRST_COMPLETED)
            if reader.done():
                reader.result()
                await talk.finish(LAST_WORDS_SECONDS)
        finally:
            reader.cancel()
            await talk.close()
            pipe.close()
            await writer

    async def _listen(self, talk: Talk, pipe: Pipe) -> None:
        from portico_plugins.transports.stdio.pipe import lines_of_stdin

        async for line in lines_of_stdin(self._max_line):
            if line is None:
                too_long = Refused(PARSE_ERROR, f"Parse error: a message of more than {self._max_line} bytes")
                pipe.push(error_frame(None, too_long.body()))
            else:
                talk.receive(line)
            await pipe.room()


@asynccontextmanager
async def stdio(config: StdioConfig, host: Host) -> AsyncIterator[Transport]:
    """Create the transport; the kernel runs it."""
    yield Stdio(config, host)


STDIO = Factory(
    name="stdio",
    summary="MCP on stdin and stdout, for clients that start their servers.",
    config=StdioConfig,
    create=stdio,
    posture="hardened",
)


@hookimpl
def gateway_transports() -> Sequence[Factory[StdioConfig, Transport]]:
    """Offer the transport."""
    return (STDIO,)
