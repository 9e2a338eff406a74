"""New settings in effect while the gateway serves: upstreams come and go, virtual servers change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import attrs

from portico._config.components import Component
from portico._config.settings import Settings
from portico._core.catalog.overrides import Overrides
from portico._core.contracts.exchange import Target
from portico._core.contracts.json import Json
from portico._core.contracts.upstreams import Offer, State, Upstream
from portico._core.errors import METHOD_NOT_FOUND, Refused
from portico._core.health import Condition
from portico._host.alone import request
from portico._host.arrivals import Arrivals
from portico._host.lifecycle import Crew

if TYPE_CHECKING:
    from portico._host.composer import Composer
    from portico._host.lifecycle import Key, Owner

_PROBE_SECONDS: Final = 20.0
_PATIENCE: Final = 0.5
"""Seconds a change waits for the upstreams it brings; what is slower comes later, and holds up nothing."""

_PATIENCE_AT_FIRST: Final = 30.0
"""The same, before the gateway serves."""


class LiveStage:
    """Implements `roster.Stage` for a gateway that runs.

    Args:
        composer: What the gateway was composed with.

    Attributes:
        crew: The components that run; set when the first of them do.
    """

    def __init__(self, composer: Composer) -> None:
        self.crew: Crew
        self._composer = composer
        self._leaving: set[asyncio.Task[None]] = set()
        self._arrivals = Arrivals(composer, self._leave)

    def check(self, settings: Settings) -> None:
        """Whether these settings could be in effect.

        Raises:
            ConfigError: A virtual server would let in whom it must not.
        """
        for name, server in settings.servers.items():
            known = {key: each for key, each in self.crew.live.items() if key[0] == "auth"}
            if all(("auth", scheme) in known for scheme in server.auth):
                self._composer.servers.check_open(name, server, known)

    async def become(self, before: Settings, after: Settings, *, at_first: bool) -> None:
        """Start, stop and change what differs."""
        plane, crew = self._composer.plane, self.crew
        come = [
            each
            for key, each in after.components.items()
            if (known := before.components.get(key)) is not each and known != each
        ]
        gone = [key for key in before.components if key not in after.components]
        others = [each for each in come if each.kind != "upstreams"]
        for component in others:
            await crew.start([component])
        upstreams = [each for each in come if each.kind == "upstreams"]
        await self._arrivals.bring(crew, upstreams, _PATIENCE_AT_FIRST if at_first else _PATIENCE)
        for name in before.servers.keys() - after.servers.keys():
            plane.remove(name)
        for name, server in after.servers.items():
            if before.servers.get(name) == server:
                continue
            new = name not in plane.endpoints
            view = await plane.foreseen(self._composer.servers.spec(name, server)) if new else None
            self._composer.servers.put_up(name, server, crew.live, view)
        await self.settled()
        # Nobody is led to them any more.
        leaving = [key for key in gone if key[0] == "upstreams"]
        for key in leaving:
            self._arrivals.turn_back(crew, key[1])
            plane.upstreams.pop(key[1], None)
            self._composer.rounds.let_go(key[1])
            self._leave(crew.take_out([key]), key[1])
        for component in after.components.values():
            if component.kind == "upstreams":
                self._composer.rounds.adjust(component)

    def _leave(self, owners: Sequence[Owner], name: str) -> None:
        """Stop those that were an upstream when the calls that they have are over."""
        if not owners:
            return
        task = asyncio.get_running_loop().create_task(self._leave_at_last(owners, name))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _leave_at_last(self, owners: Sequence[Owner], name: str) -> None:
        load = self._composer.load
        running = [
            call.task
            for call in load.calls
            if (target := call.exchange.target) is not None and target.upstream == name
        ]
        try:
            if running:
                await asyncio.wait(running, timeout=self._composer.settings.gateway.drain_timeout)
        finally:
            await self.crew.end(owners)

    async def close(self) -> None:
        """Wait for no call any more, and for no upstream."""
        await self._arrivals.close()
        for task in self._leaving:
            task.cancel()
        if self._leaving:
            await asyncio.wait(self._leaving)

    def show(self, overrides: Overrides) -> None:
        """Show definitions as these say."""
        self._composer.plane.overrides = overrides

    async def settled(self) -> None:
        """Return when clients see everything that was said until now."""
        await self._composer.plane.looked()

    # --- one upstream -----------------------------------------------------------------------------------

    @asynccontextmanager
    async def _apart(self, settings: Settings, name: str) -> AsyncIterator[Upstream]:
        """One upstream, started apart from everything else; as far as it has come in a while."""
        component = settings.components["upstreams", name]
        heard = asyncio.Event()

        def host(component: Component, live: Mapping[Key, Any]) -> Any:
            made = self._composer.host(component, self.crew.live)
            return attrs.evolve(made, wiring=_Deaf(heard))

        crew = Crew(host, self._composer.report)
        try:
            await crew.start([component])
            upstream: Upstream = crew.live[component.key]
            try:
                async with asyncio.timeout(_PROBE_SECONDS):
                    while upstream.state is State.STARTING:
                        heard.clear()
                        await heard.wait()
            except TimeoutError:
                pass  # its state says it
            yield upstream
        finally:
            await crew.close()

    async def probe(self, settings: Settings, name: str) -> Json:
        """Start one upstream apart from everything else, and tell what it offers."""
        async with self._apart(settings, name) as upstream:
            offer: Offer = upstream.offer
            return {
                "state": str(upstream.state),
                "reason": upstream.reason,
                "info": offer.info,
                "instructions": offer.instructions,
                "capabilities": offer.capabilities,
                "eras": sorted(map(str, offer.eras)),
                "tools": list(offer.tools),
                "resources": list(offer.resources),
                "templates": list(offer.templates),
                "prompts": list(offer.prompts),
            }

    async def ask(self, settings: Settings, upstream: str, name: str, method: str, params: Json) -> Json:
        """Start one upstream apart from everything else, and have it answer a request."""
        deadline = self._composer.clock.monotonic() + self._composer.settings.gateway.call_timeout
        target = Target(upstream, name)
        async with self._apart(settings, upstream) as started:
            return (await started.send(request(method, params, target, deadline), target)).value

    async def refresh(self, upstream: str) -> bool:
        """Have an upstream's lists fetched again, if it can."""
        return await self._composer.rounds.refresh(upstream)

    def condition(self, upstream: str) -> Condition:
        """How an upstream is."""
        if upstream not in self._composer.plane.upstreams and (coming := self._arrivals.condition(upstream)):
            return coming
        return self._composer.rounds.condition(upstream)

    def offers(self) -> Mapping[str, Offer]:
        """What each upstream offers."""
        plane = self._composer.plane
        return {name: plane.tending.offer(name) for name in plane.upstreams}


class _Deaf:
    """The data plane as a candidate sees it: nobody is there."""

    endpoints: Mapping[str, Any] = {}
    upstreams: Mapping[str, Upstream] = {}
    workers = 1
    draining = False
    closing = False

    def __init__(self, heard: asyncio.Event) -> None:
        self._heard = heard

    def offer_changed(self, upstream: str, changed: Iterable[str] = ()) -> None:
        self._heard.set()

    def tends(self, upstream: str) -> bool:
        return True

    def resource_updated(self, upstream: str, principal: Any, params: Json) -> None:
        """Nobody watches."""

    async def announce(self, upstream: str, principal: Any, method: str, params: Json) -> None:
        """Nobody listens."""

    async def ask_unrelated(self, upstream: str, principal: Any, method: str, params: Json) -> Json:
        raise Refused(METHOD_NOT_FOUND, "No client is there to ask")
