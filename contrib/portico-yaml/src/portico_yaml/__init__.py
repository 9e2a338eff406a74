"""Configuration in YAML."""

from __future__ import annotations

from collections.abc import Sequence

from portico.api import ConfigLoader, Json, hookimpl

gateway_api = (1, 0)


class Yaml:
    """Reads `.yaml` and `.yml` files (YAML 1.2 core types, UTF-8, one document)."""

    name = "yaml"
    suffixes: tuple[str, ...] = (".yaml", ".yml")

    def load(self, text: bytes, source: str) -> Json:
        """The document as tables.

        Raises:
            ConfigError: It is too large, no YAML, no mapping, or has a key twice or a tag not of YAML's own.
        """
        from portico_yaml.reading import read  # with the first document: PyYAML is not small

        return read(text, source)


@hookimpl
def gateway_config_loaders() -> Sequence[ConfigLoader]:
    """The YAML loader."""
    return (Yaml(),)
