"""`gateway serve`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from portico.cli.compose import PRECEDENCE, Sources, compose, installed, source_options

if TYPE_CHECKING:
    from portico._core.gateway import Gateway

_EPILOG = f"{PRECEDENCE} SIGTERM or Ctrl-C lets calls in flight finish; a second one does not."


@click.command("serve", epilog=_EPILOG)
@source_options
@click.option("--stdio", is_flag=True, help="Be an MCP server on stdin and stdout instead of listening.")
@click.option(
    "--server", metavar="NAME", default="default", help="With --stdio: the virtual server. [default: default]"
)
@click.option("--quiet", is_flag=True, help="Do not print where to connect.")
def command(sources: Sources, stdio: bool, server: str, quiet: bool) -> None:
    """Run the gateway: one MCP endpoint in front of the configured MCP servers.

    With no file at all: gateway serve --upstream "mcp-server-time --local-timezone=UTC"
    """
    from portico.cli.banner import announce
    from portico.cli.running import run

    settings = compose(sources, installed(sources.plugins))

    def ready(gateway: Gateway, addresses: Sequence[str]) -> None:
        if not quiet:
            announce(gateway, addresses)

    if stdio:
        from portico._core.stdio_serve import serve_stdio

        run(serve_stdio(settings, server))
    else:
        from portico._core.serve import serve

        run(serve(settings, ready))
