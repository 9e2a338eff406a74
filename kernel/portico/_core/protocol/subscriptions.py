"""The hub: who wants to hear of changes, and what upstreams must therefore be watched for.

Legacy GET streams and modern `subscriptions/listen` are both just subscriptions here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, Protocol

import attrs

from portico._core.contracts.auth import GATEWAY, Principal
from portico._core.contracts.exchange import Target
from portico._core.contracts.json import Json
from portico._core.contracts.log import Log
from portico._core.protocol.eras import META_SUBSCRIPTION
from portico._core.protocol.jsonrpc import notification_frame

KINDS: Final = ("tools", "prompts", "resources")
EVERY_KIND: Final = frozenset(KINDS)


class Notice:
    """A notification for many clients, encoded once.

    Args:
        method: Its method.
        params: Its params.

    Attributes:
        frame: It, as legacy clients get it.
    """

    __slots__ = ("_before", "frame")

    def __init__(self, method: str, params: Json) -> None:
        self.frame = notification_frame(method, params)
        # For modern ones the id of their subscription is the very last thing in it.
        meta = params.get("_meta")
        tagged = {k: v for k, v in meta.items() if k != META_SUBSCRIPTION} if isinstance(meta, dict) else {}
        rest = {k: v for k, v in params.items() if k != "_meta"}
        text = notification_frame(method, {**rest, "_meta": {**tagged, META_SUBSCRIPTION: 0}})
        self._before = text.removesuffix(b"0}}}")

    def tagged(self, ident: bytes) -> bytes:
        """It, as the modern client with this subscription (JSON text) gets it."""
        return b"%b%b}}}" % (self._before, ident)


@attrs.define(eq=False)
class Subscription:
    """One client's wish to be told. There are thousands of these: empty frozen sets cost nothing.

    Attributes:
        server: The virtual server.
        principal: Whose it is.
        kinds: Of `KINDS`, the lists whose changes it wants to hear of.
        uris: Advertised URIs it watches.
        deliver: Takes a notice; must not block.
        end: Called when the gateway shuts down.
    """

    server: str
    principal: Principal
    kinds: frozenset[str]
    uris: frozenset[str]
    deliver: Callable[[Notice], None]
    end: Callable[[], None] = lambda: None


class Resolver(Protocol):
    """What the hub asks of the data plane."""

    def route_uri(self, server: str, uri: str) -> Target | None: ...
    def advertised_uri(self, server: str, upstream: str, uri: str) -> str | None: ...
    async def watch(self, upstream: str, principal: Principal, uris: frozenset[str]) -> None: ...


class Hub:
    """Fans changes out to subscriptions, and keeps each upstream watched for the union of what they want.

    Args:
        resolver: Knows the catalog and the upstreams.
        log: For upstreams that cannot be watched.
    """

    def __init__(self, resolver: Resolver, log: Log) -> None:
        self._resolver = resolver
        self._log = log
        self._subscriptions: dict[str, set[Subscription]] = {}
        # Few sessions watch resources and many do not: only these are looked through.
        self._watching: dict[Principal, set[Subscription]] = {}
        self._watched: dict[tuple[str, Principal], frozenset[str]] = {}
        self._watchers: dict[tuple[str, Principal], asyncio.Task[None]] = {}

    def add(self, subscription: Subscription) -> None:
        """Begin to tell it."""
        self._subscriptions.setdefault(subscription.server, set()).add(subscription)
        self.changed_uris(subscription)

    def remove(self, subscription: Subscription) -> None:
        """Tell it nothing any more."""
        self._subscriptions.get(subscription.server, set()).discard(subscription)
        if subscription.uris:
            subscription.uris = frozenset()
            self.changed_uris(subscription)

    def changed_uris(self, subscription: Subscription) -> list[asyncio.Task[None]]:
        """Its URIs are others now: watch what is wanted, no longer what is not.

        Returns:
            The tasks that carry it to the upstreams, for callers who want to wait for them.
        """
        principal = subscription.principal
        watching = self._watching.setdefault(principal, set())
        (watching.add if subscription.uris else watching.discard)(subscription)
        if not watching:
            del self._watching[principal]
        return self._want(principal)

    def reroute(self) -> None:
        """The catalog is another now: URIs may lead elsewhere, or somewhere at last."""
        for principal in tuple(self._watching):
            self._want(principal)

    def _want(self, principal: Principal) -> list[asyncio.Task[None]]:
        wanted: dict[str, set[str]] = {}
        for each in self._watching.get(principal, ()):
            for uri in each.uris:
                target = self._resolver.route_uri(each.server, uri)
                if target is not None:
                    wanted.setdefault(target.upstream, set()).add(target.name)
        known = {upstream for upstream, owner in self._watched if owner == principal}
        for upstream in known | wanted.keys():
            key = (upstream, principal)
            uris = frozenset(wanted.get(upstream, ()))
            if self._watched.get(key, frozenset()) != uris:
                self._watched[key] = uris
                if key not in self._watchers:
                    self._watchers[key] = asyncio.get_running_loop().create_task(self._watch(key))
        return [task for (_, owner), task in self._watchers.items() if owner == principal]

    async def _watch(self, key: tuple[str, Principal]) -> None:
        """Bring one upstream to the wanted set; one at a time, and again if it changed meanwhile."""
        upstream, principal = key
        try:
            told: frozenset[str] | None = None
            while (wanted := self._watched.get(key, frozenset())) != told:
                told = wanted
                try:
                    await self._resolver.watch(upstream, principal, wanted)
                except Exception as error:  # an upstream that cannot be watched must not end the subscription
                    self._log.warning("upstream.watch_failed", upstream=upstream, error=str(error))
            if not told:
                self._watched.pop(key, None)
        finally:
            del self._watchers[key]

    def lists_changed(self, server: str, kinds: Iterable[str]) -> None:
        """Lists of a virtual server are others now."""
        for kind in kinds:
            notice = Notice(f"notifications/{kind}/list_changed", {})
            for subscription in tuple(self._subscriptions.get(server, ())):
                if kind in subscription.kinds:
                    subscription.deliver(notice)

    def resource_updated(self, upstream: str, principal: Principal, params: Json) -> None:
        """An upstream says that a resource changed, to one principal's session (or, shared, to all)."""
        uri = params.get("uri")
        if not isinstance(uri, str):
            return
        notices: dict[str, Notice] = {}
        for owner, watching in tuple(self._watching.items()):
            if principal not in (owner, GATEWAY):
                continue
            for subscription in tuple(watching):
                shown = self._resolver.advertised_uri(subscription.server, upstream, uri)
                if shown is None or shown not in subscription.uris:
                    continue
                notice = notices.get(shown)
                if notice is None:
                    notice = Notice("notifications/resources/updated", {**params, "uri": shown})
                    notices[shown] = notice
                subscription.deliver(notice)

    async def close(self) -> None:
        """End every subscription; upstream watches end with their upstreams."""
        for subscriptions in self._subscriptions.values():
            for subscription in tuple(subscriptions):
                subscription.end()
        for task in list(self._watchers.values()):
            task.cancel()
