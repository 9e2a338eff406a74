"""A legacy session (2024-11-05 to 2025-11-25) on any wire: the handshake and what only sessions have."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from portico.api import (
    LEGACY_VERSIONS,
    LOG_LEVELS,
    TASKS_EXTENSION,
    Era,
    Exchange,
    Host,
    Json,
    Refused,
    Result,
    Target,
)
from portico_plugins.failures import bad_response

from . import wire
from .call import ASKABLE, Call, Pausable
from .session import Session, Wire

if TYPE_CHECKING:
    from .old_tasks import OldTasks

_PATIENCE: Final = 30.0
"""Seconds a server may take to subscribe to one resource."""
_OFFERED: Final = (*ASKABLE.values(), "extensions", "experimental")


def offered(capabilities: Json) -> Json:
    """What a legacy server is told of a client's capabilities: what can be bridged, in a stable order."""
    told = {name: capabilities[name] for name in sorted(_OFFERED) if name in capabilities}
    extensions = told.get("extensions")
    if isinstance(extensions, dict) and TASKS_EXTENSION in extensions:
        # Nothing that this era has; and what a task was begun in must be where it is asked for.
        told["extensions"] = {name: each for name, each in extensions.items() if name != TASKS_EXTENSION}
        if not told["extensions"]:
            del told["extensions"]
    return told


def hosted(capabilities: Json) -> bool:
    """Whether a server's capabilities say that it makes tasks of tool calls."""
    found: Any = capabilities
    for key in ("tasks", "requests", "tools", "call"):
        found = found.get(key) if isinstance(found, dict) else None
    return isinstance(found, dict)


def extended(capabilities: Json) -> Json:
    """A server's capabilities in the modern form: its tasks are the extension's."""
    if not hosted(capabilities):
        return capabilities
    extensions = capabilities.get("extensions")
    known = extensions if isinstance(extensions, dict) else {}
    return {**capabilities, "extensions": {**known, TASKS_EXTENSION: {}}}


class _Initialized(msgspec.Struct):
    version: str = msgspec.field(name="protocolVersion")
    capabilities: dict[str, Any] = {}
    info: dict[str, Any] | None = msgspec.field(name="serverInfo", default=None)
    instructions: str | None = None


class LegacySession(Session):
    """A session that began with `initialize`.

    Args:
        wire: What it runs on.
        host: The upstream's host.
        capabilities: What the client behind it can do.
        client_info: How the client calls itself.
    """

    era = Era.LEGACY

    def __init__(self, wire: Wire, host: Host, capabilities: Json, client_info: Json) -> None:
        super().__init__(wire)
        self._host = host
        self._offered = capabilities
        self._client_info = client_info
        self._level: int | None = None
        self._watched: frozenset[str] = frozenset()
        self._watching = asyncio.Lock()
        self._tasks: OldTasks | None = None

    async def open(self) -> None:
        """Shake hands; any revision of the era will do."""
        await self.wire.open()
        params = {
            "protocolVersion": LEGACY_VERSIONS[0],
            "capabilities": self._offered,
            "clientInfo": self._client_info,
        }
        raw = await self.request("initialize", params)
        try:
            said = msgspec.json.decode(raw, type=_Initialized)
        except (ValueError, RecursionError):
            raise bad_response(self._host.name, "bad_initialize_result") from None
        if said.version not in LEGACY_VERSIONS:
            raise bad_response(self._host.name, "unsupported_protocol_version")
        self.capabilities = said.capabilities
        self.info = said.info
        self.instructions = said.instructions or ""
        if hosted(said.capabilities):
            from .old_tasks import OldTasks  # few servers have them

            self._tasks = OldTasks(self.request, self._host, self._pin)
        self.wire.established(said.version)
        await self.wire.post(wire.notification("notifications/initialized"))
        self.wire.listen()

    async def send(self, exchange: Exchange, target: Target, limit: Pausable | None) -> Result:
        """Carry out an exchange, in the shape of the era."""
        if exchange.log_level is not None:
            await self._set_level(exchange.log_level)
        if self._tasks is not None and self._tasks.concern(exchange, target):
            return await self._tasks.send(exchange, target, limit)
        call = Call(exchange.method, exchange, limit)
        body = wire.request(call.id, exchange.method, wire.legacy_params(exchange, call.id))
        return Result(raw=await self.wire.perform(call, body), era=Era.LEGACY)

    async def request(self, method: str, params: Json | None = None, call: Call | None = None) -> bytes:
        """Make a request of the gateway's own."""
        call = call or Call(method)
        return await self.wire.perform(call, wire.request(call.id, method, params))

    async def _set_level(self, level: str) -> None:
        """Have the server send messages down to this level: once, the lowest in use; the kernel filters."""
        level = level if level in LOG_LEVELS else "debug"
        rank = LOG_LEVELS[level]
        if "logging" not in self.capabilities or (self._level is not None and self._level <= rank):
            return
        self._level = rank
        try:
            await self.request("logging/setLevel", {"level": level})
        except Refused as refusal:
            self._host.log.debug("upstream_log_level_refused", reason=refusal.message)

    async def tell(self, method: str, params: Json, capability: str) -> None:
        """Pass a client's notification on, if the session declared that the client has such a thing."""
        if not capability or capability in self._offered:
            await self.wire.post(wire.notification(method, params))

    async def watch(self, uris: frozenset[str]) -> Sequence[str]:
        """Subscribe and unsubscribe until exactly these are watched."""
        async with self._watching:
            for uri in sorted(self._watched - uris):
                await self._subscription("resources/unsubscribe", uri)
            wanted = sorted(uris - self._watched)
            refused = [uri for uri in wanted if not await self._subscription("resources/subscribe", uri)]
            self._watched = uris - frozenset(refused)
        return refused

    def _pin(self, more: int) -> None:
        self.pins += more

    async def close(self) -> None:
        """End it, and what waits for its tasks."""
        if self._tasks is not None:
            await self._tasks.close()
        await super().close()

    async def _subscription(self, method: str, uri: str) -> bool:
        try:
            async with asyncio.timeout(_PATIENCE):
                await self.request(method, {"uri": uri})
        except (Refused, TimeoutError) as error:
            self._host.log.debug("upstream_subscription_refused", method=method, reason=str(error))
            return False
        return True
