"""`gateway history`."""

from __future__ import annotations

from itertools import islice

import click

from portico._core.contracts.json import Json
from portico._core.contracts.records import KINDS_MANAGED
from portico.cli.api import EPILOG, Api, api_options
from portico.cli.record_options import json_option
from portico.cli.show import as_json, line, table


@click.command("history", epilog=EPILOG)
@click.argument("kind", required=False, type=click.Choice(KINDS_MANAGED))
@click.argument("name", required=False)
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@click.option("--before", type=click.IntRange(min=1), metavar="REVISION", help="Only what is older.")
@api_options
@json_option
def command(kind: str | None, name: str | None, limit: int, before: int | None, api: Api, raw: bool) -> None:
    """Show who changed what, the newest first: all of it, that of a KIND, or that of one record."""
    found = api.everything("history", kind=kind, name=name, before=before, limit=min(limit + 1, 500))
    events = list(islice(found, limit + 1))
    page, more = events[:limit], len(events) > limit
    if raw:
        as_json({"items": page, "more": more})
        return
    head = ["REVISION", "WHEN", "WHO", "BY", "WHAT", "KIND", "NAME", "CHANGED"]
    click.echo("\n".join(table(head, map(_row, page))) if page else "nothing was changed")
    if more:
        click.echo("There is more: --limit shows more of it.", err=True)


def _row(event: Json) -> list[str]:
    return [
        str(event["revision"]),
        line(event["at"]).partition(".")[0].replace("T", " "),
        line(event["subject"]) or "-",
        line(event["via"]),
        line(event["action"]),
        line(event["kind"]),
        line(event["name"]),
        line(", ".join(event["changed"])) or "-",
    ]
