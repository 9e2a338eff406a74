"""The kinds of record, as the commands name them."""

from __future__ import annotations

from typing import Final

import attrs
import click

from portico._core.contracts.json import Json
from portico.cli import records


@attrs.frozen
class Noun:
    """A kind of record.

    Attributes:
        kind: As the API has it.
        one: What one is called.
        example: What may stand after `add NAME`.
        reachable: Whether `add` takes `--url` and `--use`.
    """

    kind: str
    one: str
    example: str
    reachable: bool = False

    @property
    def a(self) -> str:
        """One of them, with its article."""
        return f"{'an' if self.one[0] in 'aeiou' else 'a'} {self.one}"


UPSTREAMS: Final = Noun("upstreams", "upstream", "--url https://mcp.example.com/mcp", reachable=True)


SERVERS: Final = Noun("servers", "virtual server", "--set 'upstreams=[\"docs\"]'")


PROMPTS: Final = Noun("prompts", "prompt", "--set template='Review {{ code }}.'")


RESOURCES: Final = Noun("resources", "resource", "--set uri=notes://one --set text=Hello")


OVERRIDES: Final = Noun("overrides", "override", "--set description=Better  (NAME is UPSTREAM/tools/TOOL)")


SECRETS: Final = Noun("secrets", "secret", "")


def done(item: Json, what: str, noun: Noun, raw: bool) -> None:
    """Say what became of a record."""
    from portico.cli.show import as_json, line

    if raw:
        as_json(item)
        return
    state = records.state_of(item) if item.get("state") else ""
    click.echo(f"{noun.one} {line(item['name'])} {what}" + (f": {state}" if state else ""))
