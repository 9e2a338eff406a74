"""One client request in flight, and the way back to its client."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Protocol

import attrs

from portico._core.contracts.auth import Principal
from portico._core.contracts.json import Json


class Era(enum.StrEnum):
    """The two families of MCP revisions: with a handshake and sessions, and without."""

    LEGACY = "legacy"
    MODERN = "modern"


@attrs.frozen
class Target:
    """Where an exchange goes: an upstream, and what the upstream calls the thing.

    Attributes:
        upstream: The configured name of the upstream.
        name: The upstream's own tool or prompt name, URI or task id; "" where the method has none.
        definition: The upstream's own definition, where there is one.
    """

    upstream: str
    name: str = ""
    definition: Json | None = None


class Client(Protocol):
    """The way back to the client of one exchange. It does not know the era; the kernel translates."""

    async def notify(self, method: str, params: Json) -> None:
        """Send a notification that belongs to this exchange (progress, log message).

        Waits while the client is slow. A frame its client may not get (below the log level, no progress
        token given, a kind this era lacks) is dropped.
        """
        ...

    def progress(self, params: bytes) -> bool:
        """Send a progress notification as it is, where that can be done at once.

        Args:
            params: Its params as JSON text without line breaks, the token in it `Exchange.progress_token`.

        Returns:
            False when nothing was done and `notify` is the way: the client is slow, or a policy wants to see.
        """
        ...

    async def ask(self, method: str, params: Json) -> Json:
        """Ask the client something: elicitation, sampling or roots; returns the bare result object.

        A modern client gets `input_required` and its retry resumes this await; a legacy client gets a request
        on its stream.

        Raises:
            Refused: The client did not declare the capability, answered with an error, or went away.
        """
        ...

    def poll(self, retry_ms: int) -> None:
        """The upstream closed its stream and wants to be polled; a client that can be asked the same is."""
        ...


@attrs.define(eq=False)
class Exchange:
    """One client request in flight, in the canonical (2026-07-28) form.

    Attributes:
        id: The gateway's id of the request, for logs and `data.gateway.request_id`.
        method: The MCP method.
        params: Decoded once. Policies may replace or change it; what they leave is what the upstream gets.
        principal: Who is calling.
        server: The virtual server's name.
        era: The client's era.
        version: The client's protocol revision.
        client: The way back.
        capabilities: What the client declared, for this request.
        client_info: `{"name", "version"}`, or None.
        log_level: The least severe level of log message the client wants, or None for none at all.
        progress_token: The client's own token, or None.
        headers: Inbound HTTP headers with lower-case names (empty on stdio); read only.
        deadline: On the host clock's `monotonic()`; absolute.
        scratch: For policies, keyed by type.
        target: Where the router sends it; None before routing.
        foreign: The method is another protocol's that its transport and the upstream in `target` both speak:
            it goes there if that upstream is one of the virtual server's, and what comes back is left alone.
        asked: Whether a modern client was asked something on the way, by a policy or the upstream: the call
            waits for its retry, and goes on; a question of the upstream's that is a result is asked likewise,
            for a retry that began anew would be asked everything again.
    """

    id: str
    method: str
    params: Json
    principal: Principal
    server: str
    era: Era
    version: str
    client: Client
    capabilities: Json
    client_info: Json | None
    log_level: str | None
    progress_token: str | int | None
    headers: Mapping[str, str]
    deadline: float
    scratch: dict[type, Any] = attrs.field(factory=dict)
    target: Target | None = None
    foreign: bool = False
    asked: bool = False

    def derived(self, method: str, params: Json, capabilities: Json, target: Target) -> Exchange:
        """The same exchange with other contents, for upstreams; policies keep seeing the original."""
        return Exchange(
            self.id,
            method,
            params,
            self.principal,
            self.server,
            self.era,
            self.version,
            self.client,
            capabilities,
            self.client_info,
            self.log_level,
            self.progress_token,
            self.headers,
            self.deadline,
            self.scratch,
            target,
            self.foreign,
            self.asked,
        )
