"""Upstreams that come while the gateway serves: several at once, not all, and nobody waits for a slow one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import attrs

from portico._config.components import Component
from portico._core.contracts.upstreams import State, Successor
from portico._core.health import Condition

if TYPE_CHECKING:
    from portico._host.composer import Composer
    from portico._host.lifecycle import Crew, Owner

_AT_ONCE: Final = 64
"""So many begin together."""

_HELD: Final = 1.0
"""Seconds after which one that is slow no longer keeps another from beginning."""

Leave = Callable[[Sequence["Owner"], str], None]
"""Has those that were in an upstream's place stop when the calls they have are over."""


@attrs.define(eq=False)
class _Coming:
    task: asyncio.Task[None]
    since: float
    owner: Owner | None = None


class Arrivals:
    """Has upstreams take their places when they have started; until then, those before them serve.

    Args:
        composer: What the gateway was composed with.
        leave: Takes those before them.
    """

    def __init__(self, composer: Composer, leave: Leave) -> None:
        self._composer = composer
        self._leave = leave
        self._coming: dict[str, _Coming] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def bring(self, crew: Crew, components: Sequence[Component], patience: float) -> None:
        """Start upstreams, and wait for them so many seconds; those that take longer come later."""
        tasks = []
        for component in components:
            self.turn_back(crew, component.name)
            task = asyncio.get_running_loop().create_task(self._bring(crew, component))
            self._coming[component.name] = _Coming(task, time.time())
            tasks.append(task)
        if tasks:
            await asyncio.wait(tasks, timeout=patience)

    async def _bring(self, crew: Crew, component: Component) -> None:
        coming = self._coming[component.name]
        async with self._room:
            coming.owner = crew.begin(component)
            arriving = asyncio.ensure_future(crew.started(coming.owner))
            try:
                await asyncio.wait([arriving], timeout=_HELD)
            except asyncio.CancelledError:
                arriving.cancel()
                raise
        live = await arriving
        del self._coming[component.name]
        predecessor = crew.live.get(component.key)
        before = crew.put(coming.owner, live)
        self._composer.plane.upstreams[component.name] = live
        self._composer.rounds.take_up(component)
        if predecessor is not None and isinstance(live, Successor):
            try:
                live.succeed(predecessor)
            except Exception as error:  # a plugin that fails in this must not hold up the others
                self._composer.report(component.key, "run", error)
        self._leave(before, component.name)
        self._composer.plane.offer_changed(component.name)

    def turn_back(self, crew: Crew, name: str) -> None:
        """One that has not come yet is not wanted any more."""
        coming = self._coming.pop(name, None)
        if coming is None:
            return
        coming.task.cancel()
        if coming.owner is not None:
            crew.release([coming.owner])
            self._leave([coming.owner], "")

    def condition(self, name: str) -> Condition | None:
        """How one is that has not come yet; None for any other."""
        coming = self._coming.get(name)
        return Condition(State.STARTING, "connecting", coming.since) if coming is not None else None

    async def close(self) -> None:
        """Nobody comes any more; what was begun is the crew's to end."""
        tasks = [coming.task for coming in self._coming.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
