"""`gateway call`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from portico._core.contracts.json import Json
from portico.cli.connect import EPILOG, Where, connection_options, session
from portico.cli.session import RpcError
from portico.cli.show import as_json, blocks


@click.command("call", epilog=EPILOG)
@click.argument("name")
@click.argument("arguments", nargs=-1, metavar="['{JSON}' | @FILE | - | KEY=VALUE...]")
@connection_options
@click.option("--json", "raw", is_flag=True, help="The result as it is, for machines.")
def command(name: str, arguments: tuple[str, ...], where: Where, raw: bool) -> None:
    """Call the tool NAME.

    Its arguments are a JSON object, the file or standard input (-) that holds one, or KEY=VALUE pairs, whose
    values are read as the tool's schema says.
    """
    given = _object(arguments)
    with session(where) as gateway:
        tools = {tool.get("name"): tool for tool in gateway.everything("tools/list", "tools")}
        schema = tools.get(name, {}).get("inputSchema")
        params: Json = {"name": name, "arguments": _pairs(arguments, schema) if given is None else given}
        try:
            result = gateway.request("tools/call", params, schema)
        except RpcError as error:
            if name not in tools:
                from portico._config.wording import nearest

                raise error.more(nearest(name, map(str, tools), "tools")) from None
            raise
    failed = result.get("isError") is True
    if raw:
        as_json(result)
    else:
        texts = blocks(result.get("content"))
        if texts:
            click.echo("\n".join(texts), err=failed)
        elif "structuredContent" in result:
            as_json(result["structuredContent"])
    if failed:
        raise click.exceptions.Exit(1)


def _object(arguments: tuple[str, ...]) -> Json | None:
    """The arguments where they come as one JSON object; None for pairs."""
    import msgspec

    if not arguments:
        return {}
    if not any(text == "-" or text[:1] in ("{", "[", "@") for text in arguments) and "=" in arguments[0]:
        return None
    first = arguments[0]
    if len(arguments) > 1:
        raise click.UsageError("expected one JSON object, or only KEY=VALUE pairs")
    try:
        text = sys.stdin.buffer.read() if first == "-" else _file(first[1:]) if first[:1] == "@" else first
        value = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise click.UsageError(
            f"the arguments are not JSON ({error}), nor KEY=VALUE: {first[:60]!r}"
        ) from None
    if not isinstance(value, dict):
        raise click.UsageError("the arguments must be a JSON object")
    return value


def _file(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}") from None


def _pairs(arguments: tuple[str, ...], schema: Any) -> Json:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    values: Json = {}
    for pair in arguments:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise click.UsageError(f"expected KEY=VALUE, got {pair!r}")
        field = properties.get(key) if isinstance(properties, dict) else None
        values[key] = _value(key, text, field if isinstance(field, dict) else {})
    return values


def _value(key: str, text: str, field: Json) -> Any:
    """A value as its schema wants it: text for strings, JSON for what is known to be something else."""
    import msgspec

    kind = field.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    if kind == "string":
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        if kind is None or "string" in kinds:
            return text
        raise click.UsageError(
            f"{key} must be {' or '.join(map(str, kinds))} in JSON, got {text!r}"
        ) from None
