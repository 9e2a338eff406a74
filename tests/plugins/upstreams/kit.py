"""What the tests of upstreams share: recorders for the kernel's side, and ways to run servers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import attrs
import uvicorn

from portico.api import Era, Exchange, Host, Json, Principal, Refused, State, Target
from portico_plugins.upstreams.mcp import MCP
from portico_plugins.upstreams.mcp.config import McpConfig

HERE = Path(__file__).parent
ALICE = Principal("alice", "test")
BOB = Principal("bob", "test")
_ids = itertools.count(1)


class Log:
    """Keeps what was logged."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, Json]] = []

    def _add(self, level: str, event: str, facts: Json) -> None:
        self.lines.append((level, event, facts))

    def debug(self, event: str, **facts: Any) -> None:
        self._add("debug", event, facts)

    def info(self, event: str, **facts: Any) -> None:
        self._add("info", event, facts)

    def warning(self, event: str, **facts: Any) -> None:
        self._add("warning", event, facts)

    def error(self, event: str, **facts: Any) -> None:
        self._add("error", event, facts)

    def events(self) -> list[str]:
        return [event for _, event, _ in self.lines]


class Clock:
    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()


class Wiring:
    """Records what an upstream reports."""

    def __init__(self) -> None:
        self.offers: list[frozenset[str]] = []
        self.updates: list[tuple[Principal, Json]] = []
        self.announced: list[tuple[Principal | None, str, Json]] = []
        self.asked: list[tuple[Principal, str, Json]] = []
        self.answer: Json | None = None
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self.endpoints: dict[str, Any] = {}
        self.upstreams: dict[str, Any] = {}
        self.workers = 1
        self.draining = False
        self.closing = False
        self.mine = True

    def tends(self, upstream: str) -> bool:
        return self.mine

    def _tell(self) -> None:
        task = asyncio.ensure_future(self._notify())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self) -> None:
        async with self._news:
            self._news.notify_all()

    def offer_changed(self, upstream: str, changed: Iterable[str] = ()) -> None:
        self.offers.append(frozenset(changed))
        self._tell()

    def resource_updated(self, upstream: str, principal: Principal, params: Json) -> None:
        self.updates.append((principal, params))
        self._tell()

    async def announce(self, upstream: str, principal: Principal | None, method: str, params: Json) -> None:
        self.announced.append((principal, method, params))
        self._tell()

    async def ask_unrelated(self, upstream: str, principal: Principal, method: str, params: Json) -> Json:
        self.asked.append((principal, method, params))
        if self.answer is None:
            raise Refused(-32601, "nobody")
        return self.answer

    async def until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Wait for something the upstream reports."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(condition)


class Client:
    """Records what comes back to a client, and answers what it is asked."""

    def __init__(self, answer: Callable[[str, Json], Awaitable[Json]] | None = None) -> None:
        self.frames: list[tuple[str, Json]] = []
        self.polls: list[int] = []
        self.questions: list[tuple[str, Json]] = []
        self.news = asyncio.Event()
        self._answer = answer

    async def notify(self, method: str, params: Json) -> None:
        self.frames.append((method, params))
        self.news.set()

    def progress(self, params: bytes) -> bool:
        self.frames.append(("notifications/progress", json.loads(params)))
        self.news.set()
        return True

    async def ask(self, method: str, params: Json) -> Json:
        self.questions.append((method, params))
        self.news.set()
        if self._answer is None:
            raise Refused(-32601, "This client answers nothing")
        return await self._answer(method, params)

    def poll(self, retry_ms: int) -> None:
        self.polls.append(retry_ms)


async def accept(method: str, params: Json) -> Json:
    """A client that agrees to everything."""
    return {
        "elicitation/create": {"action": "accept", "content": {"answer": "yes"}},
        "roots/list": {"roots": [{"uri": "file:///work"}]},
        "sampling/createMessage": {
            "role": "assistant",
            "model": "m",
            "content": {"type": "text", "text": "sampled"},
        },
    }[method]


def exchange(
    method: str, params: Json | None = None, era: Era = Era.LEGACY, seconds: float = 20, **changes: Any
) -> Exchange:
    """A client request in flight."""
    fields: dict[str, Any] = {
        "id": f"x{next(_ids)}",
        "method": method,
        "params": params or {},
        "principal": ALICE,
        "server": "default",
        "era": era,
        "version": "2025-11-25" if era is Era.LEGACY else "2026-07-28",
        "client": Client(),
        "capabilities": {},
        "client_info": {"name": "tester", "version": "1"},
        "log_level": None,
        "progress_token": None,
        "headers": {},
        "deadline": time.monotonic() + seconds,
    }
    return Exchange(**(fields | changes))


def call(tool: str, arguments: Json | None = None, era: Era = Era.LEGACY, **changes: Any) -> Exchange:
    """A `tools/call` in flight."""
    return exchange("tools/call", {"name": tool, "arguments": arguments or {}}, era, **changes)


def text(result: Any) -> str:
    """The text a tool answered with."""
    return str(result.value["content"][0]["text"])


@attrs.define
class Running:
    """An upstream and its recorders."""

    upstream: Any
    wiring: Wiring
    log: Log

    async def send(self, exchange_: Exchange) -> Any:
        """Carry it out as the router would: with the definition of the tool."""
        name = str(exchange_.params.get("name") or exchange_.params.get("uri") or "")
        definition = next((t for t in self.upstream.offer.tools if t["name"] == name), None)
        try:
            return await self.upstream.send(exchange_, Target("up", name, definition))
        except Refused as refusal:
            refusal.add_note(f"{refusal.data} {self.log.lines[-5:]}")  # for when it is not expected
            raise

    async def until_state(self, state: State, seconds: float = 60) -> None:
        """Wait until it is in a state."""
        await self.wiring.until(lambda: self.upstream.state is state, seconds)


@contextlib.asynccontextmanager
async def running(component: Any = None, **config: Any) -> AsyncIterator[Running]:
    """An upstream, started with this configuration."""
    wiring, log = Wiring(), Log()
    host = Host("up", "upstreams", log, Clock(), HERE, lambda _: component, wiring)
    async with MCP.create(McpConfig(**config), host) as upstream:
        yield Running(upstream, wiring, log)


@contextlib.asynccontextmanager
async def serving(app: Any, port: int = 0) -> AsyncIterator[str]:
    """An ASGI app on a free port of its own; gives its origin."""
    # Only of a socket that says it is TCP does asyncio take Nagle's algorithm: 40 ms an answer without.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen()
    config = uvicorn.Config(app, log_config=None, lifespan="auto", ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
    task = asyncio.create_task(server.serve(sockets=[sock]))
    origin = f"http://127.0.0.1:{sock.getsockname()[1]}"
    try:
        yield origin
    finally:
        server.should_exit = True
        await task
        sock.close()
