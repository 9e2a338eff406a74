"""`versions` and `rollback` of a record, whatever its kind."""

from __future__ import annotations

from typing import Any

import click

from portico._core.contracts.json import Json
from portico.cli.api import Api, api_options
from portico.cli.failures import Failure
from portico.cli.nouns import Noun, done
from portico.cli.record_options import dry_run_option, json_option, version_option
from portico.cli.show import as_json, line, table


def add_versions(group: click.Group, noun: Noun) -> None:
    """Give a group the commands."""
    group.add_command(_versions(noun))
    group.add_command(_rollback(noun))


def _versions(noun: Noun) -> click.Command:
    @click.command("versions", help=f"List the versions of one {noun.one}, the newest first.")
    @click.argument("name")
    @api_options
    @click.option(
        "--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="No more than so many."
    )
    @json_option
    def command(name: str, api: Api, limit: int, raw: bool) -> None:
        found = api.request("GET", [noun.kind, name, "versions"], query={"limit": limit}).body
        if raw:
            as_json(found)
            return
        rows = [
            [
                f"{each['version']}{' *' if each['current'] else ''}",
                line(each["at"]),
                line(each["subject"] or "-"),
                line(each["via"] or "-"),
                line(", ".join(each["changed"]) or "-"),
            ]
            for each in found["items"]
        ]
        click.echo("\n".join(table(["VERSION", "WHEN", "BY", "VIA", "CHANGED"], rows)))

    return command


def _rollback(noun: Noun) -> click.Command:
    @click.command(
        "rollback",
        help=f"Make an old version of {noun.a} its newest: version N, by default the one before the "
        "newest. One that was deleted is there again; then it is the last by default.",
    )
    @click.argument("name")
    @click.argument("number", type=click.IntRange(min=1), required=False, metavar="[N]")
    @api_options
    @version_option
    @dry_run_option
    @json_option
    def command(
        name: str, api: Api, number: int | None, if_version: int | None, dry_run: bool, raw: bool
    ) -> None:
        number = number or _before(api, noun, name)
        path, query = [noun.kind, name, "rollback"], {"dry_run": dry_run}
        answer = api.request("POST", path, {"version": number}, query, if_version)
        done(
            answer.body,
            f"would be as in version {number}" if dry_run else _said(answer.body, number),
            noun,
            raw,
        )

    return command


def _said(item: Json, number: int) -> str:
    return f"is as in version {number}; that is version {item.get('version')}"


def _before(api: Api, noun: Noun, name: str) -> int:
    """The version before the one there is.

    Raises:
        Failure: There is none.
    """
    items: Any = api.request("GET", [noun.kind, name, "versions"], query={"limit": 2}).body["items"]
    older = [each for each in items if not each["current"]]
    if not older:
        raise Failure(f"{noun.one} {line(name)} has no version before this one")
    return int(older[0]["version"])
