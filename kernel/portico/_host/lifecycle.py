"""Components start, crash and stop here, each owned by one task.

A component is an async context manager that may hold anyio scopes, and the task that entered such a scope
must be the one to leave it. So each lives in a task of its own, and a crash of one cancels only that task.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

from portico._config.graph import stages
from portico._core.contracts.exchange import Exchange, Target
from portico._core.contracts.host import Host
from portico._core.contracts.result import Result
from portico._core.contracts.upstreams import Offer, State
from portico._core.errors import UPSTREAM_UNAVAILABLE, failure

if TYPE_CHECKING:
    from portico._config.components import Component

Key = tuple[str, str]
Phase = Literal["start", "run", "stop"]
Report = Callable[[Key, Phase, BaseException], None]
"""Told of a failure that does not end the gateway: an upstream that did not start, a crash, a failed stop."""

MakeHost = Callable[["Component", Mapping[Key, Any]], Host]
"""Gives a component its host; the mapping holds what has been started before it."""


class FailedUpstream:
    """Stands in for an upstream whose plugin raised at the start, so that the others can serve."""

    state = State.UNAVAILABLE
    offer = Offer()

    def __init__(self, name: str, reason: str) -> None:
        self._name = name
        self.reason = reason

    async def send(self, exchange: Exchange, target: Target) -> Result:
        """Refuse: there is nothing behind it."""
        message = f"Upstream {self._name!r} did not start"
        raise failure(
            UPSTREAM_UNAVAILABLE,
            message,
            reason="upstream_unavailable",
            upstream=self._name,
            request_id=exchange.id,
        )


@asynccontextmanager
async def running(
    components: Mapping[Key, Component],
    make_host: MakeHost,
    report: Report,
    *,
    start_timeout: float = 30,
    stop_timeout: float = 10,
) -> AsyncIterator[Crew]:
    """Start components in the order of their references and kinds; stop them in reverse when left.

    Upstreams start together, and one that raises is replaced by a `FailedUpstream`. Any other failure stops
    what runs and is raised, with a note naming the component.

    Args:
        components: By key, as `Settings.components` has them.
        make_host: What each is created with.
        report: Told of failures that are not raised.
        start_timeout: Seconds each may take to start.
        stop_timeout: Seconds each may take to stop before it is cancelled, and again before it is abandoned.
    """
    crew = Crew(make_host, report, start_timeout, stop_timeout)
    try:
        for stage in stages(components):
            await crew.start([components[key] for key in stage])
        yield crew
    finally:
        await crew.close()


class Crew:
    """The components that run. More can be started, and some stopped, while the others go on.

    Args:
        make_host: What each is created with.
        report: Told of failures that are not raised.
        start_timeout: Seconds each may take to start.
        stop_timeout: Seconds each may take to stop; see `running`.

    Attributes:
        live: What has been started, by key.
    """

    def __init__(
        self, make_host: MakeHost, report: Report, start_timeout: float = 30, stop_timeout: float = 10
    ) -> None:
        self.live: dict[Key, Any] = {}
        self._make_host = make_host
        self._report = report
        self._start_timeout = start_timeout
        self._stop_timeout = stop_timeout
        self._stages: list[list[Owner]] = []

    async def start(self, components: Sequence[Component]) -> None:
        """Start components together.

        Raises:
            Exception: What one raised, unless it is an upstream; a note names the component.
        """
        owners = [Owner(each, self._report) for each in components]
        # Kept before anything starts: whatever happens, what was begun is ended.
        self._stages.insert(self._place_of(owners), owners)
        for owner in owners:
            owner.start(self._make_host(owner.component, self.live))
        for owner in owners:
            self.live[owner.component.key] = await owner.started(self._start_timeout)

    def begin(self, component: Component) -> Owner:
        """Start an upstream beside what there is of its name; `put` has it take that place."""
        owner = Owner(component, self._report)
        place = self._place_of([owner])
        if place and any(each.component.kind == "upstreams" for each in self._stages[place - 1]):
            self._stages[place - 1].append(owner)
        else:
            self._stages.insert(place, [owner])
        owner.start(self._make_host(component, self.live))
        return owner

    async def started(self, owner: Owner) -> Any:
        """What `begin` has begun, once it runs."""
        return await owner.started(self._start_timeout)

    def put(self, owner: Owner, live: Any) -> Sequence[Owner]:
        """Have it take its place; those before it belong to the caller, who has to `end` them."""
        key = owner.component.key
        before: list[Owner] = []
        if key in self.live:
            every = (each for stage in self._stages for each in stage)
            before = [each for each in every if each.component.key == key and each is not owner]
        self.release(before)
        self.live[key] = live
        return before

    def release(self, owners: Collection[Owner]) -> None:
        """Have these belong to the caller, who has to `end` them."""
        for stage in self._stages:
            if any(owner in stage for owner in owners):
                stage[:] = [owner for owner in stage if owner not in owners]

    def _place_of(self, owners: Sequence[Owner]) -> int:
        """Upstreams that come later stop when upstreams do: after what stands in front of them."""
        if owners and owners[0].component.kind == "upstreams":
            for place in range(len(self._stages), 0, -1):
                if any(owner.component.kind == "upstreams" for owner in self._stages[place - 1]):
                    return place
        return len(self._stages)

    def take_out(self, keys: Collection[Key]) -> Sequence[Owner]:
        """Have some of them belong to the caller, who has to `end` them."""
        leaving = [owner for stage in self._stages for owner in stage if owner.component.key in keys]
        self.release(leaving)
        for owner in leaving:
            self.live.pop(owner.component.key, None)
        return leaving

    async def end(self, owners: Sequence[Owner]) -> None:
        """Stop what was taken out; never raises what they raise."""
        await asyncio.gather(*(owner.stop(self._stop_timeout) for owner in owners))

    async def close(self) -> None:
        """Stop all of them, the last first."""
        while self._stages:
            await self.end(self._stages.pop())


class Owner:
    """The task one component lives in."""

    def __init__(self, component: Component, report: Report) -> None:
        self.component = component
        self._report = report
        self._leave = asyncio.Event()
        self._ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self._begun = 0.0

    def start(self, host: Host) -> None:
        """Begin; `started` waits for it."""
        self._begun = asyncio.get_running_loop().time()
        self._task = asyncio.create_task(self._own(host), name=".".join(self.component.key))
        self._task.add_done_callback(self._ended)

    async def _own(self, host: Host) -> None:
        async with self.component.factory.create(self.component.config, host) as live:
            self._ready.set_result(live)
            await self._leave.wait()

    async def started(self, timeout: float) -> Any:
        """The component, once it runs; counts the time from `start`."""
        task = self._task
        assert task is not None
        try:
            left = max(0, self._begun + timeout - asyncio.get_running_loop().time())
            await asyncio.wait((self._ready, task), timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if self._ready.done():
                return self._ready.result()
            if not task.done():
                task.cancel()
                raise TimeoutError(f"did not start within {timeout:g} s")
            if task.cancelled() or task.exception() is None:
                raise RuntimeError("ended before it had started")
            return task.result()
        except Exception as exc:
            kind, name = self.component.key
            if kind == "upstreams":
                self._report(self.component.key, "start", exc)
                return FailedUpstream(name, f"{type(exc).__name__}: {exc}")
            exc.add_note(f"while starting {kind}.{name} (use = {self.component.use!r})")
            raise

    def _ended(self, task: asyncio.Task[None]) -> None:
        exc = None if task.cancelled() else task.exception()
        if self._leave.is_set():
            if exc is not None:
                self._report(self.component.key, "stop", exc)
        elif self._ready.done():
            self._report(self.component.key, "run", exc or RuntimeError("ended by itself"))

    async def stop(self, timeout: float) -> None:
        """End it; never raises what it raises."""
        task = self._task
        if task is None:
            return
        if not self._ready.done():
            task.cancel()
        self._leave.set()
        for outcome in ("cancelled", "abandoned"):
            try:
                done, _ = await asyncio.wait((task,), timeout=timeout)
            except asyncio.CancelledError:
                task.cancel()
                raise
            if done:
                return
            task.cancel()
            self._report(
                self.component.key, "stop", TimeoutError(f"did not stop within {timeout:g} s; {outcome}")
            )
