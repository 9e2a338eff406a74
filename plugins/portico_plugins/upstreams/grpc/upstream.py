"""One gRPC server as an upstream: found out about, called, and looked after."""

from __future__ import annotations

import asyncio
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
    failure,
)
from portico_plugins.upstreams.backoff import Backoff
from portico_plugins.upstreams.grpc_client.dial import Unreachable
from portico_plugins.upstreams.grpc_client.status import status_of, unreachable

from .calls import Calls
from .config import GrpcConfig
from .descriptors import Unusable
from .discovery import Discovery
from .link import Link, NotServing
from .lookup import Lookup
from .metadata import Metadatas
from .methods import Method

_GAP: Final = 1.0
"""Seconds between two looks at a server, whatever happens."""


class GrpcUpstream:
    """A gRPC server.

    Args:
        config: Its configuration.
        host: What the kernel offers.
    """

    def __init__(self, config: GrpcConfig, host: Host) -> None:
        self.state = State.STARTING
        self.reason = "connecting"
        self.offer = Offer(eras=frozenset(Era))
        self._config = config
        self._host = host
        self._metadata = Metadatas(config, host)
        self._wake = asyncio.Event()
        self._calls = Calls(config, host, self._wake.set, Lookup(config, host, self._metadata))
        self._link = Link(config, host, self._metadata)
        self._discovery = Discovery(config, host, self._metadata)
        self._methods: dict[str, Method] = {}
        self._settled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to connect; waits a little, so that a healthy server is there from the first request on."""
        self._task = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(self._config.start_grace):
                await self._settled.wait()
        except TimeoutError:
            self._host.log.info("upstream_still_starting")

    async def stop(self) -> None:
        """End everything."""
        self.state, self.reason = State.STOPPED, "stopped"
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._link.close()

    async def refresh(self) -> None:
        """Have the server asked again what it has, soon."""
        self._wake.set()

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
        if not self._settled.is_set():
            await self._settled.wait()
        method = self._methods.get(target.name)
        if method is None and self._methods:
            raise Refused(INVALID_PARAMS, f"Unknown tool: {target.name[:128]}")
        channel = self._link.channel
        if method is None or channel is None or self.state is State.UNAVAILABLE:
            raise failure(
                UPSTREAM_UNAVAILABLE,
                "The upstream is not available.",
                reason=self.reason.partition(" ")[0] or "not_connected",
                upstream=self._host.name,
                request_id=exchange.id,
            )
        metadata = await self._metadata.of(exchange)
        try:
            return await self._calls.send(channel, method, exchange, metadata)
        except Refused as refusal:
            if refusal.code == UPSTREAM_UNAVAILABLE:
                self._wake.set()
            raise

    # --- looking after it --------------------------------------------------------------------------

    async def _run(self) -> None:
        backoff = Backoff()
        while True:
            patience: float | None = None
            self._wake.clear()
            try:
                await self._look()
                backoff.reset()
                if self._host.wiring.tends(self._host.name):
                    patience = self._config.refresh_seconds
            except NotServing:
                self._set(State.DEGRADED, "not_serving")
                patience = backoff.next()
            except Unreachable as error:
                self._set(State.UNAVAILABLE, error.reason)
                patience = backoff.next()
            except Unusable as error:
                self._set(State.DEGRADED, f"bad_descriptors ({error})")
                patience = backoff.next()
            except grpc.aio.AioRpcError as error:
                self._failed(error)
                patience = backoff.next()
            except Refused as refusal:
                self._set(State.DEGRADED, refusal.message)
                patience = backoff.next()
            except OSError as error:
                self._set(State.DEGRADED, f"file_not_readable ({error.strerror}: {error.filename})")
                patience = backoff.next()
            except Exception as error:
                self._host.log.error("upstream_connection_failed", error=repr(error))
                self._set(State.DEGRADED, "internal error")
                patience = backoff.next()
            await self._wait(patience)

    async def _wait(self, seconds: float | None) -> None:
        """Until it is time to look again: it is due, something is odd, or the connection was lost."""
        least = _GAP if seconds is None else min(seconds, _GAP)
        await asyncio.sleep(least)
        lost = asyncio.create_task(self._link.lost()) if self.state is State.READY else None
        woken = asyncio.create_task(self._wake.wait())
        tasks: list[asyncio.Task[object]] = [each for each in (lost, woken) if each is not None]
        try:
            left = None if seconds is None else seconds - least
            await asyncio.wait(tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _look(self) -> None:
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
        changed: frozenset[str] = frozenset()
        if found is not None:
            tools = tuple(method.definition for method in found.values())
            changed = frozenset({"tools"}) if tools != self.offer.tools else frozenset()
            self._methods = found
            capabilities = {"tools": {"listChanged": True}}
            self.offer = Offer(tools=tools, capabilities=capabilities, eras=frozenset(Era))
        if not serving:
            raise NotServing
        if changed or self.state is not State.READY:
            self._host.log.info("upstream_ready", tools=len(self.offer.tools))
        if changed:
            self.state, self.reason = State.READY, ""
            self._settled.set()
            self._host.wiring.offer_changed(self._host.name, changed)
        self._set(State.READY, "")

    def _failed(self, error: grpc.aio.AioRpcError) -> None:
        status = status_of(error, None)
        self._host.log.debug("upstream_refuses", code=status.code, details=status.message)
        if status.code == "UNAVAILABLE":
            self._set(State.UNAVAILABLE, unreachable(status.message))
        elif status.code == "UNAUTHENTICATED":
            self._set(State.DEGRADED, "upstream_unauthorized")
        elif status.code == "DEADLINE_EXCEEDED":
            self._set(State.UNAVAILABLE, "connect_timeout")
        else:
            self._set(State.DEGRADED, f"reflection_failed ({status.code})")

    def _set(self, state: State, reason: str) -> None:
        if (self.state, self.reason) != (state, reason):
            self.state, self.reason = state, reason
            if state is not State.READY:
                self._host.log.warning("upstream_degraded", state=str(state), reason=reason)
            self._host.wiring.offer_changed(self._host.name)
        self._settled.set()
