"""What is printed of records, and how the command line says what one is to hold."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from portico._config.exchange import toml
from portico._core.contracts.json import Json
from portico.cli.failures import Failure, Misuse
from portico.cli.show import as_json, line, safe, table


def listed(items: Sequence[Json], noun: str, raw: bool) -> None:
    """Print records: a table for people, `{"items": [...]}` for machines."""
    if raw:
        as_json({"items": list(items)})
        return
    dated = any(item.get("since") for item in items)
    rows = [
        [
            line(item["name"]),
            state_of(item),
            *([line(item.get("since") or "-")] if dated else []),
            line(item.get("origin", "")),
            str(item.get("version") or "-"),
            ",".join(map(line, item["about"].get("tags") or ())) or "-",
            summary(item),
        ]
        for item in items
    ]
    head = ["NAME", "STATE", *(["SINCE"] if dated else []), "FROM", "VERSION", "TAGS", "WHAT"]
    click.echo("\n".join(table(head, rows)) if rows else f"no {noun}")


def state_of(item: Json) -> str:
    """The state of a record, and why it is not ready."""
    reason = line(item.get("reason") or "")
    return line(item.get("state", "")) + (f" ({reason})" if reason else "")


def summary(item: Json) -> str:
    """What a record is about, in one line."""
    config, said = item["config"], item["about"].get("description")
    if said:
        return line(said)
    if isinstance(config.get("command"), list):
        return line(" ".join(map(str, config["command"])))
    for key in ("url", "openapi", "base_url", "uri", "title", "description"):
        if config.get(key):
            return line(config[key])
    if isinstance(config.get("upstreams"), list):
        return line(", ".join(map(str, config["upstreams"])))
    return line(", ".join(config))


def shown(item: Json, raw: bool) -> None:
    """Print one record: TOML for people, as it is for machines."""
    if raw:
        as_json(item)
        return
    since = f" since {line(item['since'])}" if item.get("since") else ""
    facts = [f"{item['kind']} {line(item['name'])}: {state_of(item)}{since}, from the {item.get('origin')}"]
    if item.get("version"):
        by = f" by {line(item['updated_by'])}" if item.get("updated_by") else ""
        facts.append(f"version {item['version']}, changed {line(item.get('updated') or '-')}{by}")
    click.echo("\n".join(facts) + "\n")
    click.echo(safe(document(item)).rstrip())
    for each in item.get("problems") or ():
        click.echo(f"! {line(each.get('path', ''))}  {line(each.get('message', ''))}")


def document(item: Json) -> str:
    """What can be edited of a record, as TOML."""
    return toml.dumps({"about": item["about"], "config": item["config"]})


def setting(text: str) -> tuple[tuple[str, ...], Any]:
    """Read one `--set path.to.key=value`: the value is TOML where it is that, otherwise a string.

    Raises:
        ConfigError: There is no `=`, or the path is no dotted TOML key.
    """
    from portico._config.sources import parse_override

    path, _ = parse_override(text)
    value = text.partition("=")[2].strip()
    try:
        parsed = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return path, value
    # A date is a string in JSON, and a value with a line of its own after it is none.
    plain = len(parsed) == 1 and isinstance(parsed["value"], str | int | float | list | dict)
    return path, parsed["value"] if plain else value


def changes(sets: Sequence[str], unset: Sequence[str] = ()) -> Json:
    """A merge patch of a config from `--set` and `--unset`.

    Raises:
        ConfigError: One of them is not what it should be.
    """
    from portico._config.sources import overlay

    patch: Json = {}
    for text in sets:
        path, value = setting(text)
        patch = overlay(patch, path, value)
    for key in unset:
        path, _ = setting(f"{key}=0")
        patch = overlay(patch, path, None)
    return patch


def table_of(file: str) -> Json:
    """The table in a TOML or JSON file; `-` is stdin.

    Raises:
        Failure: It cannot be read.
        ConfigError: It is neither.
    """
    from portico._config.exchange.formats import parse

    return parse(read_text(file), file)


def read_text(file: str) -> str:
    """A text file; `-` is stdin.

    Raises:
        Failure: It cannot be read.
    """
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Failure(f"{file} is not text") from None


def difference(before: Any, after: Any) -> Any:
    """The merge patch (RFC 7396) that makes the one of the other. Equal objects give an empty one."""
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return after
    patch: Json = {key: None for key in before if key not in after}
    for key, value in after.items():
        if key not in before:
            patch[key] = value
        elif before[key] != value or type(before[key]) is not type(value):
            patch[key] = difference(before[key], value)
    return patch


def edited(item: Json) -> Json:
    """Have somebody edit a record in $EDITOR; gives the merge patch of it, empty for no change.

    Only what was changed is sent, so that masked values stay what they are.

    Raises:
        Misuse: What was saved is no TOML, or has other tables than before.
    """
    which = f"{item['kind']} {line(item['name'])}, version {item.get('version', 0)}"
    head = f"# {which}. Masked values stay as they are.\n\n"
    text = click.edit(head + document(item), extension=".toml")
    if text is None:
        return {}
    try:
        after = tomllib.loads(text)
        if unknown := after.keys() - {"about", "config"}:
            raise ValueError(f"there are only the tables [about] and [config], not [{min(unknown)}]")
    except ValueError as error:  # a TOMLDecodeError is one
        raise Misuse(f"{error}; nothing was changed. What you wrote:\n{text}") from None
    before = toml.without_nulls({"about": item["about"], "config": item["config"]})
    patch: Json = difference(before, {"about": {}, "config": {}, **after})
    return patch
