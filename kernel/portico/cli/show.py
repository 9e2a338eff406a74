"""What commands print for people: tables, content blocks, texts of servers without control characters."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, TypeVar

import click

from portico._core.contracts.json import Json

T = TypeVar("T")

# All but newline and tab of what could move the cursor, end a line or reorder the text.
_CONTROL: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]"
)
_LEAST: Final = 20


def safe(text: Any) -> str:
    """A text from a server as a terminal may get it."""
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", str(text))


def line(text: Any) -> str:
    """The first line of a text, made safe."""
    return " ".join(safe(text).strip().partition("\n")[0].split())


def counted(number: int, plural: str) -> str:
    """`1 tool`, `2 tools`, `1 policy`."""
    if number != 1:
        return f"{number} {plural}"
    return f"1 {plural[:-3]}y" if plural.endswith("ies") else f"1 {plural[:-1]}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], width: int | None = None) -> list[str]:
    """Aligned columns; the last one is cut to fit a terminal.

    Args:
        head: Column titles.
        rows: Cells of one line each.
        width: Of the terminal; None finds out, and cuts nothing where stdout is none.
    """
    if width is None:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    every = [list(head), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in every) for column in range(len(head))]
    lines = []
    for row in every:
        text = "  ".join(cell.ljust(widths[column]) for column, cell in enumerate(row)).rstrip()
        if width >= _LEAST and len(text) > width:
            text = text[: width - 3] + "..."
        lines.append(text)
    return lines


def arguments(schema: Any) -> str:
    """The arguments of a tool: `path, limit?`, optional ones marked."""
    schema = schema if isinstance(schema, dict) else {}
    properties = schema.get("properties")
    required = schema.get("required")
    names = properties if isinstance(properties, dict) else {}
    needed = required if isinstance(required, list) else []
    return ", ".join(line(name) if name in needed else f"{line(name)}?" for name in names)


def blocks(content: Any) -> list[str]:
    """Content blocks of a tool result or prompt, as text."""
    return [block(item) for item in content] if isinstance(content, list) else []


def block(item: Any) -> str:
    """One content block: its text, or what it is."""
    if not isinstance(item, dict):
        return f"[{safe(item)}]"
    kind = item.get("type")
    if kind == "text":
        return safe(item.get("text", ""))
    if kind in ("image", "audio"):
        size = len(str(item.get("data", ""))) * 3 // 4
        return f"[{kind}, {safe(item.get('mimeType'))}, about {size} bytes; --json shows it]"
    if kind == "resource_link":
        return f"[{safe(item.get('name') or 'resource')}: {safe(item.get('uri'))}]"
    if kind == "resource" and isinstance(item.get("resource"), dict):
        resource: Json = item["resource"]
        return safe(resource["text"]) if "text" in resource else f"[resource {safe(resource.get('uri'))}]"
    return f"[{safe(kind)}; --json shows it]"


def progress(
    items: Iterable[T], label: str, length: int, *, raw: bool
) -> AbstractContextManager[Iterable[T]]:
    """The items, with a bar on stderr that says how far it is: of several, for people, on a terminal.

    Args:
        items: What takes its time.
        label: What stands before the bar.
        length: How many there are.
        raw: Whether machines read what is printed.
    """
    if raw or length < 2 or not sys.stderr.isatty():
        return nullcontext(items)
    return click.progressbar(items, length=length, label=label, file=sys.stderr)


def as_json(value: Any) -> None:
    """Print a JSON value for machines, unchanged: big integers stay exact."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
