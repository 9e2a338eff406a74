"""Documents of other programs read as records, for plugins: the readers are loaded when there is one."""

from __future__ import annotations

from typing import Any

from portico._config.exchange.items import Taken


def read_import(document: dict[str, Any] | str, source: str, prefer: str = "remote") -> tuple[str, Taken]:
    """Find out the format of a document, and read it.

    Args:
        document: A ContextForge export, `mcpServers` JSON, a `server.json`, or a Portico configuration; or
            the text of a file that has one of these, TOML or JSON.
        source: What to call it in messages.
        prefer: Of a `server.json`: its `remote` or its `package`.

    Returns:
        What the format is called, and what was found.

    Raises:
        ConfigError: It is nothing that is known.
    """
    from portico._config.exchange.formats import take, take_document

    if isinstance(document, str):
        return take(document, source, prefer)
    return take_document(document, source, prefer)
