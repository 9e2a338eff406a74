"""Words and small steps that several of these tests share."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec

from portico.api import LATEST_LEGACY, LATEST_MODERN, META_CAPABILITIES, META_VERSION, Json
from tests.plugins.transports.web import PATIENCE, Answer, frame

META: Final[Json] = {META_VERSION: LATEST_MODERN, META_CAPABILITIES: {}}
YES: Final[Json] = {"action": "accept", "content": {"name": "Ada"}}

TOKENS: Final = """
[auth.people]
use = "token"
tokens = { alice = "alice-0123456789abcdef", bob = "bob-0123456789abcdef" }
"""
ALICE: Final = {"authorization": "Bearer alice-0123456789abcdef"}
BOB: Final = {"authorization": "Bearer bob-0123456789abcdef"}

HELLO: Final[Json] = {
    "protocolVersion": LATEST_LEGACY,
    "capabilities": {"elicitation": {}},
    "clientInfo": {"name": "t"},
}


async def happened(event: asyncio.Event) -> None:
    """Wait for it, but not for ever."""
    async with asyncio.timeout(PATIENCE):
        await event.wait()


async def error_of(answer: Answer) -> tuple[int, int]:
    """The status and the code."""
    return await answer.head(), (await answer.json())["error"]["code"]


# --- lines, for stdio ---------------------------------------------------------------------------------


def modern(ident: Any, method: str, params: Json | None = None, meta: Json | None = None) -> bytes:
    """A modern request of a client that can be asked."""
    own = {**META, META_CAPABILITIES: {"elicitation": {}}, **(meta or {})}
    return frame(ident, method, {**(params or {}), "_meta": own})


def call(
    ident: Any, name: str, arguments: Json | None = None, meta: Json | None = None, more: Json | None = None
) -> bytes:
    """A modern tool call."""
    return modern(ident, "tools/call", {"name": name, "arguments": arguments or {}, **(more or {})}, meta)


def legacy_call(ident: Any, name: str, arguments: Json | None = None) -> bytes:
    """A legacy tool call."""
    return frame(ident, "tools/call", {"name": name, "arguments": arguments or {}})


def cancelled(ident: Any) -> bytes:
    """A client's cancellation."""
    return msgspec.json.encode(
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": ident}}
    )
