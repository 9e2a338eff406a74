"""`gateway prompts`."""

from __future__ import annotations

from typing import Any

import click

from portico._core.contracts.json import Json
from portico.cli.api import Api, api_options
from portico.cli.commands.prompt import say, values_of
from portico.cli.connect import EPILOG, Where, connection_options, session
from portico.cli.listing import listing_group
from portico.cli.nouns import PROMPTS
from portico.cli.record_commands import add_commands
from portico.cli.record_options import config_of, file_option, set_option
from portico.cli.records import changes
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


@command.command("render")
@click.argument("name")
@click.argument("arguments", nargs=-1, metavar="[KEY=VALUE...]")
@api_options
@file_option
@set_option
@click.option("--json", "raw", is_flag=True, help="The result as it is, for machines.")
def render(
    name: str, arguments: tuple[str, ...], api: Api, file: str | None, sets: tuple[str, ...], raw: bool
) -> None:
    """Try the gateway's own prompt NAME out, also one that is disabled; nothing is kept.

    With --file or --set it is tried as it would be: --set changes what it holds, --file replaces it.
    """
    body: Json = {"arguments": values_of(arguments)}
    if file:
        body["config"] = config_of(file, sets)
    elif sets:
        from portico._config.sources import merge

        kept = api.find(PROMPTS.kind, name)
        body["config"] = merge(kept.body["config"] if kept is not None else {}, changes(sets))
    say(api.request("POST", [PROMPTS.kind, name, "render"], body).body, raw)


add_commands(command, PROMPTS)
