"""Which format a document for `gateway import` has, and what is in it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

import msgspec

from portico._config.exchange.contextforge import from_contextforge, is_contextforge
from portico._config.exchange.items import Item, Taken, without_environment
from portico._config.exchange.portico import from_portico
from portico._config.exchange.server_json import from_server_json, is_server_json
from portico._config.mcp_json import from_mcp_json, is_mcp_json
from portico._core.errors import ConfigError


def take(text: str, source: str, prefer: str = "remote") -> tuple[str, Taken]:
    """Find out the format of a document, and read it.

    Args:
        text: Of the document, JSON or TOML.
        source: What to call it in messages.
        prefer: `remote` or `package`; see `from_server_json`.

    Returns:
        What the format is called, and what was found. References to environment variables, which records
        cannot have, are made references to secrets.

    Raises:
        ConfigError: It is neither JSON nor TOML, or nothing that is known.
    """
    return take_document(parse(text, source), source, prefer, text)


def take_document(
    document: dict[str, Any], source: str, prefer: str = "remote", text: str = ""
) -> tuple[str, Taken]:
    """The same of a document that has been parsed already.

    Args:
        document: Parsed.
        source: What to call it in messages.
        prefer: As for `take`.
        text: What it was parsed from; a Portico configuration says things about its records in comments.

    Raises:
        ConfigError: It is nothing that is known.
    """
    if is_contextforge(document):
        name, taken = "ContextForge export", from_contextforge(document)
    elif is_mcp_json(document):
        tables, notes = from_mcp_json(document)
        found = [Item("upstreams", each, table) for each, table in tables["upstreams"].items()]
        name, taken = "mcpServers JSON", Taken(found, notes)
    elif is_server_json(document):
        name, taken = "server.json", from_server_json(document, prefer)
    elif (
        any(isinstance(document.get(table), Mapping) for table in ("upstreams", "servers"))
        or "#record " in text
    ):
        name, taken = "Portico configuration", from_portico(document, text)
    else:
        known = "a Portico configuration, mcpServers JSON, server.json or a ContextForge export"
        raise ConfigError([("", f"is nothing that can be imported: expected {known}")], source)
    clean = without_environment(taken.items)
    return name, Taken(clean.items, [*taken.notes, *clean.notes])


def parse(text: str, source: str) -> dict[str, Any]:
    """A JSON object, or a TOML document.

    Raises:
        ConfigError: It is neither.
    """
    if text.lstrip().startswith("{"):
        try:
            return msgspec.json.decode(text, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise ConfigError([("", f"is no JSON object: {error}")], source) from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([("", f"is neither a JSON object nor TOML: {error}")], source) from None
