"""Configuration in JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NoReturn

from portico.api import ConfigError, ConfigLoader, Json, hookimpl

gateway_api = (1, 0)


class JsonLoader:
    """Reads `.json` files (RFC 8259, UTF-8). A key twice in one object is an error."""

    name = "json"
    suffixes: tuple[str, ...] = (".json",)

    def load(self, text: bytes, source: str) -> Json:
        """The document as tables.

        Raises:
            ConfigError: It is not a JSON object; says the line and column where the parser knows them.
        """
        # The standard library's parser: it knows lines and columns, and this is no hot path.
        try:
            document = json.loads(
                text.decode("utf-8-sig"), object_pairs_hook=_unique, parse_constant=_constant
            )
        except UnicodeDecodeError as exc:
            line = text.count(b"\n", 0, exc.start) + 1
            raise ConfigError([(f"line {line}", "not UTF-8")], source) from None
        except json.JSONDecodeError as exc:
            where = f"line {exc.lineno}, column {exc.colno}"
            raise ConfigError([(where, f"not JSON: {exc.msg}")], source) from None
        except (ValueError, RecursionError) as exc:
            message = "nested too deeply" if isinstance(exc, RecursionError) else str(exc)
            raise ConfigError([("", f"not JSON: {message}")], source) from None
        if not isinstance(document, dict):
            raise ConfigError([("", "expected a JSON object")], source)
        return document


def _unique(pairs: list[tuple[str, Any]]) -> Json:
    result: Json = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {key!r} is there twice")
        result[key] = value
    return result


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


@hookimpl
def gateway_config_loaders() -> Sequence[ConfigLoader]:
    """The JSON loader."""
    return (JsonLoader(),)
