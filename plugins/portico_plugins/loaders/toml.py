"""Configuration in TOML."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence

from portico.api import ConfigError, ConfigLoader, Json, hookimpl

gateway_api = (1, 0)

_PLACE = re.compile(r" \(at (line \d+, column \d+|end of document)\)$")


class Toml:
    """Reads `.toml` files (TOML 1.0, UTF-8)."""

    name = "toml"
    suffixes: tuple[str, ...] = (".toml",)

    def load(self, text: bytes, source: str) -> Json:
        """The document as tables.

        Raises:
            ConfigError: It is not TOML; says the line and column.
        """
        try:
            return tomllib.loads(text.decode("utf-8-sig"))
        except UnicodeDecodeError as exc:
            line = text.count(b"\n", 0, exc.start) + 1
            raise ConfigError([(f"line {line}", "not UTF-8")], source) from None
        except tomllib.TOMLDecodeError as exc:
            message = str(exc)
            place = _PLACE.search(message)
            where = place[1] if place else ""
            raise ConfigError([(where, f"not TOML: {_PLACE.sub('', message)}")], source) from None
        except RecursionError:
            raise ConfigError([("", "not TOML: nested too deeply")], source) from None


@hookimpl
def gateway_config_loaders() -> Sequence[ConfigLoader]:
    """The TOML loader."""
    return (Toml(),)
