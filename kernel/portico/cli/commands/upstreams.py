"""`gateway upstreams`."""

from __future__ import annotations

from typing import Final

import click

from portico.cli.api import Api, Problem, api_options
from portico.cli.nouns import UPSTREAMS
from portico.cli.record_commands import noun_group
from portico.cli.record_options import config_of, file_option, json_option, reaching, set_option
from portico.cli.records import state_of
from portico.cli.show import arguments, as_json, counted, line, progress, table

command = noun_group(UPSTREAMS)
_IDLE: Final = ("starting", "stopped", "disabled", "invalid")
"""States of upstreams that have no lists to fetch."""


@command.command("test", epilog="Example: gateway upstreams test --url https://mcp.example.com/mcp")
@file_option
@set_option
@reaching(UPSTREAMS)
@json_option
def test(
    api: Api, file: str | None, sets: tuple[str, ...], url: str | None, use: str | None, raw: bool
) -> None:
    """Connect to a candidate and show what it offers; nothing is kept of it."""
    config = config_of(file, sets, url, use, kinds=True)
    offer = api.request("POST", ["upstreams", "test"], {"config": config}).body
    if raw:
        as_json(offer)
    else:
        info = offer.get("info") or {}
        who = f"{info.get('name') or 'the candidate'} {info.get('version') or ''}".rstrip()
        click.echo(f"{line(who)}: {state_of(offer)}")
    if not raw and offer.get("state") in ("ready", "degraded"):  # else it has said nothing
        lists = ("tools", "resources", "templates", "prompts")
        click.echo(", ".join(counted(len(offer.get(each) or ()), each) for each in lists))
        rows = [
            [line(tool.get("name")), arguments(tool.get("inputSchema")), line(tool.get("description") or "")]
            for tool in offer.get("tools") or ()
        ]
        click.echo("\n".join(table(["TOOL", "ARGUMENTS", "DESCRIPTION"], rows)) if rows else "no tools")
    if offer.get("state") != "ready":
        raise click.exceptions.Exit(1)


@command.command("refresh")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--all", "every", is_flag=True, help="All there are.")
@api_options
@json_option
def refresh(names: tuple[str, ...], every: bool, api: Api, raw: bool) -> None:
    """Have the lists of upstreams fetched again."""
    if every == bool(names):
        raise click.UsageError("name upstreams, or say --all")
    wanted = [str(item["name"]) for item in api.everything("upstreams")] if every else list(names)
    done, failed = [], []
    with progress(wanted, "Refreshing", len(wanted), raw=raw) as bar:
        for name in bar:
            try:
                done.append(api.request("POST", ["upstreams", name, "refresh"]).body)
            except Problem as error:
                failed.append(error)
    if raw:
        as_json({"items": done})
    else:
        for item in done:
            idle = "not " if item.get("state") in _IDLE else ""
            click.echo(f"upstream {line(item['name'])} {idle}refreshed: {state_of(item)}")
    for problem in failed:
        problem.show()
    if failed:
        raise click.exceptions.Exit(1)
