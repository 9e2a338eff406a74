"""The `mcp` upstream kind: MCP servers of every revision, over streamable HTTP, HTTP+SSE and stdio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from portico.api import Factory, Host, Later, Upstream, hookimpl

if TYPE_CHECKING:
    from pathlib import Path

    from .config import McpConfig

gateway_api = (1, 0)


def settings() -> type[McpConfig]:
    """The keys of its table, imported where there is one."""
    from .config import McpConfig

    return McpConfig


def check(config: McpConfig, base: Path) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is not on this machine: programs, scripts; files of certificates that are none."""
    from portico_plugins.pem import pem

    from .programs import lacking

    yield from pem(config.ca_file)
    for key, argv in (("command", config.command), ("launch", config.launch)):
        if argv:
            yield from (((key, at), text) for at, text in lacking(config, argv, base))


@asynccontextmanager
async def mcp(config: McpConfig, host: Host) -> AsyncIterator[Upstream]:
    """Start one MCP upstream. An unreachable server is no error: it is degraded and tried again."""
    from .launch import launched
    from .upstream import McpUpstream  # not before it is needed

    async with launched(config, host) as running:
        upstream = McpUpstream(running, host)
        await upstream.start()
        try:
            yield upstream
        finally:
            await upstream.stop()


MCP = Factory(
    name="mcp",
    summary="An MCP server: streamable HTTP, HTTP+SSE or a stdio process, of any protocol revision.",
    config=Later(settings),
    create=mcp,
    posture="hardened",
    check=check,
)


@hookimpl
def gateway_upstreams() -> Sequence[Factory[Any, Upstream]]:
    """Offer the `mcp` kind."""
    return (MCP,)
