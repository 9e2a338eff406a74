"""A test plugin: an upstream whose tools give every kind of result, and ask every kind of question."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs

from portico.api import (
    META_PREFIX,
    Era,
    Exchange,
    Factory,
    Host,
    Json,
    Offer,
    Result,
    State,
    Target,
    Upstream,
    UpstreamFactory,
    hookimpl,
    input_required,
)

gateway_api = (1, 0)

NAME: Json = {
    "message": "Your name?",
    "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
}
SIZE: Json = {
    "message": "How big?",
    "requestedSchema": {
        "type": "object",
        "properties": {"size": {"type": "integer"}, "color": {"type": "string"}},
        "required": ["size"],
    },
}
PLAIN: Json = {"message": "Sure?", "requestedSchema": {"type": "object", "properties": {}}}
DOOR: Json = {
    "mode": "url",
    "message": "Please log in",
    "url": "https://example.com/login",
    "elicitationId": "1",
}
BLOCKS: list[Json] = [
    {"type": "text", "text": "héllo"},
    {"type": "image", "data": "aGk=", "mimeType": "image/png"},
    {"type": "audio", "data": "aGk=", "mimeType": "audio/wav"},
    {"type": "resource_link", "uri": "https://example.com/a.txt", "name": "a.txt", "mimeType": "text/plain"},
    {"type": "resource", "resource": {"uri": "file:///b.bin", "blob": "aGk=", "mimeType": "x/y"}},
    {"type": "resource", "resource": {"uri": "file:///c.txt", "text": "see"}},
    {"type": "new", "what": [1, 2.5]},
]
HUGE = 10**400
TASKS = META_PREFIX + "tasks"
ECHO: Json = {
    "name": "say",
    "title": "Say it",
    "description": "Says it again.",
    "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    "annotations": {"readOnlyHint": True},
}


@attrs.frozen
class KindsConfig:
    """Which tools there are.

    Attributes:
        tools: Their names.
    """

    tools: list[str] = attrs.field(factory=lambda: ["say"])


class Kinds:
    """Plays what the called tool's name says.

    Attributes:
        metas: The `_meta` of every call.
    """

    state = State.READY
    reason = ""

    def __init__(self, config: KindsConfig, host: Host) -> None:
        self.name = host.name
        self.metas: list[Json] = []
        self.gate = asyncio.Event()
        self.ends: Json = {}
        tools = [
            ECHO if name == "say" else {"name": name, "inputSchema": {"type": "object"}}
            for name in config.tools
        ]
        self.seen: list[str] = []
        self.cancelled = asyncio.Event()
        self.answers: Json = {}
        capabilities: Json = {"tools": {}, "logging": {}}
        if "long" in config.tools:
            capabilities["extensions"] = {TASKS: {}}
        self.offer = Offer(tools=tuple(tools), capabilities=capabilities, eras=frozenset(Era))

    async def send(self, exchange: Exchange, target: Target) -> Result:
        if exchange.method.startswith("tasks/"):
            return self._task(exchange)
        self.metas.append(exchange.params.get("_meta") or {})
        answer: Result = await getattr(self, f"_{target.name}")(
            exchange, exchange.params.get("arguments") or {}
        )
        return answer

    async def _say(self, exchange: Exchange, arguments: Json) -> Result:
        return _content([{"type": "text", "text": arguments["text"]}])

    async def _blocks(self, exchange: Exchange, arguments: Json) -> Result:
        return _content(BLOCKS)

    async def _exact(self, exchange: Exchange, arguments: Json) -> Result:
        return _content([{"type": "text", "text": str(arguments["n"])}])

    async def _huge(self, exchange: Exchange, arguments: Json) -> Result:
        await exchange.client.notify("notifications/progress", {"progress": HUGE})
        return Result(value={"content": [], "structuredContent": {"n": HUGE}})

    async def _odd(self, exchange: Exchange, arguments: Json) -> Result:
        return Result(value={"content": [{"type": "text", "text": arguments}], "structuredContent": [1]})

    async def _nothing(self, exchange: Exchange, arguments: Json) -> Result:
        return _content([])

    async def _wrong(self, exchange: Exchange, arguments: Json) -> Result:
        return Result(value={"content": [{"type": "text", "text": "no such city"}], "isError": True})

    async def _steps(self, exchange: Exchange, arguments: Json) -> Result:
        for number in (1, 2):
            await exchange.client.notify(
                "notifications/progress", {"progress": number, "total": 2, "message": f"step {number}"}
            )
            await exchange.client.notify(
                "notifications/message", {"level": "warning", "logger": "l", "data": {"step": number}}
            )
            await exchange.client.notify("notifications/message", {"level": "debug", "data": "unseen"})
            if "gate" in arguments:
                await self.gate.wait()
        return _content([])

    async def _name(self, exchange: Exchange, arguments: Json) -> Result:
        return _text(await exchange.client.ask("elicitation/create", NAME))

    async def _size(self, exchange: Exchange, arguments: Json) -> Result:
        return _text(await exchange.client.ask("elicitation/create", SIZE))

    async def _plain(self, exchange: Exchange, arguments: Json) -> Result:
        return _text(await exchange.client.ask("elicitation/create", PLAIN))

    async def _both(self, exchange: Exchange, arguments: Json) -> Result:
        answers = await asyncio.gather(
            exchange.client.ask("elicitation/create", NAME), exchange.client.ask("elicitation/create", SIZE)
        )
        return _text(list(answers))

    async def _door(self, exchange: Exchange, arguments: Json) -> Result:
        return _text(await exchange.client.ask("elicitation/create", DOOR))

    async def _rounds(self, exchange: Exchange, arguments: Json) -> Result:
        answers = exchange.params.get("inputResponses")
        if not answers:
            return input_required({"who": {"method": "elicitation/create", "params": NAME}}, "state-1")
        return _text([answers, exchange.params.get("requestState")])

    async def _long(self, exchange: Exchange, arguments: Json) -> Result:
        self.ends = arguments
        return Result(value={"resultType": "task", **self._seen("working", statusMessage="begun")})

    def _seen(self, status: str, **more: Any) -> Json:
        return {"taskId": "t1", "status": status, "pollIntervalMs": 1, **more}

    def _task(self, exchange: Exchange) -> Result:
        """A task that works, asks if it is to, and ends as it is to."""
        self.seen.append(exchange.method)
        if exchange.method == "tasks/update":
            self.answers = exchange.params["inputResponses"]
        elif exchange.method == "tasks/cancel":
            self.cancelled.set()
        elif len(self.seen) == 1:
            return Result(value=self._seen("working", statusMessage="going on"))
        elif self.ends.get("asks") and not self.answers:
            who = {"who": {"method": "elicitation/create", "params": NAME}}
            return Result(value=self._seen("input_required", inputRequests=who))
        elif "hang" not in self.ends:
            done = {"content": [], "structuredContent": {"got": self.answers}}
            ends = {"result": done, "error": {"code": -32000, "message": "broken"}}
            return Result(value=self._seen(self.ends.get("status", "completed"), **ends))
        else:
            return Result(value=self._seen("working"))
        return Result(value={})

    async def _shed(self, exchange: Exchange, arguments: Json) -> Result:
        if len(self.metas) < arguments["n"]:
            return input_required({}, "later")
        return _text(exchange.params.get("requestState"))

    async def _sample(self, exchange: Exchange, arguments: Json) -> Result:
        return _text(await exchange.client.ask("sampling/createMessage", {"messages": [], "maxTokens": 1}))

    async def _roots(self, exchange: Exchange, arguments: Json) -> Result:
        return input_required({"r": {"method": "roots/list", "params": {}}}, "s")


def _content(blocks: list[Json]) -> Result:
    return Result(value={"content": blocks})


def _text(structured: Any) -> Result:
    return Result(value={"content": [], "structuredContent": {"got": structured}})


@asynccontextmanager
async def kinds(config: KindsConfig, host: Host) -> AsyncIterator[Upstream]:
    yield Kinds(config, host)


@hookimpl
def gateway_upstreams() -> Sequence[UpstreamFactory]:
    return (Factory(name="kinds", summary="Every kind of result.", config=KindsConfig, create=kinds),)
