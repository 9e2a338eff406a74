"""The data plane as components see it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from portico._core.contracts.auth import Principal
from portico._core.contracts.json import Json
from portico._core.contracts.upstreams import Upstream

if TYPE_CHECKING:
    from portico._core.requests.endpoint import Endpoint


class Wiring(Protocol):
    """The data plane as components see it: where upstreams report, and transports hand in their exchanges."""

    def offer_changed(self, upstream: str, changed: Iterable[str] = ()) -> None:
        """The upstream's offer or state is new; take it into the catalog.

        Args:
            upstream: Its configured name.
            changed: Which lists the upstream announced as changed: `tools`, `resources`, `prompts`.
        """
        ...

    def resource_updated(self, upstream: str, principal: Principal, params: Json) -> None:
        """A watched resource changed; `params` as in `notifications/resources/updated`."""
        ...

    async def announce(self, upstream: str, principal: Principal | None, method: str, params: Json) -> None:
        """A notification that belongs to no exchange (a log message on a legacy GET stream).

        Args:
            upstream: Its configured name.
            principal: Whose session it came on; None for a shared one.
            method: The notification's method.
            params: Its params.
        """
        ...

    async def ask_unrelated(self, upstream: str, principal: Principal, method: str, params: Json) -> Json:
        """A legacy server's request that belongs to no call: put to a legacy session of that principal.

        Raises:
            Refused: Nobody is there who could answer (-32601).
        """
        ...

    def tends(self, upstream: str) -> bool:
        """Whether this worker sees to an upstream: asks for its lists in time, looks whether it is back.

        The other workers' upstreams are told by `refresh`, if they have that.
        """
        ...

    @property
    def endpoints(self) -> Mapping[str, Endpoint]:
        """Virtual servers by name."""
        ...

    @property
    def upstreams(self) -> Mapping[str, Upstream]:
        """Those that run, by name; they come and go."""
        ...

    @property
    def workers(self) -> int:
        """How many worker processes the gateway has; each has the listening sockets and all components."""
        ...

    @property
    def draining(self) -> bool:
        """Whether the gateway is shutting down."""
        ...

    @property
    def closing(self) -> bool:
        """Whether it takes no new calls any more, and ends when those that run are over."""
        ...
