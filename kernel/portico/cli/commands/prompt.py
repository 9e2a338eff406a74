"""`gateway prompt`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from portico._core.contracts.json import Json
from portico.cli.connect import EPILOG, Where, connection_options, session
from portico.cli.session import RpcError
from portico.cli.show import as_json, block, safe


@click.command("prompt", epilog=EPILOG)
@click.argument("name")
@click.argument("arguments", nargs=-1, metavar="[KEY=VALUE...]")
@connection_options
@click.option("--json", "raw", is_flag=True, help="The result as it is, for machines.")
def command(name: str, arguments: tuple[str, ...], where: Where, raw: bool) -> None:
    """Get the prompt NAME, filled in with arguments."""
    values = values_of(arguments)
    with session(where) as gateway:
        try:
            result = gateway.request("prompts/get", {"name": name, "arguments": values})
        except RpcError as error:
            known = [str(each.get("name")) for each in gateway.everything("prompts/list", "prompts")]
            if name not in known:
                from portico._config.wording import nearest

                raise error.more(nearest(name, known, "prompts")) from None
            raise
    say(result, raw)


def values_of(pairs: Sequence[str]) -> dict[str, str]:
    """The arguments of a prompt, each given as `KEY=VALUE`.

    Raises:
        UsageError: One is not.
    """
    values: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise click.UsageError(f"expected KEY=VALUE, got {pair!r}")
        values[key] = value
    return values


def say(result: Json, raw: bool) -> None:
    """Print what a prompt comes to."""
    if raw:
        as_json(result)
        return
    for message in result.get("messages") or []:
        click.echo(f"{safe(message.get('role'))}: {block(message.get('content'))}")
