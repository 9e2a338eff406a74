"""`gateway read`."""

from __future__ import annotations

import base64
import binascii
import sys
from typing import Any

import click

from portico.cli.connect import EPILOG, Where, connection_options, session
from portico.cli.failures import Failure
from portico.cli.show import as_json, safe


@click.command("read", epilog=EPILOG)
@click.argument("uri")
@connection_options
@click.option("--json", "raw", is_flag=True, help="The result as it is, for machines.")
def command(uri: str, where: Where, raw: bool) -> None:
    """Read the resource URI. Binary content is written as it is, but not to a terminal."""
    with session(where) as gateway:
        result = gateway.request("resources/read", {"uri": uri})
    if raw:
        as_json(result)
        return
    for content in result.get("contents") or []:
        _write(content if isinstance(content, dict) else {})


def _write(content: dict[str, Any]) -> None:
    terminal = sys.stdout.isatty()
    if "blob" not in content:
        text = str(content.get("text", ""))
        click.echo(safe(text) if terminal else text, nl=terminal and not text.endswith("\n"))
        return
    try:
        data = base64.b64decode(content["blob"], validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise Failure("the server sent binary content that is not base64") from None
    if terminal:
        click.echo(f"[{safe(content.get('mimeType') or 'binary')}, {len(data)} bytes; redirect it to a file]")
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
