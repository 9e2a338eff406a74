"""What plugin hooks return: how to configure and create one kind of component."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Generic, Literal, TypeVar

import attrs

from portico._core.contracts.host import Host
from portico._core.contracts.records import Schema

T = TypeVar("T")


C = TypeVar("C")


P_co = TypeVar("P_co", covariant=True)


@attrs.frozen(eq=False)
class Later(Generic[T]):
    """Something that is not had before it is asked for: what a plugin imports for it costs only who uses it.

    Attributes:
        get: Imports and gives it. May be called again and again, which an import that is done makes cheap.
    """

    get: Callable[[], T]


@attrs.frozen
class Factory(Generic[C, P_co]):
    """What a plugin hook returns: how to configure and create one kind of component.

    Attributes:
        name: The word `use = "..."` names in a config file.
        summary: One line for `plugins list`.
        config: An attrs class; its fields are the config keys, documented with `doc(...)`. Given as
            `Later`, it is imported when a configuration names the factory, or somebody asks for its keys.
        create: `create(config, host)` as an async context manager that yields the component. Entering starts
            it, leaving stops it.
        posture: What the plugin promises about hostile input: `hardened`, `trusted-upstream-only`, `unknown`.
        schema: `schema(config, name, base, state)` where what is kept has a schema that `gateway db` changes:
            like `create`, but starts nothing; the last three are those of `Host`.
        check: `check(config, base)` gives what is wrong that only this machine shows, as `(place below the
            table, message)`: packages and programs that are not installed, files that are no good. It is for
            `gateway check`, starts nothing, opens no connection and imports little. `base` is that of `Host`.
    """

    name: str
    summary: str
    _config: type[C] | Later[type[C]] = attrs.field(
        alias="config", validator=lambda self, _, value: self._judge(value)
    )
    create: Callable[[C, Host], AbstractAsyncContextManager[P_co]]
    posture: Literal["hardened", "trusted-upstream-only", "unknown"] = "unknown"
    schema: Callable[[C, str, Path, Path], AbstractAsyncContextManager[Schema]] | None = None
    check: Callable[[C, Path], Iterable[tuple[tuple[str | int, ...], str]]] | None = None

    @property
    def config(self) -> type[C]:
        """The attrs class, imported if it is not yet.

        Raises:
            Exception: Whatever importing it raises.
            TypeError: It is no attrs class.
        """
        if not isinstance(self._config, Later):
            return self._config
        config = self._config.get()
        self._judge(config)
        return config

    def _judge(self, config: object) -> None:
        if not isinstance(config, Later) and not (isinstance(config, type) and attrs.has(config)):
            raise TypeError(f"the config of factory {self.name!r} must be an attrs class, not {config!r}")
