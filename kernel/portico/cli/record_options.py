"""Options that commands for records share, whatever the kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, get_args

import click

from portico._core.contracts.json import Json
from portico._core.contracts.records import Visibility
from portico.cli import records
from portico.cli.api import api_options, api_options_beside_url
from portico.cli.failures import Misuse
from portico.cli.nouns import Noun

VISIBILITIES: Final = get_args(Visibility)


json_option = click.option("--json", "raw", is_flag=True, help="As the API has it, for machines.")


dry_run_option = click.option("--dry-run", is_flag=True, help="Only check; nothing is changed.")


version_option = click.option(
    "--if-version",
    type=click.IntRange(min=0),
    metavar="N",
    help="Only if it has this version; 0: if it is new.",
)


set_option = click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set one value of its config: TOML where it is that, else text. Repeatable.",
)


file_option = click.option("--file", metavar="FILE", help="Its config as a TOML or JSON table; - is stdin.")


def about_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for what is said of a record, whatever its kind."""
    for option in (
        click.option("--visibility", type=click.Choice(VISIBILITIES), help="Who may see it."),
        click.option("--team", help="The team it belongs to."),
        click.option("--owner", help="The subject it belongs to."),
        click.option("--tag", "tags", multiple=True, help="A tag. Repeatable."),
        click.option("--description", help="For people."),
    ):
        function = option(function)
    return function


def about_of(values: dict[str, Any]) -> Json:
    """What those options say; nothing of those that were not given."""
    names = ("description", "tags", "owner", "team", "visibility")
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name in names
        if (value := values.pop(name)) not in (None, ())
    }


def reaching(noun: Noun) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options for the gateway, and what an upstream is reached by where the noun is that."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        if not noun.reachable:
            return api_options(function)
        use = click.option("--use", metavar="KIND", help="Its kind, one of `gateway plugins list`.")
        url = click.option(
            "--url", metavar="URL", help="Where it is; of an MCP server, unless --use says else."
        )
        return url(use(api_options_beside_url(function)))

    return add


def config_of(
    file: str | None,
    sets: tuple[str, ...],
    url: str | None = None,
    use: str | None = None,
    *,
    kinds: bool = False,
) -> Json:
    """What a new record is to hold.

    Args:
        file: Where most of it is.
        sets: What is set on top.
        url: Of an upstream: where it is.
        use: Likewise: its kind.
        kinds: Whether it is of a kind at all; what has a command to start is an MCP server then.

    Raises:
        Misuse: Nothing.
        ConfigError: An option is not what it should be.
    """
    from portico._config.sources import merge

    config = records.table_of(file) if file else {}
    if url:
        config |= {"use": "grpc" if url.startswith(("grpc://", "grpcs://")) else "mcp", "url": url}
    if use:
        config["use"] = use
    config = merge(config, records.changes(sets))
    if not config:
        raise Misuse("say what it is to hold, with --set or --file (of an upstream, also --url or --use)")
    if kinds and "command" in config:
        config.setdefault("use", "mcp")
    return config
