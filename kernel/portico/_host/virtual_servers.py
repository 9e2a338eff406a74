"""Virtual servers, as their settings say: who may come in, what they show, their policies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from portico import __version__
from portico._config.settings import ServerSettings, Settings
from portico._core.catalog.view import ServerSpec, View
from portico._core.contracts.clock import Clock
from portico._core.contracts.json import Json
from portico._core.contracts.log import Log
from portico._core.contracts.observers import Event
from portico._core.errors import ConfigError
from portico._core.plane import Plane
from portico._core.protocol.parking import Parking
from portico._core.requests.call_records import CallRecord
from portico._core.requests.endpoint import Endpoint
from portico._core.requests.lists import Lists
from portico._core.requests.load import Load
from portico._core.requests.owners import Owners
from portico._core.requests.pipeline import Pipeline
from portico._core.requests.router import Router
from portico._core.seal import Seal
from portico._host.forwarding.forward import Forwarder
from portico._host.lifecycle import Key
from portico._host.places import host_of, is_loopback


class VirtualServers:
    """Puts virtual servers up, and changes them.

    Args:
        settings: What the gateway was composed from.
        log: The kernel's logger.
        plane: Has them.
        parking: Where calls wait for answers of their clients.
        seal: For session ids and cursors.
        load: What is in flight in this process.
        clock: Time.
        forwarder: The way to other workers, if there are any.
        on_call: The access log.
    """

    def __init__(
        self,
        settings: Settings,
        log: Log,
        *,
        plane: Plane,
        parking: Parking,
        seal: Seal,
        load: Load,
        clock: Clock,
        forwarder: Forwarder | None,
        on_call: Callable[[CallRecord], None] | None,
    ) -> None:
        self._settings = settings
        self._log = log
        self._plane = plane
        self._parking = parking
        self._seal = seal
        self._load = load
        self._clock = clock
        self._forwarder = forwarder
        self._on_call = on_call
        self._routers: dict[str, Router] = {}
        self._observers: tuple[Any, ...] = ()
        self._growing = False

    def open(self, live: Mapping[Key, Any], *, growing: bool) -> None:
        """Put up those of the configuration.

        Args:
            live: The components that run, all but transports and listeners.
            growing: Whether there will be more upstreams than the configuration has.

        Raises:
            ConfigError: One would let in whom it must not.
        """
        self._growing = growing
        self._observers = tuple(each for (kind, _), each in live.items() if kind == "observers")
        for name, server in self._settings.servers.items():
            self.check_open(name, server, live)
            self.put_up(name, server, live)

    def put_up(
        self, name: str, server: ServerSettings, live: Mapping[Key, Any], view: View | None = None
    ) -> None:
        """Have a virtual server as its settings say, whether it is up or not; see `Plane.add` for `view`."""
        spec = self.spec(name, server)
        endpoint = self._plane.endpoints.get(name)
        if endpoint is None:
            self._plane.add(spec, partial(self._endpoint, name, server, live), view)
            return
        policies = [(policy, live["policies", policy]) for policy in server.policies]
        info, schemes, private = self._face(name, server, live)
        endpoint.lists.change(info, server.instructions, server.page_size, private)
        endpoint.change(Pipeline(policies, self._routers[name]), schemes)
        self._plane.change(spec)

    def spec(self, name: str, server: ServerSettings) -> ServerSpec:
        """What a virtual server shows."""
        return ServerSpec(
            name=name,
            upstreams=server.upstreams,
            prefix=server.prefix,
            separator=self._settings.gateway.separator,
            tools=server.tools,
            resources=server.resources,
            prompts=server.prompts,
            describe=server.describe,
            growing=self._growing,
            as_upstream=server.as_upstream,
        )

    def check_open(self, name: str, server: ServerSettings, live: Mapping[Key, Any]) -> None:
        """Letting anybody in is for loopback; anywhere else it must have been said twice.

        Raises:
            ConfigError: It was not.
        """
        public = [a for a in self._settings.gateway.listen if not is_loopback(host_of(a))]
        for scheme_name in server.auth:
            scheme = live["auth", scheme_name]
            if not getattr(scheme, "lets_anyone_in", False) or not public:
                continue
            missing = [] if getattr(scheme, "public", False) else [f"auth.{scheme_name}.public = true"]
            if not self._settings.gateway.allow_anonymous_public:
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
                    self._settings.source,
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
        lists = Lists(name, info, server.instructions, server.page_size, private, self._seal)
        router = self._routers[name] = Router(self._plane.upstreams, self._seal, lists)
        policies = [(policy, live["policies", policy]) for policy in server.policies]
        gateway = self._settings.gateway
        observe = self._observe if self._observers else None
        return Endpoint(
            name,
            lists=lists,
            pipeline=Pipeline(policies, router),
            schemes=schemes,
            hub=self._plane.hub,
            parking=self._parking,
            seal=self._seal,
            load=self._load,
            clock=self._clock,
            log=self._log,
            call_timeout=gateway.call_timeout,
            depth_limit=gateway.depth_limit,
            watchable=self._plane.watchable,
            tell=self._plane.tell,
            observe=observe,
            on_call=self._on_call,
            owners=Owners(name, self._seal, self._forwarder, observe, self._log, self._forwarder.nodes)
            if self._forwarder
            else None,
        )

    def _observe(self, event: Event) -> None:
        for observer in self._observers:
            try:
                observer.observe(event)
            except Exception as error:  # an observer may fail; what it observes goes on
                self._log.error("observer.failed", event_name=event.name, error=repr(error))
