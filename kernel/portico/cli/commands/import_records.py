"""`gateway import`."""

from __future__ import annotations

from typing import Final

import click

from portico._config.exchange.formats import take
from portico._config.exchange.items import OnConflict
from portico.cli.api import EPILOG, Api, api_options
from portico.cli.imports import STRATEGIES, carry_out
from portico.cli.record_options import dry_run_option, json_option
from portico.cli.records import read_text

_PREFER: Final = ("remote", "package")


@click.command("import", epilog=EPILOG)
@click.argument("file")
@click.option(
    "--on-conflict",
    type=click.Choice(STRATEGIES),
    default="fail",
    show_default=True,
    help="What to do with a name that is in use. With `fail`, nothing is imported then.",
)
@click.option("--atomic", is_flag=True, help="All or none.")
@click.option(
    "--prefer",
    type=click.Choice(_PREFER),
    default="remote",
    show_default=True,
    help="Of a server.json that has both.",
)
@api_options
@dry_run_option
@json_option
def command(
    file: str, on_conflict: OnConflict, atomic: bool, prefer: str, api: Api, dry_run: bool, raw: bool
) -> None:
    """Make records of what is in FILE (- is stdin).

    FILE may be a Portico configuration (as `gateway export` writes it), mcpServers JSON, a server.json of the
    MCP Registry, or a ContextForge export.
    """
    name, taken = take(read_text(file), file, prefer)
    click.echo(f"{file}: {name}", err=True)
    api.via = "import"
    carry_out(api, taken, on_conflict, dry_run=dry_run, atomic=atomic, raw=raw)
