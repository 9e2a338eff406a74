"""Composition: settings -> components -> catalog -> application, in that order, and back."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import ChainMap
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs

from portico import __version__
from portico._config import graph
from portico._config.settings import Component, ServerSettings, Settings
from portico._core.catalog import ServerSpec, View
from portico._core.contracts.config import Ref
from portico._core.contracts.direct import Admit, Direct
from portico._core.contracts.host import Host
from portico._core.contracts.json import Json
from portico._core.contracts.log import Log
from portico._core.contracts.management import Management, Unmanaged
from portico._core.contracts.observers import Event
from portico._core.contracts.servers import Server
from portico._core.contracts.transports import Transport
from portico._core.endpoint import CallRecord, Endpoint, Load
from portico._core.errors import ConfigError
from portico._core.lists import Lists
from portico._core.owners import Owners
from portico._core.pipeline import Pipeline
from portico._core.plane import Plane
from portico._core.protocol.parking import Parking
from portico._core.router import Router
from portico._core.seal import Seal
from portico._host.access import in_line
from portico._host.app import build_app
from portico._host.forward import Forwarder
from portico._host.known import Known
from portico._host.lifecycle import Key, Phase, running
from portico._host.limits import limits_of
from portico._host.pinning import Pinning
from portico._host.places import Place, host_of, is_loopback, offers_of
from portico._host.roster import Roster
from portico._host.rounds import Rounds
from portico._host.routes import routes_of
from portico._host.sealed import Secrets
from portico._host.snapshot import Snapshot
from portico._host.stage import LiveStage
from portico._host.strain import strain_of


class _Clock:
    """The process's own clocks."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)


@attrs.frozen
class Gateway:
    """A started gateway.

    Attributes:
        settings: What it was composed from.
        plane: Upstreams and virtual servers.
        app: The ASGI application; None when no HTTP is wanted.
        admit: The way past it for servers that can use it.
        servers: What serves the app, by listener name.
        log: The kernel's.
        directs: What answers requests without ASGI, by path.
        forwarder: The way to other workers, if there are any.
        management: What is managed at run time, if anything is.
        rounds: Knows how the upstreams are.
    """

    settings: Settings
    plane: Plane
    parking: Parking
    app: Any
    admit: Admit | None
    servers: Mapping[str, Server]
    transports: Mapping[str, Transport]
    log: Log
    directs: Mapping[str, Direct] = attrs.field(factory=dict)
    forwarder: Forwarder | None = None
    management: Management | None = None
    rounds: Rounds | None = None


class Composer:
    """Builds what stands between the components: while they start, and when settings change."""

    def __init__(
        self, settings: Settings, log: Log, place: Place | None, on_call: Callable[[CallRecord], None] | None
    ) -> None:
        self.settings = settings
        self.on_call = (on_call or in_line(log)) if settings.gateway.log_level in ("debug", "info") else None
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
        self.stage = LiveStage(self)
        self.roster: Roster | None = None
        self._routers: dict[str, Router] = {}
        self._observers: tuple[Any, ...] = ()
        self._wired = False

    def host(self, component: Component, live: Mapping[Key, Any]) -> Host:
        """What a component is created with. Virtual servers are put up before the first transport."""
        if component.kind == "transports":
            self.wire(live)

        def find(ref: Ref[Any]) -> Any:
            return live[graph.resolve(component.config, ref)]

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
        from portico._host.log import logger

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
        self._observers = tuple(each for (kind, _), each in live.items() if kind == "observers")
        for name, server in self.settings.servers.items():
            self.check_open(name, server, live)
            self.put_up(name, server, live)

    def put_up(
        self, name: str, server: ServerSettings, live: Mapping[Key, Any], view: View | None = None
    ) -> None:
        """Have a virtual server as its settings say, whether it is up or not; see `Plane.add` for `view`."""
        spec = self.spec(name, server)
        endpoint = self.plane.endpoints.get(name)
        if endpoint is None:
            self.plane.add(spec, partial(self._endpoint, name, server, live), view)
            return
        policies = [(policy, live["policies", policy]) for policy in server.policies]
        info, schemes, private = self._face(name, server, live)
        endpoint.lists.change(info, server.instructions, server.page_size, private)
        endpoint.change(Pipeline(policies, self._routers[name]), schemes)
        self.plane.change(spec)

    def spec(self, name: str, server: ServerSettings) -> ServerSpec:
        """What a virtual server shows."""
        return ServerSpec(
            name=name,
            upstreams=server.upstreams,
            prefix=server.prefix,
            separator=self.settings.gateway.separator,
            tools=server.tools,
            resources=server.resources,
            prompts=server.prompts,
            describe=server.describe,
            growing=self.roster is not None,
            as_upstream=server.as_upstream,
        )

    def check_open(self, name: str, server: ServerSettings, live: Mapping[Key, Any]) -> None:
        """Letting anybody in is for loopback; anywhere else it must have been said twice.

        Raises:
            ConfigError: It was not.
        """
        public = [a for a in self.settings.gateway.listen if not is_loopback(host_of(a))]
        for scheme_name in server.auth:
            scheme = live["auth", scheme_name]
            if not getattr(scheme, "lets_anyone_in", False) or not public:
                continue
            missing = [] if getattr(scheme, "public", False) else [f"auth.{scheme_name}.public = true"]
            if not self.settings.gateway.allow_anonymous_public:
                missing.append("gateway.allow_anonymous_public = true")
            if missing:
                raise ConfigError(
                    [
                        (
                            f"servers.{name}.auth",
                            (
                                f"{scheme_name!r} lets anybody in, and {public[0]} is not loopback; "
                                f"use `token`, or say that you mean it with {' and '.join(missing)}"
                            ),
                        )
                    ],
                    self.settings.source,
                )

    def _face(
        self, name: str, server: ServerSettings, live: Mapping[Key, Any]
    ) -> tuple[Json, list[tuple[str, Any]], bool]:
        """What a virtual server calls itself, who lets in, and whether its lists may differ."""
        info: Json = {
            "name": server.name or ("portico" if name == "default" else f"portico/{name}"),
            **({"title": server.title} if server.title else {}),
            "version": server.version or __version__,
        }
        schemes = [(scheme, live["auth", scheme]) for scheme in server.auth]
        # Lists are the same for everybody only where everybody may come in.
        private = not all(getattr(scheme, "lets_anyone_in", False) for _, scheme in schemes)
        return info, schemes, private

    def _endpoint(self, name: str, server: ServerSettings, live: Mapping[Key, Any]) -> Endpoint:
        info, schemes, private = self._face(name, server, live)
        lists = Lists(name, info, server.instructions, server.page_size, private, self.seal)
        router = self._routers[name] = Router(self.plane.upstreams, self.seal, lists)
        policies = [(policy, live["policies", policy]) for policy in server.policies]
        gateway = self.settings.gateway
        observe = self._observe if self._observers else None
        return Endpoint(
            name,
            lists=lists,
            pipeline=Pipeline(policies, router),
            schemes=schemes,
            hub=self.plane.hub,
            parking=self.parking,
            seal=self.seal,
            load=self.load,
            clock=self.clock,
            log=self.log,
            call_timeout=gateway.call_timeout,
            depth_limit=gateway.depth_limit,
            watchable=self.plane.watchable,
            tell=self.plane.tell,
            observe=observe,
            on_call=self.on_call,
            owners=Owners(name, self.seal, self.forwarder, observe, self.log, self.forwarder.nodes)
            if self.forwarder
            else None,
        )

    def _observe(self, event: Event) -> None:
        for observer in self._observers:
            try:
                observer.observe(event)
            except Exception as error:  # an observer may fail; what it observes goes on
                self.log.error("observer.failed", event_name=event.name, error=repr(error))

    def report(self, key: Key, phase: Phase, error: BaseException) -> None:
        """A component failed without ending the gateway."""
        event = f"component.{phase}_failed"
        self.log.error(event, component=".".join(key), exc_info=error)


def without(settings: Settings, *kinds: str) -> Settings:
    """The same settings without the components of some kinds."""
    kept = {key: each for key, each in settings.components.items() if each.kind not in kinds}
    return attrs.evolve(settings, components=kept)


@asynccontextmanager
async def started(
    settings: Settings,
    log: Log,
    *,
    http: bool = True,
    place: Place | None = None,
    on_call: Callable[[CallRecord], None] | None = None,
) -> AsyncIterator[Gateway]:
    """Start everything; stop it in reverse.

    Args:
        settings: What to compose.
        log: The kernel's logger.
        http: Whether to start transports and listeners and build the ASGI application.
        place: This worker's place among others, if there are any.
        on_call: The access log; by default it goes through `log`.

    Raises:
        ConfigError: Something is wrong that only starting could show.
    """
    composer = Composer(settings, log, place, on_call)
    if not http:
        settings = without(settings, "listeners", "transports")
    async with running(settings.components, composer.host, composer.report) as crew:
        live = crew.live
        composer.wire(live)
        transports = {name: each for (kind, name), each in live.items() if kind == "transports"}
        app, admit = None, None
        directs: Mapping[str, Direct] = {}
        if http:
            routes = routes_of(transports)
            # Looked up anew for each request: virtual servers come and go.
            directs = ChainMap(*(getattr(each, "directs", dict)() for each in transports.values()))
            app, admit = build_app(routes, directs, composer.plane, limits_of(settings), log, composer.roster)
        servers = {name: each for (kind, name), each in live.items() if kind == "listeners"}
        composer.strain.start()
        composer.stage.crew = crew
        if composer.roster is not None:
            await composer.roster.start()
        try:
            yield Gateway(
                settings,
                composer.plane,
                composer.parking,
                app,
                admit,
                servers,
                transports,
                log,
                directs,
                composer.forwarder,
                composer.roster,
                composer.rounds,
            )
        finally:
            composer.strain.stop()
            if composer.roster is not None:
                await composer.roster.stop()
                await composer.stage.close()
            await composer.rounds.close()
            if composer.forwarder is not None:
                composer.forwarder.close()


async def drain(gateway: Gateway, *, hurry: asyncio.Event) -> None:
    """Let calls in flight finish, for `drain_timeout` seconds or until `hurry`; then answer the rest.

    Calls that are left get 50303, listen streams their result.
    """
    load = gateway.plane.load
    load.draining = True
    gateway.parking.close()  # nobody can come back to a parked call any more: nothing to wait for
    loop = asyncio.get_running_loop()
    until = loop.time() + gateway.settings.gateway.drain_timeout
    while load.calls and loop.time() < until and not hurry.is_set():
        tasks = [call.task for call in load.calls]
        await asyncio.wait(
            tasks, timeout=min(0.5, max(until - loop.time(), 0)), return_when=asyncio.ALL_COMPLETED
        )
    tasks = [call.task for call in load.calls]
    await gateway.plane.close(gateway.parking)
    if tasks:
        await asyncio.wait(tasks, timeout=1.0)  # their answers are on their way when they have ended
