"""One gRPC server as an upstream: found out about, called, and looked after."""

from __future__ import annotations

from typing import Final

import grpc

from portico.api import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    UPSTREAM_UNAVAILABLE,
    Era,
    Exchange,
    Host,
    Offer,
    Refused,
    Result,
    State,
    Target,
)
from portico_plugins.failures import unavailable
from portico_plugins.http1 import Unreachable
from portico_plugins.upstreams.backoff import Backoff
from portico_plugins.upstreams.grpc_client.status import status_of, unreachable
from portico_plugins.upstreams.refresher import Refreshed, Refresher

from .calls import Calls, Unauthorized
from .config import GrpcConfig
from .descriptors import Unusable
from .discovery import Discovery
from .link import Link, NotServing
from .lookup import Lookup
from .metadata import Metadatas
from .methods import Method

_GAP: Final = 1.0
"""Seconds between two looks at a server, whatever happens."""
_NOTHING: Final = "no_methods (`services` and `exclude` leave none that can be a tool)"


class GrpcUpstream(Refreshed):
    """A gRPC server.

    Args:
        config: Its configuration.
        host: What the kernel offers.
    """

    def __init__(self, config: GrpcConfig, host: Host) -> None:
        self.offer = Offer(eras=frozenset(Era))
        self._config = config
        self._host = host
        self._metadata = Metadatas(config, host)
        self._link = Link(config, host, self._metadata)
        self._refresher = Refresher(host, self._look, "connecting", _GAP, self._link.lost)
        self._backoff = Backoff()
        self._calls = Calls(config, host, self._refresher.wake, Lookup(config, host, self._metadata))
        self._discovery = Discovery(config, host, self._metadata)
        self._methods: dict[str, Method] = {}

    async def start(self) -> None:
        """Begin to connect; waits a little, so that a healthy server is there from the first request on."""
        await self._refresher.start(self._config.start_grace)

    async def stop(self) -> None:
        """End everything."""
        await self._refresher.stop()
        await self._link.close()

    async def probe(self) -> None:
        """Ask for the server's health; one without that service need only answer.

        Raises:
            Refused: 50300: it cannot be reached. Any other: it answers, but not well.
        """
        await self._link.probe()

    async def send(self, exchange: Exchange, target: Target) -> Result:
        """Call the method that a tool stands for.

        Raises:
            Refused: -32602 for a tool there is not, or one of Portico's codes.
        """
        if exchange.method != "tools/call":
            raise Refused(METHOD_NOT_FOUND, "Method not found")
        if not self._refresher.settled.is_set():
            await self._refresher.settled.wait()
        method = self._methods.get(target.name)
        if method is None and self._methods:
            raise Refused(INVALID_PARAMS, f"Unknown tool: {target.name[:128]}")
        channel = self._link.channel
        if method is None or channel is None or self.state is State.UNAVAILABLE:
            raise unavailable(self._host.name, self.reason.partition(" ")[0] or "not_connected", exchange)
        metadata = await self._metadata.of(exchange)
        try:
            try:
                return await self._calls.send(channel, method, exchange, metadata)
            except Unauthorized:
                other = await self._metadata.renewed(metadata, exchange)
                if other is None:
                    raise
                return await self._calls.send(channel, method, exchange, other)
        except Refused as refusal:
            if refusal.code == UPSTREAM_UNAVAILABLE:
                self._refresher.wake()
            raise

    # --- looking after it --------------------------------------------------------------------------

    async def _look(self) -> float | None:
        try:
            metadata = await self._metadata.of(None)
            try:
                await self._learn()
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
                    raise
                if await self._metadata.renewed(metadata, None) is None:
                    raise
                await self._learn()
        except Exception as error:
            self._refresher.set(*self._why(error))
            return self._backoff.next()
        self._backoff.reset()
        return self._config.refresh_seconds if self._host.wiring.tends(self._host.name) else None

    async def _learn(self) -> None:
        """Connect where that is needed, and find out what the server has.

        Raises:
            Unreachable: There is no connection to be had.
            Unusable: What it says of itself is of no use.
            NotServing: It says that it is not well; what it has is known all the same.
            grpc.aio.AioRpcError: It refuses.
            OSError: A configured file cannot be read.
        """
        serving = await self._link.connect()
        assert self._link.channel is not None
        found = await self._discovery.look(self._link.channel)
        changed: tuple[str, ...] = ()
        if found is not None:
            tools = tuple(method.definition for method in found.values())
            changed = ("tools",) if tools != self.offer.tools else ()
            self._methods = found
            capabilities = {"tools": {"listChanged": True}}
            self.offer = Offer(tools=tools, capabilities=capabilities, eras=frozenset(Era))
        if not serving:
            raise NotServing
        if not self._methods:
            # Somebody who mistyped a pattern would wonder for long.
            self._refresher.set(State.DEGRADED, _NOTHING, changed)
            return
        if changed or self.state is not State.READY:
            self._host.log.info("upstream_ready", tools=len(self.offer.tools))
        self._refresher.set(State.READY, "", changed)

    def _why(self, error: Exception) -> tuple[State, str]:
        """How the server is, after a look that failed."""
        match error:
            case NotServing():
                return State.DEGRADED, "not_serving"
            case Unreachable():
                return State.UNAVAILABLE, error.reason
            case Unusable():
                return State.DEGRADED, f"bad_descriptors ({error})"
            case grpc.aio.AioRpcError():
                return self._said(error)
            case Refused():
                return State.DEGRADED, error.data["gateway"]["reason"]
            case OSError():
                return State.DEGRADED, f"file_not_readable ({error.strerror}: {error.filename})"
            case _:
                self._host.log.error("upstream_connection_failed", error=repr(error))
                return State.DEGRADED, "internal error"

    def _said(self, error: grpc.aio.AioRpcError) -> tuple[State, str]:
        status = status_of(error, None)
        self._host.log.debug("upstream_refuses", code=status.code, details=status.message)
        if status.code == "UNAVAILABLE":
            return State.UNAVAILABLE, unreachable(status.message)
        if status.code == "UNAUTHENTICATED":
            return State.DEGRADED, "upstream_unauthorized"
        if status.code == "DEADLINE_EXCEEDED":
            return State.UNAVAILABLE, "connect_timeout"
        return State.DEGRADED, f"reflection_failed ({status.code})"
