"""A legacy client's session: handshake, calls, questions to the client, and notices that belong to no call.

The state machine of 2024-11-05 to 2025-11-25. It does no I/O: frames go into sinks, which transports read.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any

from portico._core.contracts.auth import Principal
from portico._core.contracts.exchange import Era
from portico._core.contracts.json import Json
from portico._core.contracts.result import Result
from portico._core.errors import INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, Refused
from portico._core.protocol.audience import check_ask
from portico._core.protocol.eras import LOG_LEVELS, negotiate
from portico._core.protocol.jsonrpc import (
    Id,
    Message,
    encode,
    error_frame,
    notification_frame,
    request_frame,
    result_frame,
    result_pieces,
)
from portico._core.protocol.legacy_call import LegacyCall
from portico._core.protocol.stream import Sink
from portico._core.protocol.subscriptions import EVERY_KIND, Notice, Subscription
from portico._core.requests.endpoint import Endpoint


class Session:
    """One session of one client with one virtual server.

    Attributes:
        id: What `Mcp-Session-Id` carries; "" on stdio.
        version: The negotiated revision, "" before `initialize`.
        outlet: Where frames that belong to no call go; None while there is no such stream.
        last_seen: On the gateway's monotonic clock, for idle expiry.
    """

    def __init__(
        self, endpoint: Endpoint, principal: Principal, ident: str, outlet: Sink | None = None
    ) -> None:
        self.endpoint = endpoint
        self.principal = principal
        self.id = ident
        self.outlet = outlet
        self.version = ""
        self.capabilities: Json = {}
        self.client_info: Json | None = None
        self.log_level: str | None = None
        self.last_seen = endpoint.clock.monotonic()
        self.calls: dict[tuple[type, Id], LegacyCall] = {}
        self._asks: dict[int, asyncio.Future[Json]] = {}
        self._ask_ids = itertools.count(1)
        self._subscription: Subscription | None = None
        self.closed = False

    # --- from the client -------------------------------------------------------------------------

    def touch(self) -> None:
        """Note that its client is there."""
        self.last_seen = self.endpoint.clock.monotonic()

    def receive(self, message: Message, sink: Sink, headers: Mapping[str, str]) -> None:
        """Take one message; its answer, if it has one, goes to `sink`, which then ends."""
        self.touch()
        if message.kind == "request":
            try:
                self._request(message, sink, headers)
            except Refused as refusal:
                sink.end(error_frame(message.id, refusal.body()))
        elif message.kind == "notification":
            self._notification(message)
        else:
            self._response(message)

    def _request(self, message: Message, sink: Sink, headers: Mapping[str, str]) -> None:
        method, params = message.method, message.params
        if method == "initialize":
            sink.end(result_frame(message.id, encode(self._initialize(params))))
            return
        if method == "ping":
            sink.end(result_frame(message.id, b"{}"))
            return
        if not self.version:
            raise Refused(INVALID_REQUEST, "Invalid request: initialize comes first")
        if method == "server/discover":
            raise Refused(METHOD_NOT_FOUND, "Method not found")
        if self.endpoint.view.lacks(method):
            raise Refused(METHOD_NOT_FOUND, "Method not found")
        if method == "logging/setLevel":
            level = params.get("level")
            if not isinstance(level, str) or level not in LOG_LEVELS:
                raise Refused(INVALID_PARAMS, "Invalid params: level must be one of " + ", ".join(LOG_LEVELS))
            self.log_level = level
            sink.end(result_frame(message.id, b"{}"))
            return
        if method in ("resources/subscribe", "resources/unsubscribe"):
            self._subscribe(message, sink, wanted=method == "resources/subscribe")
            return
        key = (type(message.id), message.id)
        if key in self.calls:
            raise Refused(INVALID_REQUEST, "Invalid request: a request with this id is in flight")
        self._call(message, key, sink, headers)

    def _call(self, message: Message, key: tuple[type, Id], sink: Sink, headers: Mapping[str, str]) -> None:
        exchange = self.endpoint.exchange(
            message.method,
            message.params,
            self.principal,
            era=Era.LEGACY,
            version=self.version,
            capabilities=self.capabilities,
            client_info=self.client_info,
            log_level=self.log_level,
            headers=headers,
        )

        self.calls[key] = LegacyCall(
            exchange, self.endpoint.run, self.endpoint.on_fault, message.id, sink, self
        )

    def settled(self, call: LegacyCall) -> None:
        """Answer a call that is over, unless its client has cancelled it (2025-11-25, cancellation)."""
        self.calls.pop((type(call.ident), call.ident), None)
        outcome, sink = call.outcome, call.sink
        if isinstance(outcome, Result):
            sink.end(*result_pieces(call.ident, outcome.raw))
        elif outcome is not None and not call.unwanted:
            sink.end(error_frame(call.ident, outcome.body()))
        else:
            sink.end()

    def _initialize(self, params: Json) -> Json:
        if self.version:
            raise Refused(INVALID_REQUEST, "Invalid request: the session is initialized already")
        capabilities, info = params.get("capabilities"), params.get("clientInfo")
        if not isinstance(params.get("protocolVersion"), str) or not isinstance(capabilities, dict):
            raise Refused(INVALID_PARAMS, "Invalid params: protocolVersion and capabilities are required")
        self.version = negotiate(params["protocolVersion"])
        # Client-side task hosting (2025-11-25 experimental) is not relayed, so it is not passed on either.
        self.capabilities = {k: v for k, v in capabilities.items() if k != "tasks"}
        if self.version < "2025-06-18":
            self.capabilities.pop("elicitation", None)
        self.client_info = info if isinstance(info, dict) else None
        self._subscription = Subscription(
            self.endpoint.name, self.principal, EVERY_KIND, frozenset(), self._deliver
        )
        self.endpoint.hub.add(self._subscription)
        self.endpoint.sessions.add(self)
        return self.endpoint.lists.initialize_result(self.version)

    def _subscribe(self, message: Message, sink: Sink, *, wanted: bool) -> None:
        uri: Any = message.params.get("uri")
        self.endpoint.view.route_uri(uri)
        carried: list[asyncio.Task[None]] = []
        if self._subscription is not None:
            uris = self._subscription.uris
            self._subscription.uris = uris | {uri} if wanted else uris - {uri}
            carried = self.endpoint.hub.changed_uris(self._subscription)
        # The answer promises that updates come from now on, so the upstream must know first.
        waiting = asyncio.gather(*carried, return_exceptions=True)
        waiting.add_done_callback(lambda _: sink.end(result_frame(message.id, b"{}")))

    def _notification(self, message: Message) -> None:
        if message.method == "notifications/cancelled":
            ident = message.params.get("requestId")
            call = self.calls.get((type(ident), ident)) if isinstance(ident, str | int) else None
            if call is not None:
                call.cancel()
        elif message.method == "notifications/roots/list_changed":
            self.endpoint.tell(self.principal, message.method, message.params)

    def _response(self, message: Message) -> None:
        asked = self._asks.pop(message.id, None) if isinstance(message.id, int) else None
        if asked is None or asked.done():
            return
        if message.kind == "result":
            asked.set_result(message.answer)
        else:
            code, text = message.answer.get("code"), message.answer.get("message")
            asked.set_exception(
                Refused(
                    code if isinstance(code, int) else INVALID_REQUEST, str(text), message.answer.get("data")
                )
            )

    # --- to the client ---------------------------------------------------------------------------

    async def ask_on(self, method: str, params: Json, sink: Sink) -> Json:
        """Ask the client on a stream, and wait for its response."""
        ident = next(self._ask_ids)
        answer: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._asks[ident] = answer
        sink.push(request_frame(ident, method, self._shape_ask(method, params, ident)))
        try:
            return await answer
        except asyncio.CancelledError:
            sink.push(notification_frame("notifications/cancelled", {"requestId": ident}))
            raise
        finally:
            self._asks.pop(ident, None)

    def _shape_ask(self, method: str, params: Json, ident: int) -> Json:
        """A question in the words of the session's revision."""
        if method != "elicitation/create":
            return params
        if params.get("mode") == "url" and "elicitationId" not in params:
            return {**params, "elicitationId": f"{self.id[:16] or 'stdio'}-{ident}"}
        if self.version < "2025-11-25":
            return {k: v for k, v in params.items() if k != "mode"}
        return params

    async def ask(self, method: str, params: Json) -> Json:
        """Ask the client something that belongs to no call of its own.

        Raises:
            Refused: It declared no such capability or has no stream open for it.
        """
        check_ask(self.capabilities, method, params)
        if self.outlet is None or not self.outlet.attached:
            raise Refused(METHOD_NOT_FOUND, "No stream is open to ask the client on")
        return await self.ask_on(method, params, self.outlet)

    def notice(self, method: str, params: Json) -> None:
        """Send a notification that belongs to no call, if it may go to this client."""
        if not self.version:
            return  # a connection whose client has not introduced itself, or speaks the modern era on it
        if method != "notifications/message" or self._level_allows(params):
            self._notice(method, params)

    def _level_allows(self, params: Json) -> bool:
        rank = LOG_LEVELS.get(str(params.get("level")), 0)
        # A legacy client that never set a level gets what the server chooses to send (2025-11-25, logging).
        return rank >= LOG_LEVELS.get(self.log_level or "debug", 0)

    def _deliver(self, notice: Notice) -> None:
        if self.outlet is not None:
            self.outlet.push(notice.frame)

    def _notice(self, method: str, params: Json) -> None:
        if self.outlet is not None:
            self.outlet.push(notification_frame(method, params))

    def close(self) -> None:
        """End the session: its calls are cancelled and its questions fail. Closing twice is closing once."""
        if self.closed:
            return
        self.closed = True
        self.endpoint.sessions.discard(self)
        if self._subscription is not None:
            self.endpoint.hub.remove(self._subscription)
        for call in list(self.calls.values()):
            call.cancel()
        for answer in self._asks.values():
            if not answer.done():
                answer.set_exception(Refused(INVALID_REQUEST, "The client ended its session"))
        if self.outlet is not None:
            self.outlet.end()
