"""`gateway db`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Final

import click

from portico._core.contracts.records import RegistryDown, Schema
from portico._core.errors import ConfigError
from portico.cli.compose import Sources, compose, installed, source_options
from portico.cli.failures import Failure, Misuse

_EPILOG: Final = (
    "Exit codes: 0 all is well, 1 the database is away or its schema not the one needed, 2 misuse."
)
_NOTHING: Final = "base"
"""What stands for the revision before the first one, as it does for Alembic."""

_json_option = click.option("--json", "raw", is_flag=True, help="For machines.")

States = tuple[str, tuple[str, str]]
"""The registry's name, and what `Schema.current` says."""


@click.group("db", epilog=_EPILOG)
def command() -> None:
    """Show and change the schema of the database that a registry keeps records in.

    SQLite is brought up to date when the gateway starts. Other databases are not: `gateway db upgrade` does
    it, before a new version of Portico is started. Gateways that run meanwhile go on.
    """


@command.command("current", epilog=_EPILOG)
@source_options
@_json_option
def current(sources: Sources, raw: bool) -> None:
    """Show the schema's revision, and the one that this version of Portico needs."""

    async def nothing(_: Schema) -> None:
        pass

    name, (found, needed) = _done(sources, nothing)
    _say(name, found, needed, raw)
    if found != needed:
        raise click.exceptions.Exit(1)


@command.command("upgrade", epilog=_EPILOG)
@click.argument("revision", required=False)
@source_options
@_json_option
def upgrade(sources: Sources, revision: str | None, raw: bool) -> None:
    """Bring the schema up to REVISION, by default to the one that is needed. Nothing is lost."""
    name, (found, needed) = _done(sources, lambda schema: schema.upgrade(revision))
    _say(name, found, needed, raw)


@command.command("downgrade", epilog=_EPILOG)
@click.argument("revision", required=False)
@source_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@_json_option
def downgrade(sources: Sources, revision: str | None, yes: bool, raw: bool) -> None:
    """Bring the schema down to REVISION, by default by one; `base` takes the tables and all records away."""
    if not yes:
        click.confirm(f"Take the schema down to {revision or 'the revision before'}?", abort=True, err=True)
    to = "" if revision == _NOTHING else revision
    name, (found, needed) = _done(sources, lambda schema: schema.downgrade(to))
    _say(name, found, needed, raw)


def _say(name: str, found: str, needed: str, raw: bool) -> None:
    if raw:
        click.echo(json.dumps({"registry": name, "current": found or None, "needed": needed}, indent=2))
        return
    state = "as needed" if found == needed else f"{needed} is needed"
    click.echo(f"registry {name!r}: {f'revision {found}' if found else 'no tables'}, {state}")


def _done(sources: Sources, act: Callable[[Schema], Awaitable[None]]) -> States:
    """Act on the schema of the registry that the configuration names; gives how it is then.

    Raises:
        Misuse: There is no registry, it has no schema, or that has no such revision.
        Failure: Its database is away.
    """
    settings = compose(sources, installed(sources.plugins))
    name = settings.registry
    if name is None:
        raise Misuse("the configuration has no registry ([registries.NAME])")
    component = settings.components["registries", name]
    make = component.factory.schema
    if make is None:
        raise Misuse(f'the registry {name!r} (use = "{component.use}") has no schema')

    async def work() -> tuple[str, str]:
        async with make(component.config, name, settings.base, settings.state) as schema:
            await act(schema)
            return await schema.current()

    try:
        return name, asyncio.run(work())
    except RegistryDown as down:
        raise Failure("; ".join([str(down), *getattr(down, "__notes__", ())])) from None
    except ConfigError as wrong:
        raise Misuse("; ".join(text for _, text in wrong.problems)) from None
