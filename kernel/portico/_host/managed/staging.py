"""What the roster asks of whatever acts on settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from portico._config.settings import Settings
from portico._core.catalog.overrides import Overrides
from portico._core.contracts.json import Json
from portico._core.contracts.upstreams import Offer
from portico._core.health import Condition


class Stage(Protocol):
    """What the roster has act on new settings."""

    def check(self, settings: Settings) -> None:
        """Whether these settings could be in effect.

        Raises:
            ConfigError: They could not.
        """
        ...

    async def become(self, before: Settings, after: Settings, *, at_first: bool) -> None:
        """Start, stop and change what differs; when it returns, clients see it, and what `show` was told.

        Upstreams that are slow come later; `at_first`, before the gateway serves, they get more time.
        """
        ...

    def show(self, overrides: Overrides) -> None:
        """Show definitions as these say."""
        ...

    async def settled(self) -> None:
        """Return when clients see everything that was said until now."""
        ...

    async def probe(self, settings: Settings, name: str) -> Json:
        """Start one upstream of these settings apart from everything else; see `Management.probe`."""
        ...

    async def ask(self, settings: Settings, upstream: str, name: str, method: str, params: Json) -> Json:
        """Start one upstream of these settings apart from everything else, and have it answer a request.

        Args:
            settings: Those it is in.
            upstream: Its name.
            name: What it calls the thing that the request is about.
            method: The request's method.
            params: The request's params.

        Raises:
            Refused: It is not answered.
        """
        ...

    async def refresh(self, upstream: str) -> bool:
        """Have an upstream's lists fetched again; whether there is one of that name that can."""
        ...

    def condition(self, upstream: str) -> Condition:
        """How an upstream is."""
        ...

    def offers(self) -> Mapping[str, Offer]:
        """What each upstream offers."""
        ...
