"""`list|show|add|edit|rm|enable|disable` for any kind of record: `gateway upstreams list`, and so on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import click

from portico._core.contracts.json import Json
from portico.cli import records
from portico.cli.api import EPILOG, Api, api_options
from portico.cli.nouns import Noun, done
from portico.cli.record_options import (
    VISIBILITIES,
    about_of,
    about_options,
    config_of,
    dry_run_option,
    file_option,
    json_option,
    reaching,
    set_option,
    version_option,
)
from portico.cli.versions import add_versions

_ARRIVAL: Final = 10.0
"""Seconds `add` waits for an upstream to be connected."""


def add_commands(group: click.Group, noun: Noun) -> None:
    """Give a group the commands of a noun."""
    for make in (
        _list,
        _show,
        _add,
        _edit,
        _rm,
        _switch("enable", "disabled"),
        _switch("disable", "enabled"),
    ):
        group.add_command(make(noun))
    add_versions(group, noun)


def add_list(group: click.Group, noun: Noun) -> None:
    """Give a group `list`."""
    group.add_command(_list(noun))


def add_rm(group: click.Group, noun: Noun) -> None:
    """Give a group `rm`."""
    group.add_command(_rm(noun))


def noun_group(noun: Noun) -> click.Group:
    """The group of a noun that is nothing but its commands."""
    group = click.Group(noun.kind, help=f"Manage the gateway's {noun.one}s.", epilog=EPILOG)
    add_commands(group, noun)
    return group


def _list(noun: Noun) -> click.Command:
    @click.command("list", help=f"List the {noun.one}s, of the configuration file and of the registry.")
    @api_options
    @click.option("--search", metavar="TEXT", help="Only those with this in their name, description or tags.")
    @click.option("--tag", multiple=True, help="Only those with this tag. Repeatable.")
    @click.option("--owner", help="Only those that belong to this subject.")
    @click.option("--team", help="Only those that belong to this team.")
    @click.option("--visibility", type=click.Choice(VISIBILITIES), help="Only those of this visibility.")
    @click.option("--state", help="Only those in this state.")
    @json_option
    def command(api: Api, search: str | None, tag: tuple[str, ...], raw: bool, **only: str | None) -> None:
        items = list(api.everything(noun.kind, q=search, tag=list(tag), **only))
        records.listed(items, f"{noun.one}s", raw)

    return command


def _show(noun: Noun) -> click.Command:
    @click.command("show", help=f"Show one {noun.one}.")
    @click.argument("name")
    @api_options
    @json_option
    def command(name: str, api: Api, raw: bool) -> None:
        records.shown(api.request("GET", [noun.kind, name]).body, raw)

    return command


def _add(noun: Noun) -> click.Command:
    epilog = f"Example: gateway {noun.kind} add NAME {noun.example}"

    @click.command("add", help=f"Create {noun.a}.", epilog=epilog)
    @click.argument("name")
    @file_option
    @set_option
    @about_options
    @click.option("--disabled", is_flag=True, help="Do not use it yet.")
    @reaching(noun)
    @dry_run_option
    @json_option
    def command(
        name: str,
        api: Api,
        file: str | None,
        sets: tuple[str, ...],
        disabled: bool,
        dry_run: bool,
        raw: bool,
        **values: Any,
    ) -> None:
        about = {**about_of(values), **({"enabled": False} if disabled else {})}
        config = config_of(file, sets, kinds=noun.reachable, **values)
        body = {"name": name, "config": config, "about": about}
        made = api.request("POST", [noun.kind], body, {"dry_run": dry_run}).body
        if not dry_run:
            made = _arrived(api, noun, made)
        done(made, "would be created" if dry_run else "created", noun, raw)

    return command


def _arrived(api: Api, noun: Noun, made: Json) -> Json:
    """A record, when what it stands for is no longer only about to be there, or that takes too long."""
    until = time.monotonic() + _ARRIVAL
    while made.get("state") == "starting" and time.monotonic() < until:
        time.sleep(0.1)
        made = api.request("GET", [noun.kind, str(made["name"])]).body
    return made


def _edit(noun: Noun) -> click.Command:
    @click.command("edit", help=f"Change {noun.a}: by options, or in $EDITOR where none is given.")
    @click.argument("name")
    @file_option
    @set_option
    @click.option(
        "--unset", multiple=True, metavar="KEY", help="Take a value of its config away. Repeatable."
    )
    @about_options
    @api_options
    @version_option
    @dry_run_option
    @json_option
    def command(
        name: str,
        api: Api,
        file: str | None,
        sets: tuple[str, ...],
        unset: tuple[str, ...],
        if_version: int | None,
        dry_run: bool,
        raw: bool,
        **values: Any,
    ) -> None:
        about, config = about_of(values), records.changes(sets, unset)
        path, query = [noun.kind, name], {"dry_run": dry_run}
        if file:
            if config:
                raise click.UsageError("--file is its whole config: --set and --unset do not go with it")
            found = api.request("GET", path)
            patch: Json = {"config": records.difference(found.body["config"], records.table_of(file))}
            if_version = found.version if if_version is None else if_version
        elif config or about:
            patch = {"config": config} if config else {}
        else:
            found = api.request("GET", path)
            if_version = found.version if if_version is None else if_version
            patch = records.edited(found.body)
            if not patch:
                click.echo("nothing was changed", err=True)
                return
        if about:
            patch["about"] = about
        answer = api.request("PATCH", path, patch, query, if_version)
        done(answer.body, "would be changed" if dry_run else "changed", noun, raw)

    return command


def _rm(noun: Noun) -> click.Command:
    @click.command("rm", help=f"Delete {noun.one}s.")
    @click.argument("names", nargs=-1, required=True, metavar="NAME...")
    @api_options
    @version_option
    @dry_run_option
    @json_option
    def command(names: tuple[str, ...], api: Api, if_version: int | None, dry_run: bool, raw: bool) -> None:
        if if_version is not None and len(names) > 1:
            raise click.UsageError("--if-version goes with one name")
        for name in names:
            answer = api.request("DELETE", [noun.kind, name], query={"dry_run": dry_run}, version=if_version)
            told = {"kind": noun.kind, "name": name, **answer.body}
            done(told, "would be deleted" if dry_run else "deleted", noun, raw)

    return command


def _switch(verb: str, before: str) -> Callable[[Noun], click.Command]:
    def make(noun: Noun) -> click.Command:
        @click.command(verb, help=f"{verb.title()} {noun.one}s that are {before}.")
        @click.argument("names", nargs=-1, required=True, metavar="NAME...")
        @api_options
        @version_option
        @dry_run_option
        @json_option
        def command(
            names: tuple[str, ...], api: Api, if_version: int | None, dry_run: bool, raw: bool
        ) -> None:
            if if_version is not None and len(names) > 1:
                raise click.UsageError("--if-version goes with one name")
            for name in names:
                path = [noun.kind, name, verb]
                answer = api.request("POST", path, query={"dry_run": dry_run}, version=if_version)
                done(answer.body, f"would be {verb}d" if dry_run else f"{verb}d", noun, raw)

        return command

    return make
