"""`gateway tools`."""

from __future__ import annotations

from typing import Any

import click

from portico._core.contracts.json import Json
from portico.cli import records
from portico.cli.api import Api, api_options
from portico.cli.connect import EPILOG, Where, connection_options, session
from portico.cli.failures import Misuse
from portico.cli.listing import listing_group
from portico.cli.record_options import dry_run_option, json_option, set_option, version_option
from portico.cli.show import arguments, as_json, line, table


@listing_group("tools", epilog=EPILOG)
@connection_options
@click.option("--json", "raw", is_flag=True, help="The definitions, for machines.")
def command(where: Where, raw: bool) -> None:
    """Without a command: list a gateway's tools, as clients see them. With one: change how they are shown."""
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


def override_of(tool: str) -> str:
    """The name of a tool's override, from `UPSTREAM/TOOL`.

    Raises:
        Misuse: It is not that.
    """
    upstream, slash, name = tool.partition("/")
    if not upstream or not slash or not name:
        raise Misuse(f"expected UPSTREAM/TOOL, got {tool!r}")
    return f"{upstream}/tools/{name}"


@command.command("show")
@click.argument("tool", metavar="UPSTREAM/TOOL")
@api_options
@json_option
def show(tool: str, api: Api, raw: bool) -> None:
    """Show what is changed about a tool."""
    found = api.find("overrides", override_of(tool))
    if found is not None:
        records.shown(found.body, raw)
    elif raw:
        as_json(None)
    else:
        click.echo(f"tool {line(tool)} is shown as its upstream sends it: it has no override")


def _changing(verb: str, text: str) -> click.Command:
    @click.command(
        verb,
        help=text,
        epilog=f"Example: gateway tools {verb} docs/search --name find --default limit=10",
    )
    @click.argument("tool", metavar="UPSTREAM/TOOL")
    @click.option("--name", help="What clients know it by.")
    @click.option("--title", help="Its title.")
    @click.option("--description", help="Its description.")
    @click.option("--tag", "tags", multiple=True, help="A tag. Repeatable; replaces those it had.")
    @click.option(
        "--default",
        "defaults",
        multiple=True,
        metavar="ARGUMENT=VALUE",
        help="For calls without it. Repeatable.",
    )
    @click.option("--hide", "hidden", multiple=True, metavar="ARGUMENT", help="Hide an argument. Repeatable.")
    @set_option
    @click.option(
        "--unset", multiple=True, metavar="KEY", help="Show that as its upstream sends it. Repeatable."
    )
    @api_options
    @version_option
    @dry_run_option
    @json_option
    def changing(
        tool: str,
        api: Api,
        sets: tuple[str, ...],
        unset: tuple[str, ...],
        defaults: tuple[str, ...],
        if_version: int | None,
        dry_run: bool,
        raw: bool,
        **values: Any,
    ) -> None:
        from portico._config.sources import merge

        said = {
            key: list(value) if isinstance(value, tuple) else value for key, value in values.items() if value
        }
        if defaults:
            said["defaults"] = records.changes(defaults)
        config = merge(said, records.changes(sets, unset))
        change(api, tool, config, 0 if verb == "add" else if_version, dry_run, raw, "changed")

    return changing


@command.command("rm")
@click.argument("tools", nargs=-1, required=True, metavar="UPSTREAM/TOOL...")
@api_options
@dry_run_option
@json_option
def rm(tools: tuple[str, ...], api: Api, dry_run: bool, raw: bool) -> None:
    """Show tools as their upstreams send them again: what was changed about them is deleted."""
    for tool in tools:
        name = override_of(tool)
        answer = api.request("DELETE", ["overrides", name], query={"dry_run": dry_run})
        if raw:
            as_json({"kind": "overrides", "name": name, **answer.body})
        else:
            click.echo(f"tool {line(tool)} {'would be' if dry_run else 'is'} shown as its upstream sends it")


def _switch(verb: str, enabled: bool) -> click.Command:
    @click.command(verb, help=f"{verb.title()} tools.")
    @click.argument("tools", nargs=-1, required=True, metavar="UPSTREAM/TOOL...")
    @api_options
    @dry_run_option
    @json_option
    def switch(tools: tuple[str, ...], api: Api, dry_run: bool, raw: bool) -> None:
        for tool in tools:
            change(api, tool, {"enabled": enabled}, None, dry_run, raw, f"{verb}d")

    return switch


def change(
    api: Api, tool: str, config: Json, version: int | None, dry_run: bool, raw: bool, what: str
) -> None:
    """Change the override of a tool, or make it one.

    Args:
        api: The gateway.
        tool: `UPSTREAM/TOOL`.
        config: A merge patch; empty for having it edited.
        version: What the override must have, 0 for that there is none; None for any.
        dry_run: Only check.
        raw: Print the record.
        what: What became of it, for people.
    """
    name = override_of(tool)
    found = api.find("overrides", name)
    if found is not None and version == 0:
        raise Misuse(f"tool {tool!r} is shown in another way already: `gateway tools edit` changes that")
    if not config:
        empty: Json = {"kind": "overrides", "name": name, "config": {}, "about": {}}
        patch = records.edited(found.body if found else empty)
        if not patch:
            click.echo("nothing was changed", err=True)
            return
    else:
        patch = {"config": config}
    expected = (found.version if found else 0) if version is None else version
    query, path = {"dry_run": dry_run}, ["overrides", name]
    if found is None:
        whole = {"config": _set_ones(patch.get("config", {})), "about": _set_ones(patch.get("about", {}))}
        answer = api.request("PUT", path, whole, query, expected)
    else:
        answer = api.request("PATCH", path, patch, query, expected)
    if raw:
        as_json(answer.body)
    else:
        click.echo(f"tool {line(tool)} {'would be ' if dry_run else ''}{what}")
    _warn(api, tool)


def _warn(api: Api, tool: str) -> None:
    """Say so when the upstream is there and has no such tool: the name may be a slip."""
    from portico._config.wording import nearest

    upstream, _, name = tool.partition("/")
    found = list(api.everything("tools", upstream=upstream))
    names = [str(each["name"]) for each in found]
    if name not in names and any(each["upstream_state"] == "ready" for each in found):
        said = f"{line(upstream)} has no tool {line(name)!r}{line(nearest(name, names, 'its tools'))}"
        click.echo(f"note: {said}", err=True)


def _set_ones(patch: Json) -> Json:
    return {
        key: _set_ones(value) if isinstance(value, dict) else value
        for key, value in patch.items()
        if value is not None
    }


command.add_command(_changing("add", "Show a tool in another way that has been shown as it is."))
command.add_command(
    _changing("edit", "Change how a tool is shown: by options, or in $EDITOR where none is given.")
)
command.add_command(_switch("enable", True))
command.add_command(_switch("disable", False))
command.add_command(
    click.Command(
        "list", callback=command.callback, params=command.params, help="The same as without a command."
    )
)
