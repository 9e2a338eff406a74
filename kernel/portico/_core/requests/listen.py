"""A modern client's `subscriptions/listen` (2026-07-28, subscriptions)."""

from __future__ import annotations

import asyncio
from typing import Final

from portico._core.contracts.exchange import Exchange
from portico._core.contracts.json import Json
from portico._core.errors import INVALID_PARAMS, Refused
from portico._core.protocol.eras import META_SUBSCRIPTION
from portico._core.protocol.jsonrpc import Id, encode, result_frame
from portico._core.protocol.stream import Sink
from portico._core.protocol.subscriptions import Notice, Subscription
from portico._core.requests.endpoint import Endpoint

_FLAGS: Final = {
    "toolsListChanged": "tools",
    "promptsListChanged": "prompts",
    "resourcesListChanged": "resources",
}
_SETTLE_SECONDS: Final = 5.0
MAX_URIS: Final = 1024


class Listen:
    """One open subscription. Frames go to `sink`: first the acknowledgement, at a graceful end the result.

    Args:
        endpoint: The virtual server.
        exchange: The request.
        ident: Its JSON-RPC id, which tags every frame, its type preserved.
        sink: Takes the frames.

    Raises:
        Refused: -32602 for a filter that is none.
    """

    def __init__(self, endpoint: Endpoint, exchange: Exchange, ident: Id, sink: Sink) -> None:
        wanted = exchange.params.get("notifications")
        if not isinstance(wanted, dict):
            raise Refused(INVALID_PARAMS, "Invalid params: notifications must be an object")
        uris = wanted.get("resourceSubscriptions", [])
        if not isinstance(uris, list) or len(uris) > MAX_URIS or not all(isinstance(u, str) for u in uris):
            raise Refused(INVALID_PARAMS, f"Invalid params: resourceSubscriptions: at most {MAX_URIS} URIs")
        self._endpoint = endpoint
        self._sink = sink
        self._ident = ident
        self._tag = encode(ident)
        self._early: list[bytes] | None = []
        have = endpoint.view.capabilities
        kinds = {kind for flag, kind in _FLAGS.items() if wanted.get(flag) is True and kind in have}
        watchable = {u for u in uris if endpoint.can_watch(u)}
        self.honoured: Json = {flag: True for flag, kind in _FLAGS.items() if kind in kinds}
        if uris and watchable:
            self.honoured["resourceSubscriptions"] = [u for u in uris if u in watchable]
        self._subscription = Subscription(
            endpoint.name, exchange.principal, frozenset(kinds), frozenset(watchable), self._deliver, self.end
        )

    async def open(self) -> None:
        """Begin; acknowledges once upstreams know what is wanted, or after a while all the same."""
        hub = self._endpoint.hub
        hub.add(self._subscription)
        carried = hub.changed_uris(self._subscription)
        if carried:
            await asyncio.wait(carried, timeout=_SETTLE_SECONDS)
        early, self._early = self._early or [], None
        self._sink.push(
            Notice("notifications/subscriptions/acknowledged", {"notifications": self.honoured}).tagged(
                self._tag
            )
        )
        for frame in early:
            self._sink.push(frame)

    def _deliver(self, notice: Notice) -> None:
        frame = notice.tagged(self._tag)
        if self._early is not None:
            self._early.append(frame)  # nothing may precede the acknowledgement
        else:
            self._sink.push(frame)

    def end(self) -> None:
        """End it from our side: the result, then no more."""
        result = {"resultType": "complete", "_meta": {META_SUBSCRIPTION: self._ident}}
        self._sink.end(result_frame(self._ident, encode(result)))
        self.close()

    def close(self) -> None:
        """The client has gone."""
        self._endpoint.hub.remove(self._subscription)
