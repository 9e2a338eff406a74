"""What a configuration may hold besides plain values, and who reads its documents."""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import attrs

from portico._core.contracts.json import Json

T = TypeVar("T")


@attrs.frozen(repr=False)
class Secret:
    """A configured secret: never printed, logged or serialised; `reveal()` is the only way to its value."""

    _value: str

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__


@attrs.frozen
class Ref(Generic[T]):
    """The name of another configured component of kind `T`; such fields are the start-order graph."""

    name: str


def doc(text: str, **extra: Any) -> dict[str, Any]:
    """Field metadata that documents a config key: `plugins show` and the generated docs print it.

    Args:
        text: One or two sentences; Markdown is fine.
        extra: Further metadata, `example=` among others. `exists="file"` (or `"folder"`, `"either"`) says of
            a `Path`, or of several, that it has to be there: `gateway check` looks. `needed=True` says that
            a component without it can only be referred to by fields with `gives=("its_name",)`.
    """
    return {"doc": text, **extra}


@runtime_checkable
class ConfigLoader(Protocol):
    """Reads one config format.

    Loaders are needed before anything can be configured, so they are plain objects.
    """

    name: str
    suffixes: tuple[str, ...]

    def load(self, text: bytes, source: str) -> Json:
        """The document as tables.

        Raises:
            ConfigError: The text is not of this format; says the line.
        """
        ...
