"""New settings in effect while the gateway serves: upstreams come and go, virtual servers change."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from portico._config.settings import Component, Settings
from portico._core.contracts import Json, Offer, State
from portico._core.errors import METHOD_NOT_FOUND, Refused
from portico._core.health import Condition
from portico._core.overrides import Overrides
from portico._host.lifecycle import Crew

if TYPE_CHECKING:
    from portico._host.gateway import Composer
    from portico._host.lifecycle import Key

_PROBE_SECONDS: Final = 20.0


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

    def check(self, settings: Settings) -> None:
        """Whether these settings could be in effect.

        Raises:
            ConfigError: A virtual server would let in whom it must not.
        """
        for name, server in settings.servers.items():
            known = {key: each for key, each in self.crew.live.items() if key[0] == "auth"}
            if all(("auth", scheme) in known for scheme in server.auth):
                self._composer.check_open(name, server, known)

    async def become(self, before: Settings, after: Settings) -> None:
        """Start, stop and change what differs."""
        plane, crew = self._composer.plane, self.crew
        come = [each for key, each in after.components.items() if before.components.get(key) != each]
        gone = [key for key in before.components if key not in after.components]
        others = [each for each in come if each.kind != "upstreams"]
        for component in others:
            await crew.start([component])
        upstreams = [each for each in come if each.kind == "upstreams"]
        replaced = [each.key for each in upstreams if each.key in crew.live]
        if upstreams:
            old = crew.take_out(replaced)
            await crew.start(upstreams)
            self._leave(old, replaced)
        for component in upstreams:
            plane.upstreams[component.name] = crew.live[component.key]
            self._composer.rounds.take_up(component)
        for name in before.servers.keys() - after.servers.keys():
            plane.remove(name)
        for name, server in after.servers.items():
            if before.servers.get(name) == server:
                continue
            new = name not in plane.endpoints
            view = await plane.foreseen(self._composer.spec(name, server)) if new else None
            self._composer.put_up(name, server, crew.live, view)
        for component in upstreams:
            plane.offer_changed(component.name)
        await self.settled()
        # Nobody is led to them any more.
        leaving = [key for key in gone if key[0] == "upstreams"]
        for _, name in leaving:
            plane.upstreams.pop(name, None)
            self._composer.rounds.let_go(name)
        self._leave(crew.take_out(leaving), leaving)
        for component in after.components.values():
            if component.kind == "upstreams":
                self._composer.rounds.adjust(component)

    def _leave(self, owners: Any, keys: Iterable[Key]) -> None:
        """Stop upstreams when the calls that they have are over."""
        names = {name for _, name in keys}
        if not names:
            return
        task = asyncio.get_running_loop().create_task(self._leave_at_last(owners, names))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _leave_at_last(self, owners: Any, names: set[str]) -> None:
        load = self._composer.load
        running = [
            call.task
            for call in load.calls
            if (target := call.exchange.target) is not None and target.upstream in names
        ]
        try:
            if running:
                await asyncio.wait(running, timeout=self._composer.settings.gateway.drain_timeout)
        finally:
            await self.crew.end(owners)

    async def close(self) -> None:
        """Wait for no call any more."""
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

    async def probe(self, settings: Settings, name: str) -> Json:
        """Start one upstream apart from everything else, and tell what it offers."""
        component = settings.components["upstreams", name]
        heard = asyncio.Event()

        def host(component: Component, live: Mapping[Key, Any]) -> Any:
            made = self._composer.host(component, self.crew.live)
            return attrs.evolve(made, wiring=_Deaf(heard))

        crew = Crew(host, self._composer.report)
        try:
            await crew.start([component])
            upstream = crew.live[component.key]
            try:
                async with asyncio.timeout(_PROBE_SECONDS):
                    while upstream.state is State.STARTING:
                        heard.clear()
                        await heard.wait()
            except TimeoutError:
                pass  # its state says it
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
        finally:
            await crew.close()

    async def refresh(self, upstream: str) -> bool:
        """Have an upstream's lists fetched again, if it can."""
        return await self._composer.rounds.refresh(upstream)

    def condition(self, upstream: str) -> Condition:
        """How an upstream is."""
        return self._composer.rounds.condition(upstream)

    def offers(self) -> Mapping[str, Offer]:
        """What each upstream offers."""
        plane = self._composer.plane
        return {name: plane.tending.offer(name) for name in plane.upstreams}


class _Deaf:
    """The data plane as a candidate sees it: nobody is there."""

    endpoints: Mapping[str, Any] = {}
    draining = False

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
