"""What the supervisor of `gateway serve` runs as a worker process."""

from __future__ import annotations

import click


@click.command("_worker", hidden=True)
@click.argument("fd", type=int)
def command(fd: int) -> None:
    """Serve as the supervisor at the other end of this descriptor says."""
    from portico._host.worker import work
    from portico.cli.running import run

    raise click.exceptions.Exit(work(fd, run))
