"""A test plugin: an upstream whose tools do what the tests need, and an auth scheme that fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import attrs

from portico.api import (
    AuthFactory,
    Era,
    Exchange,
    Factory,
    Host,
    Json,
    Offer,
    Principal,
    Refused,
    Result,
    State,
    Target,
    Upstream,
    UpstreamFactory,
    hookimpl,
    input_required,
)

gateway_api = (1, 0)

REGIONAL = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "count": {"type": "integer", "x-mcp-header": "Count"},
        "flag": {"type": "boolean", "x-mcp-header": "Flag"},
    },
}
BIG = b'{"content":[],"structuredContent":{"n":123456789012345678901234567890,"f":1.0},"later":null}'
FORM: Json = {"message": "Your name?", "requestedSchema": {"type": "object", "properties": {}}}

_PLAIN = (
    *("echo", "big", "progress", "flood", "log", "hang", "gate", "stubborn", "fail", "crash"),
    *("elicit", "elicit_late", "elicit_hang", "rounds", "poll", "state"),
)


@attrs.frozen
class ScriptedConfig:
    """None."""


class Scripted:
    """An upstream that plays what the called tool's name says.

    Attributes:
        calls: `(tool, principal)` of every call, in order.
        begun: Set whenever a tool has begun to wait.
        cancelled: Set when a waiting tool was cancelled.
        gate: What `gate` waits for.
        sent: How many frames `flood` has got rid of.
    """

    state = State.READY
    reason = ""

    def __init__(self, host: Host) -> None:
        self.name = host.name
        self.wiring = host.wiring
        self.calls: list[tuple[str, Principal]] = []
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.gate = asyncio.Event()
        self.sent = 0
        self.watched: dict[Principal, frozenset[str]] = {}
        self.told: list[str] = []
        tools: list[Json] = [{"name": name, "inputSchema": {"type": "object"}} for name in _PLAIN]
        tools.append({"name": "regional", "inputSchema": REGIONAL})
        self.offer = Offer(
            tools=tuple(tools),
            resources=({"uri": "test://one", "name": "one"},),
            prompts=({"name": "greet"},),
            capabilities={
                "tools": {},
                "resources": {"subscribe": True},
                "prompts": {},
                "completions": {},
                "logging": {},
            },
            eras=frozenset(Era),
        )

    async def send(self, exchange: Exchange, target: Target) -> Result:
        if exchange.method == "resources/read":
            if target.name != "test://one":
                raise Refused(-32602, "Resource not found", {"uri": target.name})
            return Result(value={"contents": [{"uri": target.name, "text": "1"}]})
        if exchange.method == "prompts/get":
            return Result(value={"messages": []})
        if exchange.method == "completion/complete":
            return Result(value={"completion": {"values": []}})
        self.calls.append((target.name, exchange.principal))
        arguments = exchange.params.get("arguments")
        arguments = arguments if isinstance(arguments, dict) else {}
        play = getattr(self, f"_{target.name}", self._echo)
        answer: Result = await play(exchange, arguments)
        return answer

    async def watch(self, principal: Principal, uris: frozenset[str]) -> None:
        self.watched[principal] = uris

    async def tell(self, principal: Principal, method: str, params: Json) -> None:
        self.told.append(method)

    async def _echo(self, exchange: Exchange, arguments: Json) -> Result:
        return _text(arguments)

    async def _state(self, exchange: Exchange, arguments: Json) -> Result:
        """What a test in another process would look at."""
        await self.cancelled.wait() if arguments.get("cancelled") else None
        return _text({"calls": [name for name, _ in self.calls], "cancelled": self.cancelled.is_set()})

    async def _big(self, exchange: Exchange, arguments: Json) -> Result:
        return Result(raw=BIG)

    async def _progress(self, exchange: Exchange, arguments: Json) -> Result:
        for number in range(arguments.get("n", 2)):
            await exchange.client.notify("notifications/progress", {"progress": number})
        if "fail" in arguments:
            raise Refused(arguments["fail"], "It failed after progress")
        return _text(arguments)

    async def _flood(self, exchange: Exchange, arguments: Json) -> Result:
        for number in range(arguments["n"]):
            await exchange.client.notify("notifications/progress", {"progress": number})
            self.sent += 1
            self.begun.set()
        return _text({})

    async def _log(self, exchange: Exchange, arguments: Json) -> Result:
        for level in ("debug", "error"):
            await exchange.client.notify("notifications/message", {"level": level, "data": level})
        return _text({})

    async def _hang(self, exchange: Exchange, arguments: Json) -> Result:
        if "n" in arguments:
            await self._progress(exchange, arguments)
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        raise AssertionError

    async def _gate(self, exchange: Exchange, arguments: Json) -> Result:
        if "n" in arguments:
            await self._progress(exchange, arguments)
        self.begun.set()
        await self.gate.wait()
        return _text(arguments)

    async def _poll(self, exchange: Exchange, arguments: Json) -> Result:
        exchange.client.poll(arguments["ms"])
        self.begun.set()
        await self.gate.wait()
        return _text(arguments)

    async def _stubborn(self, exchange: Exchange, arguments: Json) -> Result:
        """Takes a while to give up when cancelled."""
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await self.gate.wait()
            self.cancelled.set()
            raise
        raise AssertionError

    async def _fail(self, exchange: Exchange, arguments: Json) -> Result:
        raise Refused(arguments.get("code", -32602), "It failed", arguments.get("data"))

    async def _crash(self, exchange: Exchange, arguments: Json) -> Result:
        raise RuntimeError("/etc/secret of class Hidden")

    async def _elicit(self, exchange: Exchange, arguments: Json) -> Result:
        """Keeps its place while the client is asked."""
        if "n" in arguments:
            await self._progress(exchange, arguments)
        try:
            answer = await exchange.client.ask("elicitation/create", FORM)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return _text(answer)

    async def _elicit_late(self, exchange: Exchange, arguments: Json) -> Result:
        """Asks twice, and tells of progress in between."""
        first = await exchange.client.ask("elicitation/create", FORM)
        await exchange.client.notify("notifications/progress", {"progress": 1})
        second = await exchange.client.ask("elicitation/create", FORM)
        return _text({"first": first, "second": second})

    async def _elicit_hang(self, exchange: Exchange, arguments: Json) -> Result:
        """Asks, and hangs after the answer."""
        await exchange.client.ask("elicitation/create", FORM)
        return await self._hang(exchange, arguments)

    async def _rounds(self, exchange: Exchange, arguments: Json) -> Result:
        """Does not keep its place."""
        answers = exchange.params.get("inputResponses")
        if not answers:
            return input_required({"who": {"method": "elicitation/create", "params": FORM}}, "state-1")
        return _text({"answers": answers, "state": exchange.params.get("requestState")})


def _text(structured: Json) -> Result:
    return Result(value={"content": [{"type": "text", "text": "ok"}], "structuredContent": structured})


@asynccontextmanager
async def scripted(config: ScriptedConfig, host: Host) -> AsyncIterator[Upstream]:
    yield Scripted(host)


class _Broken:
    """A scheme with a bug in it."""

    async def authenticate(self, credentials: object) -> None:
        raise KeyError("/etc/passwords")


@asynccontextmanager
async def broken(config: ScriptedConfig, host: Host) -> AsyncIterator[_Broken]:
    yield _Broken()


@hookimpl
def gateway_upstreams() -> Sequence[UpstreamFactory]:
    return (
        Factory(name="scripted", summary="Plays what tests need.", config=ScriptedConfig, create=scripted),
    )


@hookimpl
def gateway_auth_schemes() -> Sequence[AuthFactory]:
    return (Factory(name="broken", summary="Raises.", config=ScriptedConfig, create=broken),)
