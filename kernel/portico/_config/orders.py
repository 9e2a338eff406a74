"""What a gateway was started with, in a form that can be handed to another process.

A worker gets the documents as they were read, not the files' names: while a file is broken, a worker that has
died can still be replaced. Environment variables and `${file:...}` are looked up by each process for itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from portico._config.components import Look
from portico._config.discovery import Plugins, discover, parse_selection
from portico._config.settings import Document, Settings, load
from portico._config.wording import Text
from portico._core.contracts.json import Json


@attrs.frozen
class Orders:
    """Documents and flags.

    Attributes:
        documents: In the order of precedence; nothing in them is expanded yet.
        overrides: `(path, value)` of flags.
        plugins: The selection of plugins, "" for all.
    """

    documents: tuple[Document, ...] = ()
    overrides: tuple[tuple[tuple[str, ...], Any], ...] = ()
    plugins: str = ""

    def settings(
        self,
        plugins: Plugins | None = None,
        environ: Mapping[str, str] | None = None,
        look: Look | None = None,
    ) -> Settings:
        """Make settings of them.

        Args:
            plugins: What is installed, if that is known already.
            environ: This process's environment by default.
            look: Says what is wrong with a component whose table is right.

        Raises:
            ConfigError: With every problem there is.
        """
        found = plugins if plugins is not None else discover(parse_selection(self.plugins))
        environ = os.environ if environ is None else environ
        return load(self.documents, found, environ, self.overrides, look=look)

    def pack(self) -> Json:
        """As plain values."""
        return {
            "documents": [[each.tables, each.source, str(each.base)] for each in self.documents],
            "overrides": [
                [list(path), str(value), value.origin]
                if isinstance(value, Text)
                else [list(path), value, None]
                for path, value in self.overrides
            ],
            "plugins": self.plugins,
        }

    @classmethod
    def unpack(cls, packed: Json) -> Orders:
        """The orders that `pack` made this of."""
        return cls(
            tuple(Document(tables, source, Path(base)) for tables, source, base in packed["documents"]),
            tuple(
                (tuple(path), value if origin is None else Text(value, origin))
                for path, value, origin in packed["overrides"]
            ),
            packed["plugins"],
        )
