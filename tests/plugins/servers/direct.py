"""What the kernel does on the fast lane, made small: admits `/mcp...` and answers it without ASGI."""

from __future__ import annotations

import asyncio
from typing import Any

from portico.api import Admission, Reply, Scope

TEXT = (b"content-type", b"text/plain")


class Hands:
    """`/mcp` echoes the body at once; `/mcp/later` keeps the reply; `/mcp/boom` fails. The rest is ASGI's."""

    def __init__(self, body_bytes: int = 1000, body_seconds: float = 5.0) -> None:
        self.body_bytes = body_bytes
        self.body_seconds = body_seconds
        self.bodies: list[bytes] = []
        self.scopes: list[Scope] = []
        self.kept: asyncio.Queue[Reply] = asyncio.Queue()
        self.gone = asyncio.Event()

    def admit(self, scope: Scope) -> Admission | None:
        if scope["path"] == "/mcp/refused":
            return Admission(scope, None, 403, b'{"error":"no"}')
        if scope["path"] == "/mcp/broken":
            raise RuntimeError("broken")
        if not scope["path"].startswith("/mcp"):
            return None
        return Admission(scope, self.handle, body_bytes=self.body_bytes, body_seconds=self.body_seconds)

    def handle(self, scope: Scope, body: bytes, reply: Reply) -> None:
        self.scopes.append(scope)
        self.bodies.append(body)
        reply.on_gone = self.gone.set
        if scope["path"] == "/mcp":
            reply.send(200, [TEXT], body)
        elif scope["path"] == "/mcp/boom":
            raise RuntimeError("boom")
        elif scope["path"] == "/mcp/half":
            reply.start(200, [TEXT])
            reply.write(b"half")
            raise RuntimeError("half")
        else:
            self.kept.put_nowait(reply)

    async def reply(self) -> Any:
        """The next reply that was kept."""
        async with asyncio.timeout(30):
            return await self.kept.get()
