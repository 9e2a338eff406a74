"""Doubles around real kernel objects: time that jumps, a scripted upstream, clients of both eras."""

from __future__ import annotations

import asyncio
import functools
import inspect
import selectors
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ParamSpec

import attrs

from portico._config.components import Component
from portico._config.settings import GatewaySettings, ServerSettings, Settings
from portico._core.catalog.view import ServerSpec
from portico._core.plane import Plane
from portico._core.protocol.call import Outcome
from portico._core.protocol.jsonrpc import Message, decode, encode, parse
from portico._core.protocol.modern_call import Asking, Frames, ModernCall
from portico._core.protocol.parking import Parking
from portico._core.protocol.stream import Stream
from portico._core.requests.endpoint import Endpoint
from portico._core.requests.lists import Lists
from portico._core.requests.load import Load
from portico._core.requests.pipeline import Pipeline
from portico._core.requests.router import Router
from portico._core.requests.session import Session
from portico._core.seal import Seal
from portico._host.logs.access import in_line
from portico.api import (
    LATEST_MODERN,
    META_CAPABILITIES,
    META_VERSION,
    AuthScheme,
    Credentials,
    Era,
    Event,
    Exchange,
    Factory,
    Host,
    Json,
    Offer,
    Policy,
    Principal,
    Refused,
    Result,
    State,
    Target,
)
from portico.testing import RecordingLog

ALICE = Principal("alice", "people")
BOB = Principal("bob", "people")
KEY = bytes(range(32))
P = ParamSpec("P")


# --- time ----------------------------------------------------------------------------------------------


class _Jump(selectors.DefaultSelector):
    """Waits for nothing: while no file is ready, the loop's clock goes on to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[Any]:
        events = super().select(0)
        if not events:
            if timeout is None:
                raise AssertionError("nothing can happen any more: the test would wait for ever")
            self.now += max(timeout, 0)
        return events


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when there is nothing else to do, and then at once."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now


def jumping(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test on a `JumpingLoop`: an hour of waiting takes no time, waiting for ever is an error."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=JumpingLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


class LoopClock:
    """The running loop's time, as the process's clocks are outside of tests."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def time(self) -> float:
        return 1_700_000_000.0 + self.monotonic()


async def settle(rounds: int = 20) -> None:
    """Let everything that is ready happen; time stands still meanwhile."""
    for _ in range(rounds):
        await asyncio.sleep(0)


# --- upstreams -----------------------------------------------------------------------------------------

Act = Callable[[Exchange, Target], Result | Awaitable[Result]]


class StubUpstream:
    """An upstream with a given offer whose answers are a function; it remembers what it was sent."""

    def __init__(self, offer: Offer | None = None, act: Act | None = None) -> None:
        self.offer = offer or Offer()
        self.state = State.READY
        self.reason = ""
        self.act: Act = act or (lambda exchange, target: Result(value={"content": []}))
        self.sent: list[tuple[str, Json, Target]] = []
        self.exchanges: list[Exchange] = []
        self.watched: list[tuple[Principal, frozenset[str]]] = []
        self.told: list[tuple[Principal, str, Json]] = []
        self.watching: Callable[[], Awaitable[None]] | None = None

    async def send(self, exchange: Exchange, target: Target) -> Result:
        self.sent.append((exchange.method, exchange.params, target))
        self.exchanges.append(exchange)
        given = self.act(exchange, target)
        return await given if inspect.isawaitable(given) else given

    async def watch(self, principal: Principal, uris: frozenset[str]) -> None:
        self.watched.append((principal, uris))
        if self.watching is not None:
            await self.watching()

    async def tell(self, principal: Principal, method: str, params: Json) -> None:
        self.told.append((principal, method, params))


def script(*answers: Json | Refused) -> Act:
    """Give these answers, one a send; the last one again and again."""
    left = list(answers)

    def act(exchange: Exchange, target: Target) -> Result:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Refused):
            raise answer
        return Result(raw=encode(answer))

    return act


def asking(method: str = "elicitation/create", params: Json | None = None) -> Act:
    """Ask the client once and answer with what it said."""

    async def act(exchange: Exchange, target: Target) -> Result:
        answer = await exchange.client.ask(method, params or {"message": "sure?"})
        return Result(value={"content": [], "answer": answer})

    return act


def tool(name: str, **more: Any) -> Json:
    return {"name": name, "inputSchema": {"type": "object"}, **more}


def offer(
    *tools: str | Json,
    resources: Sequence[str | Json] = (),
    templates: Sequence[str | Json] = (),
    prompts: Sequence[str | Json] = (),
    capabilities: Json | None = None,
    **more: Any,
) -> Offer:
    """An offer from names (or whole definitions), with the capabilities that go with it."""
    have: Json = {"tools": {}}
    if resources or templates:
        have["resources"] = {"subscribe": True}
    if prompts:
        have["prompts"] = {}
    return Offer(
        tools=tuple(each if isinstance(each, dict) else tool(each) for each in tools),
        resources=tuple(
            each if isinstance(each, dict) else {"uri": each, "name": each} for each in resources
        ),
        templates=tuple(
            each if isinstance(each, dict) else {"uriTemplate": each, "name": each} for each in templates
        ),
        prompts=tuple(each if isinstance(each, dict) else {"name": each} for each in prompts),
        capabilities={**have, **(capabilities or {})},
        eras=more.pop("eras", frozenset({Era.MODERN})),
        **more,
    )


# --- a gateway without sockets -------------------------------------------------------------------------


class World:
    """One virtual server (`default`) of real kernel objects over stub upstreams."""

    def __init__(
        self,
        upstreams: Mapping[str, StubUpstream],
        *,
        policies: Sequence[tuple[str, Policy]] = (),
        schemes: Sequence[tuple[str, AuthScheme]] = (),
        most: int = 100,
        call_timeout: float = 60.0,
        park: float = 600.0,
        page_size: int = 0,
        private: bool = False,
        instructions: str | None = None,
        **spec: Any,
    ) -> None:
        self.clock = LoopClock()
        self.log = RecordingLog()
        self.events: list[Event] = []
        self.seal = Seal(KEY, "node-1", self.clock)
        self.load = Load(most)
        self.parking = Parking(self.seal, park)
        self.plane = Plane(self.load, self.log)
        self.plane.upstreams.update(upstreams)
        self._options = (policies, schemes, call_timeout, page_size, private, instructions)
        self.endpoint = self.add("default", tuple(upstreams), **spec)

    def add(self, name: str, upstreams: tuple[str, ...], **spec: Any) -> Endpoint:
        """Put up a virtual server."""
        policies, schemes, call_timeout, page_size, private, instructions = self._options
        lists = Lists(name, {"name": "gw", "version": "1"}, instructions, page_size, private, self.seal)
        made = Endpoint(
            name,
            lists=lists,
            pipeline=Pipeline(policies, Router(self.plane.upstreams, self.seal, lists)),
            schemes=schemes,
            hub=self.plane.hub,
            parking=self.parking,
            seal=self.seal,
            load=self.load,
            clock=self.clock,
            log=self.log,
            call_timeout=call_timeout,
            depth_limit=64,
            watchable=self.plane.watchable,
            tell=self.plane.tell,
            observe=self.events.append,
            on_call=in_line(self.log),
        )
        self.plane.add(ServerSpec(name, upstreams, **spec), lambda: made)
        return made

    def begin(
        self,
        method: str,
        params: Json | None = None,
        *,
        principal: Principal = ALICE,
        capabilities: Json | None = None,
        endpoint: Endpoint | None = None,
        **meta: Any,
    ) -> ModernCall:
        """Begin a modern request; `meta` are more members of `_meta`."""
        endpoint = endpoint or self.endpoint
        exchange = endpoint.modern_exchange(
            method, modern_params(params, capabilities, **meta), principal, headers={}
        )
        return endpoint.begin(exchange)

    async def finish(self, call: ModernCall) -> tuple[list[Json], Outcome]:
        """Take turns with a call as a transport does: its notifications, and what it is answered with."""
        frames: list[Json] = []
        while True:
            turn = await call.turn(15.0)
            if isinstance(turn, Frames):
                frames += [decode(frame) for frame in turn.frames]
            elif isinstance(turn, Asking):
                return frames, self.endpoint.park(call, turn)
            else:
                return frames, turn

    async def modern(self, method: str, params: Json | None = None, **options: Any) -> Json:
        """One modern request's result.

        Raises:
            Refused: It was answered with an error.
        """
        _, outcome = await self.finish(self.begin(method, params, **options))
        if isinstance(outcome, Refused):
            raise outcome
        return outcome.value

    def legacy(self, principal: Principal = ALICE, *, endpoint: Endpoint | None = None) -> LegacyPeer:
        """A legacy client that has not said anything yet."""
        return LegacyPeer(endpoint or self.endpoint, principal)


def modern_params(params: Json | None, capabilities: Json | None = None, **meta: Any) -> Json:
    return {
        **(params or {}),
        "_meta": {META_VERSION: LATEST_MODERN, META_CAPABILITIES: capabilities or {}, **meta},
    }


class LegacyPeer:
    """A legacy client's side of a session, over streams."""

    def __init__(self, endpoint: Endpoint, principal: Principal) -> None:
        self.outlet = Stream("outlet")
        self.session = Session(endpoint, principal, "a-session-handle-of-some-length", self.outlet)

    def open(self, version: str = "2025-11-25", capabilities: Json | None = None) -> LegacyPeer:
        """Shake hands; the stream for what belongs to no call is read from now on."""
        self.request("initialize", hello(version, capabilities), ident="hello")
        self.say("notifications/initialized")
        self.outlet.attach()
        return self

    def request(self, method: str, params: Json | None = None, *, ident: str | int = 1) -> Stream:
        """Send a request; gives the stream its answer comes on."""
        stream = Stream()
        self._receive({"id": ident, "method": method, "params": params or {}}, stream)
        return stream

    def say(self, method: str, params: Json | None = None) -> None:
        """Send a notification."""
        self._receive({"method": method, "params": params or {}}, Stream())

    def reply(self, question: Json, result: Json | None = None, *, error: Json | None = None) -> None:
        """Answer what the gateway asked."""
        answer = {"result": result or {}} if error is None else {"error": error}
        self._receive({"id": question["id"], **answer}, Stream())

    def _receive(self, message: Json, stream: Stream) -> None:
        parsed: Message = parse(encode({"jsonrpc": "2.0", **message}))
        self.session.receive(parsed, stream, {})

    def heard(self) -> list[Json]:
        """What came outside of calls."""
        return frames_of(self.outlet)


def hello(version: str = "2025-11-25", capabilities: Json | None = None) -> Json:
    return {
        "protocolVersion": version,
        "capabilities": capabilities or {},
        "clientInfo": {"name": "peer", "version": "1"},
    }


def frames_of(stream: Stream) -> list[Json]:
    """Every frame of a stream, decoded."""
    return [decode(frame) for _, frame in stream.take(0)]


async def answer_of(stream: Stream) -> Json:
    """The last frame of a stream, once it has ended."""
    while not stream.ended:
        await stream.wait(stream.last, 15.0)
    return frames_of(stream)[-1]


# --- a composition of stubs ----------------------------------------------------------------------------


@attrs.frozen
class NoConfig:
    """Nothing to configure."""


def stub_component(kind: str, name: str, thing: Any) -> Component:
    """A configured component that is the given thing, or made by it of its host."""

    @asynccontextmanager
    async def create(config: NoConfig, host: Host) -> AsyncIterator[Any]:
        make: Any = thing if inspect.isclass(thing) else lambda host: thing
        yield make(host)

    factory = Factory(name="stub", summary="A stub.", config=NoConfig, create=create)
    return Component(kind, name, "stub", NoConfig(), factory, "test")


class Anybody:
    """Lets anybody in, as `anonymous` does."""

    lets_anyone_in = True

    def __init__(self, *, public: bool = False) -> None:
        self.public = public

    async def authenticate(self, credentials: Credentials) -> Principal:
        return ALICE


def composed(
    components: Mapping[tuple[str, str], Any], server: Mapping[str, Any] | None = None, **gateway: Any
) -> Settings:
    """Settings of a gateway made of stubs, with one virtual server over all upstreams and auth schemes."""
    made = {(kind, name): stub_component(kind, name, thing) for (kind, name), thing in components.items()}
    named = {
        "upstreams": tuple(name for kind, name in made if kind == "upstreams"),
        "auth": tuple(name for kind, name in made if kind == "auth"),
        "policies": tuple(name for kind, name in made if kind == "policies"),
        **(server or {}),
    }
    gateway.setdefault("listen", ("127.0.0.1:0",))
    return Settings(GatewaySettings(**gateway), {"default": ServerSettings(**named)}, made, "test", Path())
