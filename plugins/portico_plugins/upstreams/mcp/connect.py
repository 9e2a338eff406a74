"""Finding out what a server speaks, and the gateway's own connection to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import attrs
import msgspec

from portico.api import (
    GATEWAY,
    LATEST_MODERN,
    LEGACY_VERSIONS,
    META_SERVER_INFO,
    UNSUPPORTED_VERSION,
    UPSTREAM_BAD_RESPONSE,
    UPSTREAM_UNAVAILABLE,
    Era,
    Host,
    Json,
    Offer,
    Refused,
)
from portico_plugins.failures import bad_response, reason_of, unavailable

from .call import Call
from .http import gateway_caller
from .legacy import extended
from .legs import Legs
from .listening import announced
from .pool import Want
from .session import Session, Wire

_PROBE: Final = 5.0
"""Seconds a stdio server may take to answer the probe before it is taken for a legacy one."""
_OWN: Final = frozenset({UPSTREAM_UNAVAILABLE, UPSTREAM_BAD_RESPONSE})
_BLIND: Final[Json] = {"tools": {}, "resources": {}, "prompts": {}}
"""What a modern server without `server/discover` is taken to have."""


class _Discovered(msgspec.Struct):
    versions: list[str] = msgspec.field(name="supportedVersions")
    capabilities: dict[str, Any] = {}
    instructions: str | None = None
    meta: dict[str, Any] | None = msgspec.field(name="_meta", default=None)


@attrs.define(eq=False)
class Link:
    """The gateway's own connection to a server.

    Attributes:
        offer: What the handshake told; the lists come later.
        ask: Makes a request of the gateway's own.
        session: The session it runs on; None over modern HTTP, which has none.
        blind: Whether the handshake told nothing: the server refuses it.
    """

    offer: Offer
    ask: Callable[[str, Json | None, Call | None], Awaitable[bytes]]
    session: Session | None = None
    blind: bool = False

    @property
    def era(self) -> Era:
        """The era the connection speaks."""
        return self.session.era if self.session is not None else Era.MODERN


class LegacyOnly(Exception):
    """The probe shows a legacy server, or nothing that would show a modern one."""


def definite(refusal: Refused) -> bool:
    """Whether a refused handshake means that the server does not speak the era, not that it is away."""
    if refusal.code not in _OWN:
        return True
    return reason_of(refusal) in {
        "http_400", "http_404", "http_405", "http_406", "http_415", "no_answer", "malformed_message",
        "bad_initialize_result", "unsupported_protocol_version", "handshake_timeout", "process_exited",
    }  # fmt: skip


async def connect(legs: Legs, host: Host) -> Link:
    """Connect to a server, in the modern era where it speaks it.

    Raises:
        Refused: It cannot be reached, or speaks nothing that we do.
    """
    if legs.transport == "stdio":
        return await _stdio(legs, host)
    wanted = legs.config.protocol
    if wanted in ("auto", "modern"):
        try:
            async with asyncio.timeout(legs.config.connect_timeout):
                return await _modern_http(legs, host)
        except LegacyOnly:
            probe: Refused | None = None
        except TimeoutError:
            probe = unavailable(host.name, "probe_timeout")
        except Refused as refusal:
            probe = refusal
        if wanted == "modern":
            raise probe or _unsupported(host)
        if probe is not None and not _may_be_legacy(probe):
            raise probe
        try:
            return await _legacy_http(legs, host)
        except Refused as refusal:
            # It answered the probe like a modern server without discovery, and shakes no hands.
            if probe is not None and probe.code not in _OWN and definite(refusal):
                return _blind(legs)
            raise
    return await _legacy_http(legs, host)


def _may_be_legacy(probe: Refused) -> bool:
    reason = reason_of(probe)
    if reason == "unsupported_protocol_version":
        return False
    return (
        probe.code not in _OWN
        or reason.startswith("http_")
        or probe.code == UPSTREAM_BAD_RESPONSE
        or (reason in ("probe_timeout", "connection_lost"))
    )


def _unsupported(host: Host) -> Refused:
    return bad_response(host.name, "unsupported_protocol_version")


def _discovered(raw: bytes, host: Host) -> Offer:
    """What a `server/discover` result says.

    Raises:
        LegacyOnly: It names no modern revision that we know.
    """
    try:
        said = msgspec.json.decode(raw, type=_Discovered)
    except (ValueError, RecursionError):
        raise LegacyOnly from None
    if LATEST_MODERN not in said.versions:
        if any(version in LEGACY_VERSIONS for version in said.versions):
            raise LegacyOnly
        raise _unsupported(host)
    info = (said.meta or {}).get(META_SERVER_INFO)
    return Offer(
        capabilities=said.capabilities,
        instructions=said.instructions or "",
        eras=frozenset({Era.MODERN}),
        info=info if isinstance(info, dict) else None,
    )


def _names_ours(refusal: Refused) -> bool:
    supported = refusal.data.get("supported") if isinstance(refusal.data, dict) else None
    return refusal.code == UNSUPPORTED_VERSION and isinstance(supported, list) and LATEST_MODERN in supported


def _judge_version_error(refusal: Refused, host: Host) -> None:
    """Tell a modern server of other revisions from a legacy one.

    Raises:
        LegacyOnly: It names a legacy revision.
        Refused: It names none that we know.
    """
    if refusal.code != UNSUPPORTED_VERSION:
        return
    supported = refusal.data.get("supported") if isinstance(refusal.data, dict) else None
    if isinstance(supported, list) and any(version in LEGACY_VERSIONS for version in supported):
        raise LegacyOnly
    raise _unsupported(host)


async def _modern_http(legs: Legs, host: Host) -> Link:
    assert legs.stateless is not None
    stateless = legs.stateless

    async def ask(method: str, params: Json | None, call: Call | None = None) -> bytes:
        return await stateless.request(method, params, gateway_caller(), call)

    try:
        try:
            raw = await ask("server/discover", None)
        except Refused as refusal:
            if not _names_ours(refusal):
                raise
            # It refuses our revision and names it as one it serves: what it serves is worth a second try.
            raw = await ask("server/discover", None)
        offer = _discovered(raw, host)
    except Refused as refusal:
        _judge_version_error(refusal, host)
        raise
    legs.modern, legs.legacy = True, None
    return Link(offer, ask)


def _blind(legs: Legs) -> Link:
    assert legs.stateless is not None
    stateless = legs.stateless
    legs.modern, legs.legacy = True, False

    async def ask(method: str, params: Json | None, call: Call | None = None) -> bytes:
        return await stateless.request(method, params, gateway_caller(), call)

    return Link(Offer(capabilities=_BLIND, eras=frozenset({Era.MODERN})), ask, blind=True)


async def _legacy_http(legs: Legs, host: Host) -> Link:
    want = legs.plain(Era.LEGACY, GATEWAY)
    if legs.config.protocol != "sse":
        legs.transport = "http"
    try:
        session = await legs.pool.acquire(want)
    except Refused as refusal:
        if legs.transport != "http" or legs.config.protocol not in ("auto", "legacy"):
            raise
        if refusal.code in _OWN and reason_of(refusal) not in ("http_400", "http_404", "http_405"):
            raise
        legs.transport = "sse"
        try:
            session = await legs.pool.acquire(want)
        except Refused:
            legs.transport = "http"
            raise refusal from None
    session.pins += 1
    legs.pool.release(session)
    legs.modern, legs.legacy = False, True
    return _link(session)


def _link(session: Session) -> Link:
    capabilities = extended(session.capabilities)
    capabilities = {name: value for name, value in capabilities.items() if name != "tasks"}
    offer = Offer(
        capabilities=capabilities,
        waits=True,
        instructions=session.instructions,
        eras=frozenset({session.era}),
        info=session.info,
    )
    return Link(offer, session.request, session)


async def _stdio(legs: Legs, host: Host) -> Link:
    restarts = legs.pool.restarts(legs.owner_of_gateway)
    if restarts.exhausted:
        raise unavailable(host.name, "restart_budget")
    await asyncio.sleep(restarts.wait())
    pipe = legs.wire(legs.plain(Era.MODERN, GATEWAY))
    probing = legs.config.protocol != "legacy" and not legs.skip_probe
    legs.skip_probe = False
    try:
        if not probing:
            return await _shake_hands(legs, pipe, host)
        return await _probe(legs, pipe, host)
    except BaseException:
        # Some servers die of a request before the handshake: once, then, without the probe.
        legs.skip_probe = probing and legs.config.protocol == "auto" and pipe.lost.is_set()
        await pipe.close()
        raise


async def _shake_hands(legs: Legs, pipe: Wire, host: Host) -> Link:
    want = legs.plain(Era.LEGACY, GATEWAY)
    session = legs.on(pipe, want)
    try:
        async with asyncio.timeout(legs.config.connect_timeout):
            await session.open()
    except TimeoutError:
        raise unavailable(host.name, "handshake_timeout") from None
    legs.modern, legs.legacy = False, True
    return _adopted(legs, want, session, _link(session))


def _adopted(legs: Legs, want: Want, session: Session, link: Link) -> Link:
    session.pins += 1
    legs.pool.adopt(want, session)
    return link


async def _probe(legs: Legs, pipe: Wire, host: Host) -> Link:
    """Ask `server/discover` first; whatever is no sign of a modern server leads to the handshake."""
    want = legs.plain(Era.MODERN, GATEWAY)
    session = legs.on(pipe, want)
    await session.open()

    async def discover() -> Link:
        try:
            offer = _discovered(await session.request("server/discover"), host)
        except Refused as refusal:
            _judge_version_error(refusal, host)
            raise LegacyOnly from None
        return Link(offer, session.request, session)

    asking = asyncio.create_task(discover())
    tasks = {asking}
    only = legs.config.protocol == "modern"
    try:
        await asyncio.wait(tasks, timeout=legs.config.connect_timeout if only else _PROBE)
        if only and not asking.done():
            raise unavailable(host.name, "probe_timeout")
        if not asking.done() or isinstance(asking.exception(), LegacyOnly):
            if only or pipe.lost.is_set():
                raise pipe.why or _unsupported(host)
            # A server that is merely slow to start answers both; the first answer that counts decides.
            shaking = asyncio.create_task(_shake_hands(legs, pipe, host))
            tasks.add(shaking)
            await asyncio.wait(tasks if not asking.done() else {shaking}, return_when=asyncio.FIRST_COMPLETED)
            if shaking.done() and shaking.exception() is None:
                return shaking.result()
            await asyncio.wait({asking}, timeout=1.0)
            if not asking.done() or asking.exception() is not None:
                return await shaking
        link = asking.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    legs.modern, legs.legacy = True, None
    legs.announced = announced(link.offer.capabilities)
    return _adopted(legs, want, session, link)
