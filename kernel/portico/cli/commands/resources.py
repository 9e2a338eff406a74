"""`gateway resources`."""

from __future__ import annotations

import click

from portico.cli.connect import EPILOG, Where, connection_options, session
from portico.cli.listing import listing_group
from portico.cli.nouns import RESOURCES
from portico.cli.record_commands import add_commands
from portico.cli.show import as_json, line, table


@listing_group("resources", epilog=EPILOG)
@connection_options
@click.option("--json", "raw", is_flag=True, help="The definitions, for machines.")
def command(where: Where, raw: bool) -> None:
    """Without a command: list a gateway's resources, as clients see them. With one: manage its own."""
    with session(where) as gateway:
        resources = gateway.everything("resources/list", "resources")
        templates = gateway.everything("resources/templates/list", "resourceTemplates")
    if raw:
        as_json({"resources": resources, "resourceTemplates": templates})
        return
    rows = [
        [
            line(each.get("uri") or each.get("uriTemplate")),
            line(each.get("mimeType") or "-"),
            line(each.get("description") or each.get("title") or each.get("name") or ""),
        ]
        for each in (*resources, *templates)
    ]
    click.echo("\n".join(table(["URI", "TYPE", "DESCRIPTION"], rows)) if rows else "no resources")


add_commands(command, RESOURCES)
