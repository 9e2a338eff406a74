"""`gateway export`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from portico._config.exchange.items import ORDER, Item
from portico._config.exchange.portico import Secrets, to_portico
from portico._core.contracts.json import Json
from portico.cli.api import EPILOG, Api, api_options
from portico.cli.failures import Failure
from portico.cli.show import counted, line

_SECRETS: Final = ("env", "secret")


@click.command("export", epilog=EPILOG)
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write to this file, not to stdout.")
@click.option(
    "--secrets",
    type=click.Choice(_SECRETS),
    default="env",
    show_default=True,
    help="Refer to secrets as ${env:NAME}, which `gateway serve` takes, or as ${secret:NAME}.",
)
@click.option("--all", "every", is_flag=True, help="Also what comes from the gateway's configuration file.")
@api_options
def command(output: Path | None, secrets: Secrets, every: bool, api: Api) -> None:
    """Write the gateway's records as a configuration file, which `gateway import` takes back.

    Values of secrets are never in it.
    """
    origin = None if every else "registry"
    items = [
        Item(kind, str(each["name"]), each["config"], each["about"], _made(each))
        for kind in ORDER
        for each in api.records(kind, origin=origin)
    ]
    text, notes = to_portico(items, secrets)
    if output is None:
        click.echo(text, nl=False)
    else:
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise Failure(f"{output} cannot be written: {error.strerror}") from None
        click.echo(f"Wrote {counted(len(items), 'records')} to {output}.", err=True)
    for place, note in notes:
        click.echo(f"gateway: {line(place)}: {line(note)}", err=True)


def _made(item: Json) -> Json:
    """When a record was made, and by whom; nothing of what comes from the file."""
    return {"at": item["created"], "by": item.get("created_by") or ""} if item.get("created") else {}
