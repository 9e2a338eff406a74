"""`gateway reload`."""

from __future__ import annotations

import json

import click

from portico.cli.control import Running, ask, running_options
from portico.cli.show import counted

_SECONDS = 3600.0


@click.command("reload", epilog="Exit codes: 0 it serves the new one, 1 it goes on with the old one.")
@running_options
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def command(running: Running, as_json: bool) -> None:
    """Have a running gateway read its configuration again.

    New workers take the place of the old one by one, and no call fails. If a new worker does not start, the
    old ones go on, and this says why.
    """
    done = ask(running, {"do": "reload"}, _SECONDS)
    if as_json:
        click.echo(json.dumps(done, indent=2, ensure_ascii=False))
    else:
        click.echo(f"generation {done['generation']} serves with {counted(done['workers'], 'workers')}")
