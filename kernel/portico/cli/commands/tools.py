"""`gateway tools`."""

from __future__ import annotations

import click

from portico.cli.connect import EPILOG, Where, connection_options, session
from portico.cli.show import arguments, as_json, line, table


@click.command("tools", epilog=EPILOG)
@connection_options
@click.option("--json", "raw", is_flag=True, help="The definitions, for machines.")
def command(where: Where, raw: bool) -> None:
    """List a gateway's tools."""
    with session(where) as gateway:
        tools = gateway.everything("tools/list", "tools")
    if raw:
        as_json({"tools": tools})
        return
    rows = [
        [line(tool.get("name")), arguments(tool.get("inputSchema")), line(tool.get("description") or "")]
        for tool in tools
    ]
    click.echo("\n".join(table(["TOOL", "ARGUMENTS", "DESCRIPTION"], rows)) if rows else "no tools")
