"""An upstream plugin for tests: it starts when it is let to, and has one tool, named as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs

from portico.api import Era, Exchange, Factory, Host, Offer, Result, State, Target, Upstream, hookimpl

gateway_api = (1, 0)


class Gate:
    """Where upstreams wait.

    Attributes:
        begun: Names, in the order in which they came.
        ended: Names of those that are no more, whether they got through or not.
        open: Those that may go through; `*` for all.
    """

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.open: set[str] = set()
        self.news = asyncio.Condition()

    async def let(self, name: str) -> None:
        async with self.news:
            self.open.add(name)
            self.news.notify_all()

    async def until(self, number: int) -> None:
        """Return when so many have begun."""
        async with asyncio.timeout(30), self.news:
            await self.news.wait_for(lambda: len(self.begun) >= number)


GATES: dict[str, Gate] = {}


@attrs.frozen
class GatedConfig:
    """Which gate, and the name of the tool."""

    gate: str
    tool: str


class Gated:
    """See `Upstream`."""

    state = State.READY
    reason = ""

    def __init__(self, tool: str) -> None:
        self.offer = Offer(
            tools=({"name": tool, "inputSchema": {"type": "object"}},),
            capabilities={"tools": {}},
            eras=frozenset({Era.MODERN}),
        )

    async def send(self, exchange: Exchange, target: Target) -> Result:
        return Result(value={"content": [{"type": "text", "text": target.name}]})


@asynccontextmanager
async def gated(config: GatedConfig, host: Host) -> AsyncIterator[Upstream]:
    gate = GATES.setdefault(config.gate, Gate())
    try:
        async with gate.news:
            gate.begun.append(config.tool)
            gate.news.notify_all()
            await gate.news.wait_for(lambda: gate.open & {config.tool, "*"})
        yield Gated(config.tool)
    finally:
        gate.ended.append(config.tool)


@hookimpl
def gateway_upstreams() -> Sequence[Factory[Any, Upstream]]:
    return (Factory(name="gated", summary="For tests.", config=GatedConfig, create=gated),)
