"""`gateway secrets`."""

from __future__ import annotations

import os
import sys
import time
from typing import Final

import click

from portico._core.contracts.json import Json
from portico.cli.api import EPILOG, Api, Problem, api_options
from portico.cli.failures import Misuse
from portico.cli.nouns import SECRETS
from portico.cli.record_commands import add_list, add_rm
from portico.cli.record_options import dry_run_option, json_option, version_option
from portico.cli.show import as_json, counted, line

_REPLACED: Final = 5.0
"""Seconds to wait until a worker that a reload has replaced takes no more requests."""


@click.group("secrets", epilog=EPILOG)
def command() -> None:
    """Manage what `${secret:NAME}` stands for. Values are kept sealed, and never shown."""


add_list(command, SECRETS)
add_rm(command, SECRETS)


@command.command("set", epilog="Example: pass show docs | gateway secrets set docs-key")
@click.argument("name")
@click.option("--from-env", metavar="VARIABLE", help="Take the value of this environment variable.")
@click.option("--description", help="For people.")
@api_options
@version_option
@dry_run_option
@json_option
def set_secret(
    name: str,
    from_env: str | None,
    description: str | None,
    api: Api,
    if_version: int | None,
    dry_run: bool,
    raw: bool,
) -> None:
    """Set the value of NAME: asked for on a terminal, else read from stdin."""
    if from_env is not None:
        value = os.environ.get(from_env, "")
    elif sys.stdin.isatty():
        value = click.prompt(f"Value of {name}", hide_input=True, err=True)
    else:
        value = sys.stdin.read().removesuffix("\n")
    if not value:
        raise Misuse("the value is empty")
    about = {"description": description} if description else {}
    body = {"config": {"value": value}, "about": about}
    answer = api.request("PUT", ["secrets", name], body, {"dry_run": dry_run}, if_version)
    if raw:
        as_json(answer.body)
    else:
        click.echo(f"secret {line(name)} {'would be ' if dry_run else ''}set")


@command.command("rotate")
@api_options
@dry_run_option
@json_option
def rotate(api: Api, dry_run: bool, raw: bool) -> None:
    """Put every secret under the first of the gateway's encryption keys.

    Afterwards the others are of no use to it, and can be taken out of `gateway.encryption_keys`.
    """
    answer = _rotated(api, dry_run)
    if raw:
        as_json(answer)
        return
    changed = int(answer["changed"])
    what = "would have" if dry_run else "have" if changed != 1 else "has"
    said = f"{counted(changed, 'records')} {what} secrets under the current key now"
    click.echo(said if changed else "every secret is under the current key")


def _rotated(api: Api, dry_run: bool) -> Json:
    """What the API answers, once it is no longer a worker that a reload has just replaced."""
    until = time.monotonic() + _REPLACED
    while True:
        try:
            return api.request("POST", ["secrets", "rotate"], query={"dry_run": dry_run}).body
        except Problem as problem:
            if not str(problem.said.get("type", "")).endswith(":draining") or time.monotonic() > until:
                raise
            time.sleep(0.2)
