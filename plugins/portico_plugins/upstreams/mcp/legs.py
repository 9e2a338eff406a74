"""Which eras and transports a server speaks, and sessions that speak them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final, Literal

import attrs

from portico.api import GATEWAY, Era, Exchange, Host, Json, Principal

from . import programs, wire
from .backchannel import Backchannel
from .config import McpConfig
from .http import HttpClient
from .legacy import LegacySession, offered
from .legacy_http import StreamableHttp
from .legacy_sse import HttpSse
from .modern_http import ModernHttp
from .modern_pipe import ModernPipe
from .pool import Pool, Want
from .session import Session, Wire
from .stdio import Stdio

_EVERYTHING: Final[Json] = {"elicitation": {"form": {}, "url": {}}, "roots": {}, "sampling": {}}
"""What a server is offered by the gateway itself, for some show tools only to clients that can do something,
and a shared stdio server by everybody. What nobody is there for, or a client lacks, is refused when asked."""

_MOST_WANTS: Final = 1024

Pipe = Callable[[Want, Callable[[Any], Backchannel]], Wire]
"""Makes the wire of a session that runs on a pipe of another kind than a process."""


class Legs:
    """How to reach one server.

    Args:
        config: Its configuration.
        host: The upstream's host.
        info: How the gateway calls itself.
        changed: Told which lists the server says have changed.
        updated: Told of updates of watched resources.
        pipe: What leads to it in place of its configured command.

    Attributes:
        modern: Whether it speaks the modern era; None before anybody asked.
        legacy: Whether it speaks a legacy one; None before anybody tried.
        transport: How its legacy sessions travel.
        skip_probe: The last process seems to have died of the probe.
        announced: The lists whose changes a modern process announces, as a subscription filter.
        http: The HTTP client, for a server with a URL.
        stateless: The modern leg over HTTP.
        pool: Its sessions.
    """

    def __init__(
        self,
        config: McpConfig,
        host: Host,
        info: Json,
        changed: Callable[[str], None],
        updated: Callable[[Principal | None, Json], None],
        pipe: Pipe | None = None,
    ) -> None:
        self.config = config
        self.pipe = pipe
        self.modern: bool | None = None
        self.legacy: bool | None = None
        self.skip_probe = False
        self.announced: dict[str, bool] = {}
        self.transport: Literal["stdio", "http", "sse"] = (
            "stdio" if config.command else "sse" if config.protocol == "sse" else "http"
        )
        self.http = HttpClient(config, host) if config.url else None
        self.info = info
        self._host = host
        self._wants: dict[tuple[Era, wire.Caller, bytes], tuple[Json, Want]] = {}
        self._same: dict[tuple[int, int, Era], tuple[Json, Json, Principal, Want]] = {}
        self._caller = wire.Caller(GATEWAY)
        self._everything = self.granted(_EVERYTHING)
        self._changed = changed
        self._updated = updated
        self.stateless = ModernHttp(self.http, host, self.own, self._backchannel) if self.http else None
        self.pool = Pool(config, host, self.session)

    def _backchannel(self, principal: Principal | None, respond: Any) -> Backchannel:
        withheld = self.config.withhold
        return Backchannel(self._host, principal, self._changed, self._updated, respond, withheld)

    def granted(self, capabilities: Json) -> Json:
        """What the server is to know of a client's capabilities."""
        return {name: value for name, value in capabilities.items() if name not in self.config.withhold}

    def own(self, params: Json | None) -> Json:
        """Params of a modern request that the gateway makes for itself."""
        return wire.own_params(params, self.info, self._everything)

    def caller(self, exchange: Exchange) -> wire.Caller:
        """On whose behalf an exchange is sent."""
        if self.config.pass_upstream_authorization:
            return wire.Caller(exchange.principal, exchange.headers.get("x-upstream-authorization", ""))
        if self.config.env_from_headers:
            given = programs.given(self.config.env_from_headers, exchange.headers)
            return wire.Caller(exchange.principal, environment=given)
        if self._caller.principal is not exchange.principal:  # many exchanges in a row are one principal's
            self._caller = wire.Caller(exchange.principal)
        return self._caller

    def want(self, era: Era, exchange: Exchange) -> Want:
        """The session an exchange needs."""
        capabilities, principal = exchange.capabilities, exchange.principal
        info = exchange.client_info or self.info
        # A legacy session's exchanges come with the very same objects, which are held on to: ids stay theirs.
        same = (id(capabilities), id(principal), era)
        seen = self._same.get(same)
        if seen is not None and seen[0] is info:
            return seen[3]
        want = self._known(era, exchange, self.caller(exchange), info)
        if exchange.era is Era.LEGACY and not (
            self.config.withhold or self.config.pass_upstream_authorization or self.config.env_from_headers
        ):
            if len(self._same) >= _MOST_WANTS:
                self._same.clear()
            self._same[same] = (info, capabilities, principal, want)
        return want

    def _known(self, era: Era, exchange: Exchange, caller: wire.Caller, info: Json) -> Want:
        key = (era, caller, wire.encode(exchange.capabilities))
        found = self._wants.get(key)
        if found is None or found[0] != info:
            want = self._want(era, caller, offered(self.granted(exchange.capabilities)), info)
            if len(self._wants) >= _MOST_WANTS:
                self._wants.clear()
            found = self._wants[key] = (info, want)
        return found[1]

    def plain(self, era: Era, principal: Principal) -> Want:
        """A session that no exchange needs: the gateway's own, or somebody's without client capabilities."""
        capabilities = self._everything if principal == GATEWAY else {}
        return self._want(era, wire.Caller(principal), capabilities, self.info)

    def _want(self, era: Era, caller: wire.Caller, capabilities: Json, info: Json) -> Want:
        if self.config.shared:
            caller, info = wire.Caller(GATEWAY), self.info
            if self.transport == "stdio":
                capabilities = self._everything
        return Want(era, self.owner(caller), caller, capabilities, info)

    def owner(self, caller: wire.Caller) -> str:
        """Whose sessions a caller may use."""
        if self.config.shared:
            return "shared"
        passed = hashlib.sha256(caller.authorization.encode()).hexdigest() if caller.authorization else ""
        given = hashlib.sha256(wire.encode(caller.environment)).hexdigest() if caller.environment else ""
        return caller.principal.key + passed + given

    @property
    def owner_of_gateway(self) -> str:
        """Whose sessions the gateway itself uses."""
        return self.owner(wire.Caller(GATEWAY))

    def wire(self, want: Want) -> Wire:
        """A wire of the server's transport, not connected yet."""
        whose = want.caller.principal
        if want.caller.environment:
            # What such a process says outside of calls is for nobody: not for all sessions of the principal,
            # which may be others' when all are anonymous.
            whose = attrs.evolve(whose, subject=want.owner)

        def backchannel(respond: Any) -> Backchannel:
            return self._backchannel(None if self.config.shared else whose, respond)

        if self.pipe is not None:
            return self.pipe(want, backchannel)
        if self.http is None:
            crashed = self.pool.restarts(want.owner).crashed
            return Stdio(self.config, self._host, backchannel, crashed, want.caller.environment)
        if self.transport == "sse":
            return HttpSse(self.http, self._host, want.caller, backchannel, self.config.connect_timeout)
        return StreamableHttp(self.http, self._host, want.caller, backchannel, lambda: self._changed(""))

    def session(self, want: Want) -> Session:
        """A session, not open yet."""
        return self.on(self.wire(want), want)

    def on(self, wire_: Wire, want: Want) -> Session:
        """A session on a wire that is there already."""
        if want.era is Era.MODERN:
            mine = want.owner == self.owner_of_gateway  # the catalog listens on that one
            return ModernPipe(wire_, self.own, {} if mine else self.announced)
        return LegacySession(wire_, self._host, want.capabilities, want.client_info)

    def forget(self) -> None:
        """Nothing is known of the server any more: what it speaks is to be found out again."""
        self.modern = None
        self.legacy = None

    async def close(self) -> None:
        """End all sessions and connections."""
        await self.pool.close()
        if self.http is not None:
            await self.http.close()
