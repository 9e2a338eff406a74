"""What the upstream of the fault tests can do, and the journal of what it did."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from tests.faults.http1 import Json

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
META = "io.modelcontextprotocol/"


class Channel(Protocol):
    """The way back to the caller of one tool."""

    async def notify(self, method: str, params: Json) -> None:
        """Send a notification on the call's stream; waits while its reader is behind."""
        ...

    async def ask(self, method: str, params: Json) -> Json:
        """Ask the caller, and wait for the answer (legacy only)."""
        ...


class Journal:
    """What happened, in order, and a way to wait for it.

    Attributes:
        counts: Side effects by token: `count` and `ask` have one each.
        frames: Progress frames sent, by key.
    """

    def __init__(self, tell: Callable[[Json], None] | None = None) -> None:
        self.entries: list[tuple[str, str]] = []
        self.counts: Counter[str] = Counter()
        self.frames: Counter[str] = Counter()
        self._tell = tell
        self._news: set[asyncio.Event] = set()

    def note(self, what: str, key: str) -> None:
        """Something happened."""
        self.entries.append((what, key))
        if what == "effect":
            self.counts[key] += 1
        elif what == "frame":
            self.frames[key] += 1
        if self._tell is not None:
            self._tell({"what": what, "key": key})
        for event in self._news:
            event.set()

    def has(self, what: str, key: str) -> bool:
        """Whether it happened."""
        return (what, key) in self.entries

    async def until(self, what: str, key: str, seconds: float, times: int = 1) -> bool:
        """Wait for it; whether it came in time."""
        news = asyncio.Event()
        self._news.add(news)
        try:
            async with asyncio.timeout(seconds):
                while self.entries.count((what, key)) < times:
                    news.clear()
                    await news.wait()
            return True
        except TimeoutError:
            return False
        finally:
            self._news.discard(news)

    def clear(self) -> None:
        """Forget."""
        self.entries.clear()
        self.counts.clear()
        self.frames.clear()


def _tool(name: str, **properties: str) -> Json:
    schema = {"type": "object", "properties": {key: {"type": kind} for key, kind in properties.items()}}
    return {"name": name, "description": f"The tool {name}.", "inputSchema": schema}


TOOLS = [
    _tool("echo", payload="string"),
    _tool("count", token="string"),
    _tool("slow", key="string", n="integer"),
    _tool("progress", key="string", n="integer", pad="integer"),
    _tool("big", bytes="integer", payload="string"),
    _tool("ask", key="string"),
    _tool("misbehave", how="string", key="string"),
]


class Tools:
    """The tools, whatever the transport.

    Args:
        journal: Where they write what they do.
        harm: Does what `misbehave` is asked for; given how.
    """

    def __init__(self, journal: Journal, harm: Callable[[str], None] | None = None) -> None:
        self.journal = journal
        self.gates: dict[str, asyncio.Event] = {}
        self._harm = harm

    def gate(self, key: str) -> asyncio.Event:
        """What `slow` with this key waits for."""
        return self.gates.setdefault(key, asyncio.Event())

    async def call(self, name: str, arguments: Json, channel: Channel, modern: bool) -> Json:
        """Run a tool; its result.

        Raises:
            LookupError: There is no such tool.
            ValueError: The arguments are wrong.
        """
        act = getattr(self, f"_{name}", None) if any(tool["name"] == name for tool in TOOLS) else None
        if act is None:
            raise LookupError(name)
        result: Json = {"content": [{"type": "text", "text": await act(arguments, channel)}]}
        return {"resultType": "complete", **result} if modern else result

    async def _echo(self, arguments: Json, channel: Channel) -> str:
        return _text(arguments, "payload")

    async def _count(self, arguments: Json, channel: Channel) -> str:
        self.journal.note("effect", token := _text(arguments, "token"))
        return token

    async def _slow(self, arguments: Json, channel: Channel) -> str:
        key = _text(arguments, "key")
        try:
            for number in range(int(arguments.get("n") or 0)):
                await channel.notify("notifications/progress", {"progress": number, "message": key})
            self.journal.note("begun", key)
            await self.gate(key).wait()
        except asyncio.CancelledError:
            self.journal.note("cancelled", key)
            raise
        self.journal.note("finished", key)
        return key

    async def _progress(self, arguments: Json, channel: Channel) -> str:
        key, pad = _text(arguments, "key"), "x" * int(arguments.get("pad") or 0)
        self.journal.note("begun", key)
        try:
            for number in range(int(arguments.get("n") or 0)):
                message = {"progress": number, "message": f"{key}:{pad}"}
                await channel.notify("notifications/progress", message)
                self.journal.note("frame", key)
        except (asyncio.CancelledError, OSError):
            self.journal.note("cancelled", key)
            raise
        return key

    async def _big(self, arguments: Json, channel: Channel) -> str:
        return (_text(arguments, "payload") + ".").ljust(int(arguments.get("bytes") or 0), "x")

    async def _ask(self, arguments: Json, channel: Channel) -> str:
        key = _text(arguments, "key")
        self.journal.note("effect", key)
        schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
        try:
            said = await channel.ask(
                "elicitation/create", {"mode": "form", "message": key, "requestedSchema": schema}
            )
        except asyncio.CancelledError:
            self.journal.note("cancelled", key)
            raise
        self.journal.note("answered", key)
        return f"{key}:{said.get('action')}"

    async def _misbehave(self, arguments: Json, channel: Channel) -> str:
        self.journal.note("begun", _text(arguments, "key"))
        if self._harm is not None:
            self._harm(_text(arguments, "how"))
        await asyncio.get_running_loop().create_future()
        return "never"


def _text(arguments: Json, name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a string")
    return value


async def respond(message: Json, tools: Tools, channel: Channel, modern: bool) -> Json:
    """The response to a request of either era, but for what only one transport has."""
    method, params = message.get("method"), message.get("params") or {}
    answer: Json = {"jsonrpc": "2.0", "id": message.get("id")}
    listing: Json = {"ttlMs": 60_000, "cacheScope": "public", "resultType": "complete"} if modern else {}
    info = {"name": "faulty", "version": "1"}
    can = {"tools": {"listChanged": True}}
    try:
        if modern and method == "server/discover":
            answer["result"] = {"supportedVersions": [MODERN], "capabilities": can, **listing}
        elif not modern and method == "initialize":
            answer["result"] = {"protocolVersion": LEGACY, "capabilities": can, "serverInfo": info}
        elif not modern and method == "ping":
            answer["result"] = {}
        elif method == "tools/list":
            answer["result"] = {"tools": TOOLS, **listing}
        elif method == "tools/call":
            arguments = params.get("arguments") or {}
            answer["result"] = await tools.call(str(params.get("name")), arguments, channel, modern)
        else:
            answer["error"] = {"code": -32601, "message": "Method not found"}
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        answer["error"] = {"code": -32602, "message": f"Invalid params: {type(error).__name__}"}
    return answer
