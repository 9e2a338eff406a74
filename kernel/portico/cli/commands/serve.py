"""`gateway serve`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs
import click

from portico.cli.compose import (
    PRECEDENCE,
    Sources,
    compose,
    config_file,
    gather,
    installed,
    source_options,
)
from portico.cli.failures import Failure, Misuse

if TYPE_CHECKING:
    from portico._config.settings import Settings
    from portico._core.contracts.json import Json
    from portico._host.gateway import Gateway

_EPILOG = (
    f"{PRECEDENCE} SIGTERM or Ctrl-C lets calls in flight finish; a second one does not. SIGHUP reloads."
)


@click.command("serve", epilog=_EPILOG)
@source_options
@click.option("--stdio", is_flag=True, help="Be an MCP server on stdin and stdout instead of listening.")
@click.option("--server", metavar="NAME", help="With --stdio: the virtual server.  [default: default]")
@click.option("--quiet", is_flag=True, help="Do not print where to connect.")
def command(sources: Sources, stdio: bool, server: str | None, quiet: bool) -> None:
    """Run the gateway: one MCP endpoint in front of the configured MCP servers.

    It needs no file: gateway serve --upstream "mcp-server-time --local-timezone=UTC"
    """
    from portico.cli import banner
    from portico.cli.running import run

    if server is not None and not stdio:
        raise click.UsageError("--server goes with --stdio; over HTTP, every virtual server has its URL")
    if stdio:
        from portico._host.serve import serve_io

        name = server or "default"
        settings = _on_stdio(sources, name)

        def talking(gateway: Gateway, _: Sequence[str]) -> None:
            if not quiet:
                banner.announce_stdio(gateway, name, sources)

        run(serve_io, settings, talking)
        return
    from portico._host.ending import settle
    from portico._host.workers.base import WorkerFailed
    from portico._host.workers.supervisor import Origin, supervise

    plugins = installed(sources.plugins)
    orders = gather(sources, plugins)
    settings = orders.settings(plugins)

    def ready(upstreams: Json, addresses: Sequence[str]) -> None:
        settle()
        if not quiet:
            banner.announce(settings, upstreams, addresses)

    origin = Origin(orders, lambda: gather(sources, plugins), config_file(sources))
    try:
        run(supervise, settings, origin, ready)
    except WorkerFailed as error:
        raise Failure(f"no worker could start: {error}") from error


def _on_stdio(sources: Sources, server: str) -> Settings:
    """The settings with `stdio` as the only transport.

    Raises:
        Misuse: There is no such virtual server.
    """
    from portico._config.wording import nearest

    table = {"use": "stdio", "server": server}
    sources = attrs.evolve(sources, overrides=(*sources.overrides, (("transports", "stdio"), table)))
    settings = compose(sources, installed(sources.plugins))
    if server not in settings.servers:
        raise Misuse(
            f"there is no virtual server {server!r}{nearest(server, settings.servers, 'configured')}"
        )
    kept = {
        key: each for key, each in settings.components.items() if key[0] != "transports" or key[1] == "stdio"
    }
    return attrs.evolve(settings, components=kept)
