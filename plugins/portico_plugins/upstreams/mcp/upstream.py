"""One MCP server as an upstream: era affinity, calls, and what clients want to hear of."""

from __future__ import annotations

import asyncio
from functools import cache
from importlib.metadata import version

import attrs

from portico.api import (
    INVALID_REQUEST,
    UNSUPPORTED_VERSION,
    UPSTREAM_BAD_RESPONSE,
    UPSTREAM_UNAVAILABLE,
    Era,
    Exchange,
    Host,
    Json,
    Offer,
    Principal,
    Refused,
    Result,
    State,
    Target,
    failure,
)
from portico_plugins.failures import bad_response, reason_of, timed_out, unavailable
from portico_plugins.upstreams.limit import Limit

from . import wire
from .call import ASKABLE
from .catalog import Catalog
from .config import McpConfig
from .connect import definite
from .legs import Legs, Pipe
from .session import SessionExpired
from .watch import Watches


@cache
def _version() -> str:
    # Reads and parses a file: not for each of a thousand upstreams.
    return version("portico")


class McpUpstream:
    """An MCP server of any era.

    Args:
        config: Its configuration.
        host: What the kernel offers.
        pipe: What leads to the server in place of its configured command.
    """

    def __init__(self, config: McpConfig, host: Host, pipe: Pipe | None = None) -> None:
        self._config = config
        self._host = host
        info: Json = {"name": "portico", "version": _version()}
        self._legs = Legs(config, host, info, self._changed, self._updated, pipe)
        self._catalog = Catalog(config, host, self._legs)
        self._watches = Watches(host, self._legs, self._catalog)

    @property
    def offer(self) -> Offer:
        """What it last said it has."""
        return self._catalog.offer

    @property
    def state(self) -> State:
        """How it is now."""
        return self._catalog.state

    @property
    def reason(self) -> str:
        """Why it is not ready."""
        return self._catalog.reason

    async def start(self) -> None:
        """Begin to connect; waits a little, so that a healthy server is there from the first request on."""
        self._catalog.start()
        try:
            async with asyncio.timeout(self._config.start_grace):
                await self._catalog.settled.wait()
        except TimeoutError:
            self._host.log.info("upstream_still_starting")

    async def refresh(self) -> None:
        """Have the lists fetched again, soon."""
        self._catalog.changed("")

    async def probe(self) -> None:
        """Have the server answer something harmless, as the gateway itself.

        Raises:
            Refused: It did not.
        """
        await self._catalog.probe()

    async def stop(self) -> None:
        """End everything, child processes included."""
        await self._watches.close()
        await self._catalog.stop()
        await self._legs.close()

    async def send(self, exchange: Exchange, target: Target) -> Result:
        """Carry out an exchange. Its deadline is the caller's to keep, by cancelling.

        Raises:
            Refused: The server's own error, or one of Portico's codes.
        """
        if self._config.withhold:
            exchange = attrs.evolve(exchange, capabilities=self._legs.granted(exchange.capabilities))
        seconds = self._config.call_timeout
        try:
            if seconds is None:
                result = await self._send(exchange, target, None)
            else:
                async with Limit(seconds) as limit:
                    result = await self._send(exchange, target, limit)
        except TimeoutError:
            raise timed_out(self._host.name, exchange) from None
        except Refused as refusal:
            reason = reason_of(refusal)
            if refusal.code in (INVALID_REQUEST, UNSUPPORTED_VERSION):
                self._catalog.suspect()  # it may have been replaced by a server of the other era
            if refusal.code not in (UPSTREAM_BAD_RESPONSE, UPSTREAM_UNAVAILABLE) or not reason:
                raise
            if reason not in ("upstream_unauthorized", "restart_budget"):
                self._catalog.suspect()
            # A session's failure is shared by all its calls; each answer is to name its own request.
            raise failure(
                refusal.code,
                refusal.message,
                reason=reason,
                upstream=self._host.name,
                request_id=exchange.id,
                retryable=refusal.data["gateway"].get("retryable"),
            ) from None
        if self._config.withhold:
            self._judge(result, exchange)
        return result

    async def _send(self, exchange: Exchange, target: Target, limit: Limit | None) -> Result:
        if not self._catalog.settled.is_set():
            await self._catalog.settled.wait()
        if self._catalog.down is not None:
            raise wire.again(self._catalog.down)
        legs = self._legs
        if legs.modern is None:
            raise unavailable(self._host.name, "not_connected", exchange)
        if not legs.modern or (exchange.era is Era.LEGACY and legs.legacy):
            return await self._in_session(Era.LEGACY, exchange, target, limit)
        untried = exchange.era is Era.LEGACY and legs.legacy is None and self._config.protocol == "auto"
        if untried and await self._speaks_legacy(exchange):
            return await self._in_session(Era.LEGACY, exchange, target, limit)
        if legs.stateless is not None:
            return await legs.stateless.send(exchange, target, legs.caller(exchange))
        return await self._in_session(Era.MODERN, exchange, target, limit)

    def _judge(self, result: Result, exchange: Exchange) -> None:
        """Look whether a result asks for what the server was not offered.

        Raises:
            Refused: 50200, it does.
        """
        if result.kind != "input_required" and exchange.method != "tasks/get":
            return
        asked = result.value.get("inputRequests")
        for request in asked.values() if isinstance(asked, dict) else ():
            method = request.get("method") if isinstance(request, dict) else None
            if isinstance(method, str) and ASKABLE.get(method) in self._config.withhold:
                raise bad_response(self._host.name, "capability_withheld", exchange)

    async def _speaks_legacy(self, exchange: Exchange) -> bool:
        """Whether a modern server also speaks the client's era; tried once, by opening the session needed."""
        legs = self._legs
        try:
            legs.pool.release(await legs.pool.acquire(legs.want(Era.LEGACY, exchange)))
        except Refused as refusal:
            if definite(refusal):
                legs.legacy = False
            return False
        legs.legacy = True
        self._catalog.speaks(Era.LEGACY)
        return True

    async def _in_session(self, era: Era, exchange: Exchange, target: Target, limit: Limit | None) -> Result:
        pool = self._legs.pool
        for _ in range(2):
            want = self._legs.want(era, exchange)
            session = pool.take(want) or await pool.acquire(want)
            try:
                return await session.send(exchange, target, limit)
            except SessionExpired:
                continue  # the server did not know the session, so it has not run the call
            finally:
                pool.release(session)
        raise bad_response(self._host.name, "session_expired", exchange)

    def _changed(self, kind: str) -> None:
        self._catalog.changed(kind)

    def _updated(self, principal: Principal | None, params: Json) -> None:
        self._watches.updated(principal, params)

    async def watch(self, principal: Principal, uris: frozenset[str]) -> None:
        """Want updates of exactly these resources for this principal."""
        await self._watches.watch(principal, uris)

    async def tell(self, principal: Principal, method: str, params: Json) -> None:
        """Pass a legacy client's notification to that principal's sessions; best effort."""
        capability = "roots" if method == "notifications/roots/list_changed" else ""
        for session in self._legs.pool.sessions(self._legs.owner(wire.Caller(principal))):
            try:
                await session.tell(method, params, capability)
            except Refused as refusal:
                self._host.log.debug("upstream_tell_lost", reason=refusal.message)
