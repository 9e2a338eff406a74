"""An agent whose every answer is scripted, byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import attrs

from portico.api import Json

Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


def http(
    body: bytes | Json, media_type: str = "application/json", status: str = "200 OK", *more: str
) -> bytes:
    """A whole answer."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {media_type}", f"Content-Length: {len(body)}", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def rpc(result: Any) -> bytes:
    """The answer of a JSON-RPC call, whatever its id."""
    return http({"jsonrpc": "2.0", "id": "1", "result": result})


def events(*results: Any, cut: bool = False) -> bytes:
    """A stream of JSON-RPC answers; cut off before its end if asked for."""
    body = b"".join(
        b"data: " + json.dumps({"jsonrpc": "2.0", "id": "1", "result": each}).encode() + b"\n\n"
        for each in results
    )
    length = len(body) + (100 if cut else 0)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {length}\r\n\r\n"
    return head.encode() + body


def task(state: str = "COMPLETED", ident: str = "t1", **more: Any) -> Json:
    """A task in a state."""
    return {"task": {"id": ident, "contextId": "c1", "status": {"state": f"TASK_STATE_{state}"}, **more}}


@attrs.define(eq=False)
class Raw:
    """A scripted agent.

    Attributes:
        origin: Where it is.
        card: What it says of itself; None for the raw bytes in `cards`.
        answers: By the method of JSON-RPC; what is not there is not answered at all.
        heads: The requests it got, without their bodies.
        bodies: Their bodies, as JSON.
        connections: How many there were.
        open: How many there are.
        closed: Set when the last of them is closed.
    """

    origin: str = ""
    card: Json = attrs.field(factory=dict)
    cards: list[bytes] = attrs.field(factory=list)
    answers: dict[str, Answer] = attrs.field(factory=dict)
    heads: list[bytes] = attrs.field(factory=list)
    bodies: list[Json] = attrs.field(factory=list)
    connections: int = 0
    open: int = 0
    closed: asyncio.Event = attrs.field(factory=asyncio.Event)

    def methods(self) -> list[str]:
        return [str(body.get("method")) for body in self.bodies]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                length = re.search(rb"(?i)content-length: (\d+)", head)
                body = await reader.readexactly(int(length[1])) if length else b""
                answer: Answer
                if head.startswith(b"GET"):
                    answer = self.cards.pop(0) if self.cards else http(self.card)
                else:
                    self.bodies.append(json.loads(body))
                    answer = self.answers.get(self.bodies[-1].get("method", ""), b"")
                if callable(answer):
                    await answer(writer)
                else:
                    writer.write(answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            if not self.open:
                self.closed.set()
            writer.close()


def card_for(*interfaces: str | Json, **more: Any) -> Json:
    """A card with these interfaces, of JSON-RPC unless they say otherwise."""
    declared = [
        {"url": each, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
        if isinstance(each, str)
        else each
        for each in interfaces
    ]
    skill = {"id": "greet", "name": "Greet", "description": "Greets.", "tags": ["talk"]}
    card: Json = {"name": "Raw", "description": "d", "version": "1", "skills": [skill]}
    return {**card, "supportedInterfaces": declared, "capabilities": {}, **more}


@contextlib.asynccontextmanager
async def raw(streaming: bool = False, **answers: Answer) -> AsyncIterator[Raw]:
    """A scripted agent with a proper card."""
    made = Raw(answers=answers)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    made.card = card_for(f"{made.origin}/rpc", capabilities={"streaming": streaming})
    try:
        yield made
    finally:
        server.close()
