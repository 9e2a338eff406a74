"""The data plane: upstreams, the catalog they make, and the virtual servers that show it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from portico._core.catalog.building import view_steps
from portico._core.catalog.disputes import Disputes
from portico._core.catalog.looks import Looks
from portico._core.catalog.overrides import Overrides
from portico._core.catalog.shown import Shown
from portico._core.catalog.view import ServerSpec, View
from portico._core.contracts.auth import Principal
from portico._core.contracts.exchange import Target
from portico._core.contracts.json import Json
from portico._core.contracts.log import Log
from portico._core.contracts.upstreams import Offer, Tellable, Upstream, Watchable
from portico._core.errors import METHOD_NOT_FOUND, MISSING_CAPABILITY, Refused
from portico._core.health import Tending, Untended, status
from portico._core.protocol.parking import Parking
from portico._core.protocol.subscriptions import KINDS, Hub
from portico._core.requests.endpoint import Endpoint, OpenSession
from portico._core.requests.load import Load
from portico._core.steps import Steps, finished, unhurried

_METHODS_OF = {
    "tools": ("tools/list",),
    "prompts": ("prompts/list",),
    "resources": ("resources/list", "resources/templates/list"),
}

Vet = Callable[[str, Offer], Steps[frozenset[tuple[str, str]]]]
"""Says what is to be held back of an upstream's offer, as `(kind, own name)`."""


def _as_watchable(upstream: object) -> Watchable | None:
    return upstream if isinstance(upstream, Watchable) else None


class Plane:
    """What components report to (`contracts.Wiring`), and what the hub resolves with.

    Args:
        load: Of this process.
        log: The kernel's.
        vet: Says what is held back; nothing, without it.
        workers: How many processes like this one there are.

    Attributes:
        tending: Sees to it that the upstreams are well.
    """

    def __init__(self, load: Load, log: Log, vet: Vet | None = None, workers: int = 1) -> None:
        self.load = load
        self.workers = workers
        self.log = log
        self._vet = vet
        self.upstreams: dict[str, Upstream] = {}
        self.hub = Hub(self, log)
        self.disputes = Disputes(self._views, log)
        self.notice = False
        self.tending: Tending = Untended(self.upstreams)
        self._endpoints: dict[str, Endpoint] = {}
        self._specs: dict[str, ServerSpec] = {}
        self._overrides: Overrides = {}
        self._announced: dict[str, set[str]] = {}
        self._shown: dict[str, Shown] = {}
        self._otherwise: set[str] = set()
        self._taken: tuple[dict[str, set[str]], set[str]] = {}, set()
        self._looks = Looks(self._look_again, self._after)
        self._told: set[asyncio.Task[None]] = set()

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
            if before.get(key) is not overrides.get(key):
                self.offer_changed(key[0])

    @property
    def draining(self) -> bool:
        """Whether the gateway is shutting down, or has given notice that it will."""
        return self.notice or self.load.draining

    @property
    def closing(self) -> bool:
        """Whether no new calls are taken."""
        return self.load.draining

    def add(self, spec: ServerSpec, endpoint: Callable[[], Endpoint], view: View | None = None) -> None:
        """Put up a virtual server.

        Args:
            spec: What it shows.
            endpoint: Makes it.
            view: Its view, if there is one already; see `foreseen`.
        """
        made = endpoint()
        made.lists.view = finished(self._view(spec)) if view is None else view
        self._specs[spec.name] = spec
        self._endpoints[spec.name] = made
        if view is not None:
            self.change(spec)  # what came while the view was built

    async def foreseen(self, spec: ServerSpec) -> View:
        """The view a server would have, built while everything else goes on."""
        return await unhurried(self._view(spec))

    def change(self, spec: ServerSpec) -> None:
        """Show a virtual server in another way, soon; its clients hear of what they can see differently."""
        self._specs[spec.name] = spec
        self._otherwise.add(spec.name)
        self._looks.soon()

    def remove(self, name: str) -> None:
        """Take a virtual server down: its sessions end."""
        endpoint = self._endpoints.pop(name)
        del self._specs[name]
        self._shown.pop(name, None)
        endpoint.close()

    def _view(self, spec: ServerSpec) -> Steps[View]:
        offers = {name: self.tending.offer(name) for name in spec.upstreams if name in self.upstreams}
        held = {}
        if self._vet is not None:
            for name, offer in offers.items():
                if of := (yield from self._vet(name, offer)):
                    held[name] = of
                yield
        self.disputes.report_soon()
        known = self._shown.setdefault(spec.name, Shown())
        return (yield from view_steps(spec, offers, self._overrides, known, held))

    def _views(self) -> list[tuple[ServerSpec, View]]:
        return [(spec, self._endpoints[name].lists.view) for name, spec in self._specs.items()]

    # --- what upstreams report -----------------------------------------------------------------------

    def offer_changed(self, upstream: str, changed: Iterable[str] = ()) -> None:
        """Take an upstream's new offer into the catalog, soon; several at once make one new catalog."""
        self.tending.changed(upstream)
        self._announced.setdefault(upstream, set()).update(changed)
        self._looks.soon()

    async def looked(self) -> None:
        """Return when everything said until now is in the catalog."""
        await self._looks.looked()

    def _after(self) -> Callable[[], None]:
        return partial(self._look_once_more, *self._taken)

    def _look_once_more(self, announced: Mapping[str, set[str]], otherwise: set[str]) -> None:
        """What a look was for that broke is still to be seen."""
        for upstream, kinds in announced.items():
            self._announced.setdefault(upstream, set()).update(kinds)
        self._otherwise |= otherwise & self._specs.keys()
        self._looks.soon()

    def _look_again(self) -> Steps[None]:
        """Make the views of some servers anew, and tell their clients what is different or said to be."""
        announced, self._announced = self._announced, {}
        otherwise, self._otherwise = self._otherwise, set()
        self._taken = announced, otherwise
        for name in list(self._specs):
            spec = self._specs.get(name)
            if spec is None:
                continue
            concerned = [announced[upstream] for upstream in announced.keys() & set(spec.upstreams)]
            endpoint = self._endpoints.get(name) if concerned or name in otherwise else None
            if endpoint is None:
                continue
            after = yield from self._view(spec)
            if self._endpoints.get(name) is not endpoint:
                continue  # it was taken down meanwhile
            said = set[str]().union(*concerned)
            before, endpoint.lists.view = endpoint.lists.view, after
            kinds = [
                k
                for k in KINDS
                if k in said or any(before.items[m] != after.items[m] for m in _METHODS_OF[k])
            ]
            self.hub.lists_changed(name, kinds)
        self.hub.reroute()

    def tends(self, upstream: str) -> bool:
        """Whether it is this worker that sees to an upstream."""
        return self.tending.mine(upstream)

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

    def _sessions_of(self, upstream: str, principal: Principal | None) -> list[OpenSession]:
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
        resources = self.tending.offer(upstream).capabilities.get("resources")
        return isinstance(resources, dict) and bool(resources.get("subscribe"))

    def tell(self, upstream: str, principal: Principal, method: str, params: Json) -> None:
        """Pass a legacy client's notification on, in the background."""
        target: object = self.upstreams.get(upstream)
        if isinstance(target, Tellable):
            task = asyncio.get_running_loop().create_task(target.tell(principal, method, params))
            self._told.add(task)
            task.add_done_callback(self._told.discard)

    def status(self) -> dict[str, Any]:
        """Upstreams and their states, for `/readyz` and the start banner."""
        return status(self.upstreams, self.tending)

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
