"""`gateway catalog`."""

from __future__ import annotations

from itertools import islice

import click

from portico._config.exchange.catalog import as_upstream, ways_to_have
from portico.cli.api import EPILOG, Api, api_options
from portico.cli.failures import Misuse
from portico.cli.imports import carry_out
from portico.cli.record_options import dry_run_option, json_option
from portico.cli.registry_v01 import OFFICIAL_URL, registry
from portico.cli.show import as_json, line, table

registry_option = click.option(
    "--registry",
    "source",
    metavar="URL|FILE",
    envvar="PORTICO_MCP_REGISTRY",
    default=OFFICIAL_URL,
    show_default=True,
    help="An MCP Registry (v0.1), or a file of its answers. [env: PORTICO_MCP_REGISTRY]",
)


@click.group("catalog", epilog=EPILOG)
def command() -> None:
    """Find servers in an MCP Registry, and add them as upstreams."""


@command.command("search")
@click.argument("words", nargs=-1)
@registry_option
@click.option("--limit", type=click.IntRange(min=1), default=30, show_default=True, help="At most so many.")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Leave out so many before.")
@json_option
def search(words: tuple[str, ...], source: str, limit: int, offset: int, raw: bool) -> None:
    """List the servers of a registry that all WORDS fit."""
    found = registry(source).search(" ".join(words))
    page = list(islice(found, offset, offset + limit + 1))
    servers, more = page[:limit], len(page) > limit
    if raw:
        as_json({"servers": servers, "more": more})
        return
    rows = [
        [
            line(each["name"]),
            line(each.get("version") or "-"),
            line(",".join(ways_to_have(each))) or "-",
            line(each.get("description") or ""),
        ]
        for each in servers
    ]
    click.echo("\n".join(table(["SERVER", "VERSION", "AS", "DESCRIPTION"], rows)) if rows else "no servers")
    if more:
        click.echo(f"There are more: --offset {offset + limit} shows them.", err=True)


@command.command("add")
@click.argument("server")
@registry_option
@click.option("--name", help="Of the upstream; by default the last part of the server's.")
@click.option("--server-version", default="latest", show_default=True, help="Of the server.")
@click.option(
    "--prefer",
    type=click.Choice(["remote", "package"]),
    default="remote",
    show_default=True,
    help="Of a server that has both.",
)
@api_options
@dry_run_option
@json_option
def add(
    server: str,
    source: str,
    name: str | None,
    server_version: str,
    prefer: str,
    api: Api,
    dry_run: bool,
    raw: bool,
) -> None:
    """Add SERVER, named as the registry names it, as an upstream."""
    found = registry(source).get(server, server_version)
    if found is None:
        version = "" if server_version == "latest" else f" {server_version}"
        raise Misuse(f"{source} has no server {server!r}{version}; `gateway catalog search` lists them")
    api.via = "catalog"
    every = as_upstream(found, prefer, name or "")
    if not every.items:
        raise Misuse("; ".join(f"{place}: {message}" for place, message in every.notes))
    carry_out(api, every, "fail", dry_run=dry_run, atomic=False, raw=raw)
