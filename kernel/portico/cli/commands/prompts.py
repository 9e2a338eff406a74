"""`gateway prompts`."""

from __future__ import annotations

from typing import Any

import click

from portico.cli.connect import EPILOG, Where, connection_options, session
from portico.cli.listing import listing_group
from portico.cli.nouns import PROMPTS, add_commands
from portico.cli.show import as_json, line, table


@listing_group("prompts", epilog=EPILOG)
@connection_options
@click.option("--json", "raw", is_flag=True, help="The definitions, for machines.")
def command(where: Where, raw: bool) -> None:
    """Without a command: list a gateway's prompts, as clients see them. With one: manage its own."""
    with session(where) as gateway:
        prompts = gateway.everything("prompts/list", "prompts")
    if raw:
        as_json({"prompts": prompts})
        return
    rows = [
        [line(each.get("name")), _arguments(each.get("arguments")), line(each.get("description") or "")]
        for each in prompts
    ]
    click.echo("\n".join(table(["PROMPT", "ARGUMENTS", "DESCRIPTION"], rows)) if rows else "no prompts")


def _arguments(given: Any) -> str:
    items = [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []
    return ", ".join(f"{line(each.get('name'))}{'' if each.get('required') else '?'}" for each in items)


add_commands(command, PROMPTS)
