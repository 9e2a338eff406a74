"""`gateway version`."""

from __future__ import annotations

import click

from portico import __version__


@click.command("version")
def command() -> None:
    """Print the version."""
    click.echo(f"gateway {__version__}")
