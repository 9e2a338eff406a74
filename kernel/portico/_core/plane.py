"""The data plane: upstreams, the catalog they make, and the virtual servers that show it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from portico._core.catalog import ServerSpec, View, build_view
from portico._core.contracts import Json, Log, Offer, Principal, State, Target, Tellable, Upstream, Watchable
from portico._core.endpoint import Endpoint, Load
from portico._core.errors import METHOD_NOT_FOUND, MISSING_CAPABILITY, Refused
from portico._core.health import Condition
from portico._core.overrides import Overrides
from portico._core.protocol.parking import Parking
from portico._core.protocol.session import Session
from portico._core.protocol.subscriptions import KINDS, Hub
from portico._core.shadows import Conflict, conflicts

_METHODS_OF = {
    "tools": ("tools/list",),
    "prompts": ("prompts/list",),
    "resources": ("resources/list", "resources/templates/list"),
}


_REPORT_SECONDS = 1.0
"""How long after a change it is looked for names in dispute: many changes are looked at once."""

Vet = Callable[[str, Offer], frozenset[tuple[str, str]]]
"""Says what is to be held back of an upstream's offer, as `(kind, own name)`."""


def _as_watchable(upstream: object) -> Watchable | None:
    return upstream if isinstance(upstream, Watchable) else None


class Plane:
    """What components report to (`contracts.Wiring`), and what the hub resolves with.

    Args:
        load: Of this process.
        log: The kernel's.
        vet: Says what is held back; nothing, without it.

    Attributes:
        mine: Whether it is this worker that sees to an upstream.
        heed: Told of every upstream that says something.
        condition: How an upstream is, by all that is known of it.
    """

    def __init__(self, load: Load, log: Log, vet: Vet | None = None) -> None:
        self.load = load
        self.log = log
        self._vet = vet
        self.upstreams: dict[str, Upstream] = {}
        self.hub = Hub(self, log)
        self.notice = False
        self.mine: Callable[[str], bool] = lambda upstream: True
        self.heed: Callable[[str], object] = lambda upstream: None
        self.condition: Callable[[str], Condition] = self._own_word
        self._endpoints: dict[str, Endpoint] = {}
        self._specs: dict[str, ServerSpec] = {}
        self._overrides: Overrides = {}
        self._announced: dict[str, set[str]] = {}
        self._refreshing = False
        self._told: set[asyncio.Task[None]] = set()
        self._reported: set[Conflict] = set()
        self._reporting: asyncio.TimerHandle | None = None

    @property
    def endpoints(self) -> Mapping[str, Endpoint]:
        """Virtual servers by name."""
        return self._endpoints

    @property
    def overrides(self) -> Overrides:
        """How definitions are shown that are not shown as they came. Never changed in place: assign."""
        return self._overrides

    @overrides.setter
    def overrides(self, overrides: Overrides) -> None:
        before, self._overrides = self._overrides, overrides
        for key in {*before, *overrides}:
            if before.get(key) != overrides.get(key):
                self.offer_changed(key[0])

    @property
    def draining(self) -> bool:
        """Whether the gateway is shutting down, or has given notice that it will."""
        return self.notice or self.load.draining

    def add(self, spec: ServerSpec, endpoint: Callable[[], Endpoint]) -> None:
        """Put up a virtual server."""
        made = endpoint()
        made.lists.view = self._view(spec)
        self._specs[spec.name] = spec
        self._endpoints[spec.name] = made

    def change(self, spec: ServerSpec) -> None:
        """Show a virtual server in another way; its clients hear of what they can see differently."""
        self._specs[spec.name] = spec
        self._look_again({spec.name: set()})

    def remove(self, name: str) -> None:
        """Take a virtual server down: its sessions end."""
        endpoint = self._endpoints.pop(name)
        del self._specs[name]
        endpoint.close()

    def _view(self, spec: ServerSpec) -> View:
        offers = {name: found.offer for name in spec.upstreams if (found := self.upstreams.get(name))}
        held = {}
        if self._vet is not None:
            held = {name: of for name, offer in offers.items() if (of := self._vet(name, offer))}
        if self._reporting is None:
            self._reporting = asyncio.get_running_loop().call_later(_REPORT_SECONDS, self.report_conflicts)
        return build_view(spec, offers, self._overrides, held)

    def conflicts(self) -> list[Conflict]:
        """Names of upstreams that others have, too, or that look like them, in the servers that show both."""
        return [
            each
            for name, endpoint in self._endpoints.items()
            for each in conflicts(name, endpoint.lists.view, self._specs[name].separator)
        ]

    def report_conflicts(self) -> None:
        """Log those that are new."""
        self._reporting = None
        for each in self.conflicts():
            if each not in self._reported:
                self._reported.add(each)
                self.log.warning(
                    "catalog.conflict",
                    server=each.server,
                    kind=each.kind,
                    name=each.name,
                    upstream=each.upstream,
                    other=each.other,
                    why=each.why,
                )

    # --- what upstreams report -----------------------------------------------------------------------

    def offer_changed(self, upstream: str, changed: Iterable[str] = ()) -> None:
        """Take an upstream's new offer into the catalog, soon; several at once make one new catalog."""
        self.heed(upstream)
        self._announced.setdefault(upstream, set()).update(changed)
        if not self._refreshing:
            self._refreshing = True
            asyncio.get_running_loop().call_soon(self._refresh)

    def _refresh(self) -> None:
        self._refreshing = False
        announced, self._announced = self._announced, {}
        servers: dict[str, set[str]] = {}
        for name, spec in self._specs.items():
            concerned = [kinds for upstream, kinds in announced.items() if upstream in spec.upstreams]
            if concerned:
                servers[name] = set().union(*concerned)
        self._look_again(servers)

    def _look_again(self, servers: Mapping[str, set[str]]) -> None:
        """Make the views of some servers anew, and tell their clients what is different or said to be."""
        for name, said in servers.items():
            lists = self._endpoints[name].lists
            before, after = lists.view, self._view(self._specs[name])
            lists.view = after
            kinds = [
                k
                for k in KINDS
                if k in said or any(before.items[m] != after.items[m] for m in _METHODS_OF[k])
            ]
            self.hub.lists_changed(name, kinds)
        self.hub.reroute()

    def tends(self, upstream: str) -> bool:
        """Whether it is this worker that sees to an upstream."""
        return self.mine(upstream)

    def resource_updated(self, upstream: str, principal: Principal, params: Json) -> None:
        """Pass an update on to who watches."""
        self.hub.resource_updated(upstream, principal, params)

    async def announce(self, upstream: str, principal: Principal | None, method: str, params: Json) -> None:
        """Pass a notification that belongs to no call on to legacy sessions of the principal it is for."""
        for session in self._sessions_of(upstream, principal):
            session.notice(method, params)

    async def ask_unrelated(self, upstream: str, principal: Principal, method: str, params: Json) -> Json:
        """Put a request that belongs to no call to the session used last that can be asked.

        Raises:
            Refused: -32601: there is none.
        """
        sessions = self._sessions_of(upstream, principal)
        for session in sorted(sessions, key=lambda s: s.last_seen, reverse=True):
            try:
                return await session.ask(method, params)
            except Refused as refusal:
                if refusal.code not in (METHOD_NOT_FOUND, MISSING_CAPABILITY):
                    raise
        raise Refused(METHOD_NOT_FOUND, "No client is there to ask")

    def _sessions_of(self, upstream: str, principal: Principal | None) -> list[Session]:
        return [
            session
            for name, endpoint in self._endpoints.items()
            if upstream in self._specs[name].upstreams
            for session in endpoint.sessions
            if principal in (None, session.principal)
        ]

    # --- what the hub and endpoints ask ------------------------------------------------------------------

    def route_uri(self, server: str, uri: str) -> Target | None:
        """Where an advertised URI leads, or None."""
        try:
            return self._endpoints[server].view.route_uri(uri)
        except Refused:
            return None

    def advertised_uri(self, server: str, upstream: str, uri: str) -> str | None:
        """What a server's clients know an upstream's URI as; None if it does not have that upstream."""
        if upstream not in self._specs[server].upstreams:
            return None
        return self._endpoints[server].view.advertised_uri(upstream, uri)

    async def watch(self, upstream: str, principal: Principal, uris: frozenset[str]) -> None:
        """Watch an upstream for exactly these URIs."""
        target = _as_watchable(self.upstreams.get(upstream))
        if target is not None:
            await target.watch(principal, uris)

    def watchable(self, upstream: str, uri: str) -> bool:
        """Whether an upstream can be watched for a URI."""
        target = self.upstreams.get(upstream)
        if target is None or _as_watchable(target) is None:
            return False
        resources = target.offer.capabilities.get("resources")
        return isinstance(resources, dict) and bool(resources.get("subscribe"))

    def tell(self, upstream: str, principal: Principal, method: str, params: Json) -> None:
        """Pass a legacy client's notification on, in the background."""
        target: object = self.upstreams.get(upstream)
        if isinstance(target, Tellable):
            task = asyncio.get_running_loop().create_task(target.tell(principal, method, params))
            self._told.add(task)
            task.add_done_callback(self._told.discard)

    def _own_word(self, name: str) -> Condition:
        upstream = self.upstreams[name]
        return Condition(upstream.state, "" if upstream.state is State.READY else upstream.reason)

    def status(self) -> dict[str, Any]:
        """Upstreams and their states, for `/readyz` and the start banner.

        An upstream that this worker has lost is not ready here, whatever others have found.
        """
        conditions = {name: self._own_word(name) for name in self.upstreams}
        for name, own in conditions.items():
            if own.state is State.READY:
                conditions[name] = self.condition(name)
        return {
            name: {
                "state": str(conditions[name].state),
                **({"reason": conditions[name].reason} if conditions[name].state is not State.READY else {}),
                "tools": len(upstream.offer.tools),
                "resources": len(upstream.offer.resources) + len(upstream.offer.templates),
                "prompts": len(upstream.offer.prompts),
            }
            for name, upstream in self.upstreams.items()
        }

    async def close(self, parking: Parking) -> None:
        """End what is open: subscriptions with their result, parked and running calls with an error."""
        await self.hub.close()
        parking.close()
        for call in list(self.load.calls):
            call.shut_down()
        for endpoint in self._endpoints.values():
            for session in list(endpoint.sessions):
                if session.outlet is not None:
                    session.outlet.end()
