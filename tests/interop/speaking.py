"""An MCP client of both eras that hides nothing: dicts in, dicts out; how messages travel is its subclasses'.

It exists because an SDK client would repair or reject what a gateway gets wrong before a test could see it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import attrs

Json = dict[str, Any]
Answerer = Callable[[str, Json], Json]

MODERN = "2026-07-28"
META = "io.modelcontextprotocol/"
ROUNDS = 10
"""How often one call may come back with `input_required`."""

PATIENCE = 30.0
"""Seconds something may take that is bound to happen."""

_INFO: Json = {"name": "raw-client", "version": "1"}


class RpcError(Exception):
    """The server answered with a JSON-RPC error, or with no JSON-RPC at all."""

    def __init__(self, status: int, error: Json) -> None:
        super().__init__(f"HTTP {status}: {error}")
        self.status = status
        self.error = error


@attrs.define(eq=False)
class Speaker:
    """A client of one server, in one revision.

    Args:
        url: Where the server is; what starts it, for one on stdio.
        version: A legacy revision (opens a session) or 2026-07-28 (does not).
        answer: Answers what the server asks: `(method, params) -> result`.
        capabilities: What is declared.

    Attributes:
        notifications: What the server has told, in order.
        asked: Which methods it has asked, in order; those of rounds included.
        opening: The answer to `initialize`.
    """

    url: str
    version: str
    answer: Answerer
    capabilities: Json = attrs.field(factory=lambda: {"elicitation": {}, "sampling": {}, "roots": {}})
    notifications: list[Json] = attrs.field(factory=list)
    asked: list[str] = attrs.field(factory=list)
    opening: Json = attrs.field(factory=dict)
    _news: asyncio.Event = attrs.field(factory=asyncio.Event)
    _ids: int = 0

    @property
    def modern(self) -> bool:
        """Whether it is a client without a session."""
        return self.version >= MODERN

    async def __aenter__(self) -> Self:
        """Open the connection; in a legacy revision also the session."""
        await self.connect()
        if not self.modern:
            hello = {
                "protocolVersion": self.version,
                "capabilities": self.capabilities,
                "clientInfo": _INFO,
            }
            self.opening = await self.request("initialize", hello)
            await self.tell("notifications/initialized")
            await self.opened()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the session, if there is one."""
        await self.leave()

    # --- how messages travel --------------------------------------------------------------------------

    async def connect(self) -> None:
        """Open the connection."""
        raise NotImplementedError

    async def opened(self) -> None:
        """The legacy session is open."""

    async def leave(self) -> None:
        """Close the connection, and end the session if there is one."""
        raise NotImplementedError

    async def exchange(self, message: Json) -> Json | None:
        """Send a request; its answer, as it came."""
        raise NotImplementedError

    async def send(self, message: Json) -> None:
        """Send what is not answered."""
        raise NotImplementedError

    async def cancel(self, call: Call) -> None:
        """Give a request up, as this era and transport have it."""
        await self.tell("notifications/cancelled", {"requestId": call.id})
        await call.drop()

    # --- requests -------------------------------------------------------------------------------------

    async def call(self, name: str, arguments: Json | None = None, **meta: Any) -> Json:
        """`tools/call`, answering whatever is asked on the way."""
        params: Json = {"name": name, "arguments": arguments or {}}
        return await self.complete("tools/call", {**params, "_meta": meta} if meta else params)

    async def items(self, method: str, member: str) -> list[Json]:
        """Every page of a list."""
        found: list[Json] = []
        params: Json = {}
        while True:
            page = await self.request(method, params)
            found += page[member]
            if page.get("nextCursor") is None:
                return found
            params = {"cursor": page["nextCursor"]}

    async def tools(self) -> list[Json]:
        """Every page of `tools/list`."""
        return await self.items("tools/list", "tools")

    async def complete(self, method: str, params: Json) -> Json:
        """A request, sent again with answers as long as it comes back `input_required`."""
        sent = params
        for _ in range(ROUNDS):
            result = await self.request(method, sent)
            if result.get("resultType") != "input_required":
                return result
            asked: Json = result.get("inputRequests") or {}
            answers = {key: self._answer(one) for key, one in asked.items()}
            sent = {**params, "inputResponses": answers}
            if "requestState" in result:
                sent["requestState"] = result["requestState"]
        raise RpcError(200, {"message": f"still input_required after {ROUNDS} rounds"})

    async def request(self, method: str, params: Json | None = None, ident: Any = None) -> Json:
        """One JSON-RPC request; in the modern era with its `_meta`.

        Raises:
            RpcError: The answer is an error.
        """
        return await self.begin(method, params, ident).result()

    def begin(self, method: str, params: Json | None = None, ident: Any = None) -> Call:
        """Begin a request; the answer is waited for later, or never."""
        self._ids += 1
        body = dict(params or {})
        if self.modern:
            body["_meta"] = {
                META + "protocolVersion": self.version,
                META + "clientCapabilities": self.capabilities,
                META + "clientInfo": _INFO,
                **body.get("_meta", {}),
            }
        ident = self._ids if ident is None else ident
        message = {"jsonrpc": "2.0", "id": ident, "method": method, "params": body}
        return Call(ident, asyncio.ensure_future(self.exchange(message)))

    async def tell(self, method: str, params: Json | None = None) -> None:
        """A notification."""
        await self.send({"jsonrpc": "2.0", "method": method, **({"params": params} if params else {})})

    # --- what the server says -------------------------------------------------------------------------

    def heard(self, method: str, since: int = 0) -> list[Json]:
        """The params of notifications, from a place in `notifications` on."""
        return [one.get("params", {}) for one in self.notifications[since:] if one["method"] == method]

    async def told(self, method: str, since: int = 0, like: Callable[[Json], bool] = lambda _: True) -> Json:
        """Wait for a notification, and give its params."""
        async with asyncio.timeout(PATIENCE):
            while not (found := [one for one in self.heard(method, since) if like(one)]):
                self._news.clear()
                await self._news.wait()
        return found[0]

    async def take(self, message: Json, request_id: Any) -> Json | None:
        """Handle one message that came; returns it when it answers `request_id`."""
        if "method" not in message:
            return message if message.get("id") == request_id else None
        if "id" not in message:
            self.notifications.append(message)
            self._news.set()
            return None
        await self.send({"jsonrpc": "2.0", "id": message["id"], "result": self._answer(message)})
        return None

    def _answer(self, question: Json) -> Json:
        self.asked.append(question["method"])
        return self.answer(question["method"], question.get("params") or {})


@attrs.frozen
class Call:
    """A request under way.

    Attributes:
        id: Its id.
    """

    id: Any
    _task: asyncio.Task[Json | None]

    async def result(self) -> Json:
        """What comes of it.

        Raises:
            RpcError: The answer is an error.
        """
        async with asyncio.timeout(2 * PATIENCE):
            answer = await self._task
        if answer is None:
            raise RpcError(202, {"message": "no answer"})
        if "error" in answer:
            raise RpcError(200, answer["error"])
        result: Json = answer["result"]
        return result

    @property
    def answered(self) -> bool:
        """Whether an answer has come."""
        return self._task.done()

    async def drop(self) -> None:
        """Wait for no answer any more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
