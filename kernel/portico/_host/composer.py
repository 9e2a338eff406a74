"""What stands between the components, and what each of them is given."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from portico._config.components import Component, resolve
from portico._config.settings import Settings
from portico._core.contracts.config import Ref
from portico._core.contracts.host import Host
from portico._core.contracts.log import Log
from portico._core.contracts.management import Unmanaged
from portico._core.plane import Plane
from portico._core.protocol.parking import Parking
from portico._core.requests.call_records import CallRecord
from portico._core.requests.load import Load
from portico._core.seal import Seal
from portico._host.forwarding.forward import Forwarder
from portico._host.known import Known
from portico._host.lifecycle import Key, Phase
from portico._host.logs.access import in_line
from portico._host.managed.pinning import Pinning
from portico._host.managed.roster import Roster
from portico._host.managed.sealed import Secrets
from portico._host.managed.snapshot import Snapshot
from portico._host.managed.staging import Stage
from portico._host.places import Place, offers_of
from portico._host.rounds import Rounds
from portico._host.strain import strain_of
from portico._host.virtual_servers import VirtualServers


class _Clock:
    """The process's own clocks."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)


class Composer:
    """Builds what stands between the components: while they start, and when settings change.

    Attributes:
        stage: What the roster has act on new settings. Whoever composes sets it, before components start.
    """

    def __init__(
        self, settings: Settings, log: Log, place: Place | None, on_call: Callable[[CallRecord], None] | None
    ) -> None:
        self.settings = settings
        on_call = (on_call or in_line(log)) if settings.gateway.log_level in ("debug", "info") else None
        self.log = log
        self.clock = _Clock()
        gateway = settings.gateway
        secret = gateway.secret.reveal() if gateway.secret else None
        key = place.key if place and secret is None else Seal.key_from(secret)
        self.seal = Seal(key, place.node if place else secrets.token_hex(6), self.clock)
        self.forwarder = Forwarder(place.folder, log) if place else None
        self.load = Load(gateway.max_in_flight)
        self.strain = strain_of(gateway, self.load, self.clock, log, place.slot.turn if place else None)
        self.parking = Parking(self.seal, gateway.park_timeout)
        self.pinning = Pinning(settings, self._offer_changed, self._looked, log, self.clock)
        self.plane = Plane(self.load, log, self.pinning.vet, gateway.workers)
        state = gateway.state or (settings.base / ".portico" if settings.registry else None)
        known: Known | None = None
        if state is not None:
            known = Known(state / "offers", log)
        elif place is not None:
            known = Known(offers_of(place.folder, place.key), log, lasting=False)
        seconds, times = gateway.health_interval, gateway.health_failures
        self.rounds = Rounds(self.plane, seconds, times, self.clock, log, known)
        self.rounds.quarantined = self.pinning.held_back
        self.servers = VirtualServers(
            settings,
            log,
            plane=self.plane,
            parking=self.parking,
            seal=self.seal,
            load=self.load,
            clock=self.clock,
            forwarder=self.forwarder,
            on_call=on_call,
        )
        self.stage: Stage
        self.roster: Roster | None = None
        self._wired = False

    def host(self, component: Component, live: Mapping[Key, Any]) -> Host:
        """What a component is created with. Virtual servers are put up before the first transport."""
        if component.kind == "transports":
            self.wire(live)

        def find(ref: Ref[Any]) -> Any:
            return live[resolve(component.config, ref)]

        return Host(
            name=component.name,
            kind=component.kind,
            log=self._logger(component),
            clock=self.clock,
            base=self.settings.base,
            component=find,
            wiring=self.plane,
            management=self.roster or Unmanaged(),
            state=self.settings.state,
            key=lambda purpose: self.seal.derived(f"{component.kind}/{component.name}/{purpose}"),
        )

    def _offer_changed(self, upstream: str) -> None:
        self.plane.offer_changed(upstream)

    async def _looked(self) -> None:
        await self.plane.looked()

    def _logger(self, component: Component) -> Log:
        from portico._host.logs.log import logger

        return logger(component=".".join(component.key))

    def wire(self, live: Mapping[Key, Any]) -> None:
        """Put up the virtual servers, once everything before transports runs."""
        if self._wired:
            return
        self._wired = True
        registry = next((live[key] for key in live if key == ("registries", self.settings.registry)), None)
        if registry is not None:
            state = self.settings.state
            snapshot = Snapshot(state / f"{self.settings.registry}.json")
            keys = Secrets(self.settings.gateway, state)
            pins = (self.pinning, self.plane.disputes.all)
            self.roster = Roster(self.settings, registry, self.stage, self.log, keys, snapshot, pins)
        self.plane.upstreams.update(
            {name: each for (kind, name), each in live.items() if kind == "upstreams"}
        )
        for component in self.settings.components.values():
            if component.kind == "upstreams":
                self.rounds.take_up(component)
        self.servers.open(live, growing=self.roster is not None)

    def report(self, key: Key, phase: Phase, error: BaseException) -> None:
        """A component failed without ending the gateway."""
        event = f"component.{phase}_failed"
        self.log.error(event, component=".".join(key), exc_info=error)
