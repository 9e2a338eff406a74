"""What upstreams implement: what every one must, and what some can besides."""

from __future__ import annotations

import enum
from typing import Protocol, runtime_checkable

import attrs

from portico._core.contracts.auth import Principal
from portico._core.contracts.exchange import Era, Exchange, Target
from portico._core.contracts.json import Json
from portico._core.contracts.result import Result


class State(enum.StrEnum):
    """How an upstream is.

    `degraded`: it answers, and something fails (a list, credentials). `unavailable`: it cannot be reached.
    `quarantined`: definitions of it wait for approval; the kernel says so, no upstream has to.
    """

    STARTING = "starting"
    READY = "ready"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"
    QUARANTINED = "quarantined"
    STOPPED = "stopped"


@attrs.frozen
class Offer:
    """What an upstream has. Definitions are JSON objects as the upstream sent them, in its order.

    Attributes:
        tools: Tool definitions.
        resources: Resource definitions.
        templates: Resource template definitions.
        prompts: Prompt definitions.
        capabilities: As it declared them, in the modern form.
        instructions: Its instructions, "" for none.
        eras: The eras it was seen to speak.
        info: Its `serverInfo`, or None.
        ttl_ms: How long lists may be kept, the least of what it said; 0 when it said nothing.
        public: Whether it said that its lists are the same for everybody (`cacheScope: public`).
        waits: Whether it answers the calls of clients that know no tasks when they are done, though its
            capabilities have the Tasks extension; else the kernel has it make a task, and waits for that.
    """

    tools: tuple[Json, ...] = ()
    resources: tuple[Json, ...] = ()
    templates: tuple[Json, ...] = ()
    prompts: tuple[Json, ...] = ()
    capabilities: Json = attrs.field(factory=dict)
    instructions: str = ""
    eras: frozenset[Era] = frozenset()
    info: Json | None = None
    ttl_ms: int = 0
    public: bool = False
    waits: bool = False


@runtime_checkable
class Upstream(Protocol):
    """Something that offers tools, resources and prompts.

    It never sees other upstreams and renames nothing.
    """

    @property
    def offer(self) -> Offer:
        """What it last said it has; kept while it is away."""
        ...

    @property
    def state(self) -> State:
        """How it is now."""
        ...

    @property
    def reason(self) -> str:
        """Why it is not ready; "" when it is."""
        ...

    async def send(self, exchange: Exchange, target: Target) -> Result:
        """Carry out the exchange. `exchange.params` has the upstream's own names already.

        Cancelling the task cancels the call upstream.

        Raises:
            Refused: The upstream's own JSON-RPC error, or one of Portico's codes.
        """
        ...


@runtime_checkable
class Watchable(Protocol):
    """An upstream that tells of changed resources."""

    async def watch(self, principal: Principal, uris: frozenset[str]) -> None:
        """Want updates of exactly these (the upstream's own) URIs for this principal; empty ends it.

        Updates come through `Wiring.resource_updated`.
        """
        ...


@runtime_checkable
class Successor(Protocol):
    """An upstream that takes something over from the one it replaces when its configuration changes."""

    def succeed(self, before: Upstream) -> None:
        """Stand where `before` stood.

        Calls come here from now on, those that run there are finished there, and the catalog is about to be
        made anew.

        Args:
            before: The upstream of this name until now, of whatever kind.
        """
        ...


@runtime_checkable
class Speaks(Protocol):
    """An upstream that takes requests of protocols other than MCP; see `Exchange.foreign`.

    Where a virtual server hides some of its tools, or arguments of them, it takes none; but for those of the
    protocols in an attribute `speaks_past_filters`, if it has one.
    """

    @property
    def speaks(self) -> frozenset[str]:
        """What methods of those begin with: `a2a` for `a2a/SendMessage`."""
        ...


@runtime_checkable
class Visitor(Protocol):
    """An upstream that comes to the gateway: a process that has just started is without it for a moment.

    What it offered last is handed on from worker to worker, so that a new one lists it until it is there.
    """

    @property
    def visits(self) -> bool:
        """Whether it is such a one."""
        ...


@runtime_checkable
class Probed(Protocol):
    """An upstream that can be asked whether it is well, whatever its own connections say.

    It is asked as often as `health_interval` says, by one of the workers of a gateway.
    """

    async def probe(self) -> None:
        """Have the server behind it answer something harmless, on the gateway's own behalf.

        It must not disturb calls that run, and is cancelled when it takes too long.

        Raises:
            Refused: 50300: it cannot be reached. Any other code, or exception: it answers, but not well.
        """
        ...


@runtime_checkable
class Tellable(Protocol):
    """An upstream that takes notifications from legacy clients (`notifications/roots/list_changed`)."""

    async def tell(self, principal: Principal, method: str, params: Json) -> None:
        """Pass a client's notification on, best effort."""
        ...
