"""A virtual server at run time: what transports hand their requests to."""

from __future__ import annotations

import itertools
import secrets
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from portico._core.catalog.view import View
from portico._core.contracts.auth import AuthScheme, Challenge, Credentials, Principal
from portico._core.contracts.clock import Clock
from portico._core.contracts.exchange import Era, Exchange
from portico._core.contracts.json import Json
from portico._core.contracts.log import Log
from portico._core.contracts.observers import Event
from portico._core.contracts.result import Result
from portico._core.errors import Refused
from portico._core.protocol.audience import NOBODY
from portico._core.protocol.eras import (
    META_CAPABILITIES,
    META_CLIENT_INFO,
    META_LOG_LEVEL,
    META_VERSION,
    MRTR_METHODS,
)
from portico._core.protocol.modern_call import Asking, ModernCall
from portico._core.protocol.param_headers import check_params
from portico._core.protocol.parking import Parking
from portico._core.protocol.stream import Sink
from portico._core.protocol.subscriptions import Hub
from portico._core.requests.authentication import Schemes
from portico._core.requests.call_records import CallRecord, reporter
from portico._core.requests.lists import Lists
from portico._core.requests.load import Load
from portico._core.requests.owners import Owners
from portico._core.requests.pipeline import Pipeline
from portico._core.requests.shaping import shape_error, shape_result
from portico._core.seal import Seal


class OpenSession(Protocol):
    """A legacy session, as far as its virtual server and the data plane know it."""

    principal: Principal
    last_seen: float
    outlet: Sink | None

    def notice(self, method: str, params: Json) -> None:
        """Send a notification that belongs to no call, if it may go to this client."""
        ...

    async def ask(self, method: str, params: Json) -> Json:
        """Ask the client something that belongs to no call of its own.

        Raises:
            Refused: It declared no such capability or has no stream open for it.
        """
        ...

    def close(self) -> None:
        """End it."""
        ...


class Endpoint:
    """One virtual server: its catalog view, who may come in, its policies, its sessions.

    Attributes:
        name: The virtual server's name.
        lists: Its catalog's answers.
        hub: Fans out changes.
        seal: For session ids.
        clock: Time.
        owners: The way to the workers that other handles belong to, if there are any.
        sessions: The legacy sessions that are open.
        closed: Whether it has been taken down.
    """

    def __init__(
        self,
        name: str,
        *,
        lists: Lists,
        pipeline: Pipeline,
        schemes: Sequence[tuple[str, AuthScheme]],
        hub: Hub,
        parking: Parking,
        seal: Seal,
        load: Load,
        clock: Clock,
        log: Log,
        call_timeout: float,
        depth_limit: int,
        watchable: Callable[[str, str], bool],
        tell: Callable[[str, Principal, str, Json], None],
        observe: Callable[[Event], None] | None,
        on_call: Callable[[CallRecord], None] | None,
        owners: Owners | None = None,
    ) -> None:
        self.name = name
        self.lists = lists
        self.hub = hub
        self.seal = seal
        self.clock = clock
        self.owners = owners
        self.sessions: weakref.WeakSet[OpenSession] = weakref.WeakSet()
        self.depth_limit = depth_limit
        self.closed = False
        self._pipeline = pipeline
        self._schemes = Schemes(schemes, log)
        self._run_id = secrets.token_hex(4) + "-"
        self._ids = itertools.count(1)
        self._parking = parking
        self._load = load
        self._log = log
        self._call_timeout = call_timeout
        self._watchable = watchable
        self._tell = tell
        self._report = reporter(name, on_call, observe)

    def change(self, pipeline: Pipeline, schemes: Sequence[tuple[str, AuthScheme]]) -> None:
        """Have other policies and auth schemes from the next request on; calls that run keep theirs."""
        self._pipeline = pipeline
        self._schemes = Schemes(schemes, self._log)

    def close(self) -> None:
        """It is taken down: its sessions end, and nobody is let in any more."""
        self.closed = True
        for session in list(self.sessions):
            session.close()

    @property
    def view(self) -> View:
        """The catalog as it is now."""
        return self.lists.view

    async def authenticate(self, credentials: Credentials) -> Principal | Challenge:
        """Who is calling: the first scheme that knows the credential says."""
        return await self._schemes.authenticate(credentials)

    def recognise(self, credentials: Credentials) -> Principal | Challenge | None:
        """The same at once, where every scheme can do without I/O; None where one cannot."""
        return self._schemes.recognise(credentials)

    def exchange(
        self,
        method: str,
        params: Json,
        principal: Principal,
        *,
        era: Era,
        version: str,
        capabilities: Json,
        client_info: Json | None,
        log_level: str | None,
        headers: Mapping[str, str],
    ) -> Exchange:
        """An exchange in canonical form.

        Raises:
            Refused: 50302 or 50303 when no more work is taken on.
        """
        self._load.take_on()
        meta = params.get("_meta")
        token = meta.get("progressToken") if isinstance(meta, dict) else None
        return Exchange(
            id=f"{self._run_id}{next(self._ids):x}",
            method=method,
            params=params,
            principal=principal,
            server=self.name,
            era=era,
            version=version,
            client=NOBODY,
            capabilities=capabilities,
            client_info=client_info,
            log_level=log_level,
            progress_token=token if isinstance(token, str | int) and not isinstance(token, bool) else None,
            headers=headers,
            deadline=self.clock.monotonic() + self._call_timeout,
        )

    def modern_exchange(
        self, method: str, params: Json, principal: Principal, headers: Mapping[str, str]
    ) -> Exchange:
        """The exchange of a modern request, whose `_meta` says everything about its client.

        Raises:
            Refused: As `exchange`.
        """
        meta = params["_meta"]
        info, level = meta.get(META_CLIENT_INFO), meta.get(META_LOG_LEVEL)
        return self.exchange(
            method,
            params,
            principal,
            era=Era.MODERN,
            version=meta[META_VERSION],
            capabilities=meta[META_CAPABILITIES],
            client_info=info if isinstance(info, dict) else None,
            log_level=level if isinstance(level, str) else None,
            headers=headers,
        )

    def check_params(self, params: Json, lines: Sequence[tuple[str, str]]) -> None:
        """Compare a call's `Mcp-Param-*` headers with its arguments, by the schema this server advertises.

        Raises:
            Refused: -32020.
        """
        name = params.get("name")
        headers = self.view.headers.get(name) if isinstance(name, str) else None
        if headers:
            check_params(headers, params.get("arguments"), lines)

    def begin(self, exchange: Exchange) -> ModernCall:
        """Carry out a modern exchange; a retry of a parked call resumes that call.

        Raises:
            Refused: -32602 for a handle that is no longer good.
        """
        if exchange.method in MRTR_METHODS:
            call = self._parking.claim(exchange)
            if call is not None:
                return call
        return ModernCall(exchange, self.run, self.on_fault)

    def park(self, call: ModernCall, asking: Asking) -> Result | Refused:
        """Set a call aside until its client has answered; gives what to answer with."""
        return self._parking.park(call, asking.requests)

    def can_watch(self, uri: str) -> bool:
        """Whether updates of an advertised URI can be had."""
        try:
            target = self.view.route_uri(uri)
        except Refused:
            return False
        return self._watchable(target.upstream, target.name)

    def tell(self, principal: Principal, method: str, params: Json) -> None:
        """Pass a legacy client's notification on to the upstreams."""
        for upstream in self.view.upstreams:
            self._tell(upstream, principal, method, params)

    async def run(self, exchange: Exchange) -> Result:
        """Policies, routing, bridging; the result in the client's words.

        Raises:
            Refused: Likewise.
        """
        report = self._report
        started = self.clock.monotonic() if report else 0.0
        call: Any = exchange.client
        self._load.calls.add(call)
        outcome = "ok"
        try:
            result = await self._pipeline.chain(exchange.method)(exchange)
            if exchange.foreign:
                return result
            return shape_result(result, exchange.method, exchange.era, self.lists.meta, self.lists.private)
        except Refused as refusal:
            outcome = str(refusal.code)
            if exchange.foreign:
                raise
            raise shape_error(refusal, exchange.method, exchange.params, exchange.era) from None
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            self._load.calls.discard(call)
            if report:
                report(exchange, outcome, self.clock.monotonic() - started)

    def on_fault(self, exchange: Exchange, error: BaseException) -> None:
        """An exchange failed in a way nobody meant; the client learns nothing, the log everything."""
        notes = getattr(error, "__notes__", [])
        self._log.error(
            "call.fault", request_id=exchange.id, method=exchange.method, exc_info=error, notes=list(notes)
        )
