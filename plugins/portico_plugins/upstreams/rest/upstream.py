"""One HTTP API as an upstream: its tools, calls of them, and the document kept current."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Final

import attrs

from portico.api import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    UPSTREAM_TIMEOUT,
    UPSTREAM_UNAVAILABLE,
    Era,
    Exchange,
    Host,
    Json,
    Offer,
    Refused,
    Result,
    State,
    Target,
)
from portico_plugins.failures import reason_of, unavailable
from portico_plugins.upstreams.refresher import Refreshed, Refresher

from .calls import Calls
from .client import Client
from .config import RestConfig
from .directory import Directory
from .document import Document, Unfit
from .mistakes import idle_patterns, mistakes_in
from .requests import Request
from .security import placed
from .selection import by_hand
from .source import Source
from .tools import Lot, Tool, Tools, tools_of

_NO_DOCUMENT: Final[Json] = {
    "openapi": "",
    "openapi_file": None,
    "openapi_inline": {},
    "ref_origins": (),
    "include": (),
    "exclude": (),
    "security": {},
}
"""What the configuration of tools written by hand does not have."""


class RestUpstream(Refreshed):
    """An HTTP API as an upstream.

    Args:
        config: Its configuration.
        host: What the kernel offers.
    """

    def __init__(self, config: RestConfig, host: Host) -> None:
        self._config = config
        self._host = host
        self._client = Client(config, host, config.max_response_bytes)
        self._source = Source(config, host)
        self._calls = Calls(config, host, self._client)
        self._tools: Mapping[str, Tool] = {}
        self._directory: Directory | None = None
        self._refresher = Refresher(host, self._look, "loading")
        self._pause = 1.0
        self._lack = ""
        self._loaded = not self._source.given
        self.offer = Offer(capabilities={"tools": {"listChanged": True}}, eras=frozenset(Era))

    async def start(self) -> None:
        """Read the document; of one that has a URL, wait a little for the first attempt.

        Tools written by hand need no document, and are there before it is.
        """
        if self._config.tools and self._source.given:
            self._show(*await asyncio.to_thread(self._made, None))
        if self._source.remote:
            await self._refresher.start(self._config.start_grace)
        else:
            await self._load()

    async def stop(self) -> None:
        """End everything."""
        await self._refresher.stop()
        self._source.close()
        self._client.close()
        await self._calls.close()

    async def refresh(self) -> None:
        """Read the document again; one that has a URL is asked for soon."""
        if self._source.remote:
            await super().refresh()
        else:
            await self._load()

    # --- the document -----------------------------------------------------------------------------

    async def _look(self) -> float:
        fine, most = await self._load(), self._config.refresh_seconds
        self._pause = most if fine else min(self._pause * 2, most, 60.0)
        return self._pause

    async def _load(self) -> bool:
        """Read the document, if it has changed; whether that went well. What was known stays otherwise."""
        try:
            document = await self._source.read()
            await self._take(document)
        except Refused as refusal:
            away = refusal.code in (UPSTREAM_UNAVAILABLE, UPSTREAM_TIMEOUT) and not self._config.tools
            state = State.UNAVAILABLE if away else State.DEGRADED
            self._refresher.set(state, f"document: {reason_of(refusal)}")
            return False
        except Unfit as error:
            self._refresher.set(State.DEGRADED, f"document: {error}")
            return False
        except Exception as error:
            self._host.log.error("document_failed", error=repr(error))
            self._refresher.set(State.DEGRADED, "internal error")
            return False
        return True

    async def _take(self, document: Document | None) -> None:
        """Make tools of a document and those written by hand.

        Raises:
            Unfit: It cannot be used.
        """
        if document is None and self._source.given:
            self._settle()  # unchanged since the last time
            return
        found, directory = await asyncio.to_thread(self._made, document)
        self._calls.take(placed(found.schemes, self._config))
        before = self.offer.tools
        self._show(found, directory)
        for place, pattern, hint in found.idle[:20]:
            self._host.log.warning("pattern_fits_nothing", key=place, pattern=pattern, hint=hint)
        for key, reason in found.skipped[:20]:
            self._host.log.warning("operation_left_out", operation=key, reason=reason)
        self._host.log.info("upstream_ready", tools=len(self.offer.tools), left_out=len(found.skipped))
        self._lack, self._loaded = found.lack, True
        self._settle(("tools",) if before != self.offer.tools else ())

    def _show(self, found: Tools, directory: Directory | None) -> None:
        self._tools, self._directory = found.tools, directory
        definitions = [tool.definition for tool in found.tools.values()]
        if directory is not None:
            definitions += directory.definitions
        self.offer = attrs.evolve(self.offer, tools=tuple(definitions))

    def _settle(self, changed: Collection[str] = ()) -> None:
        """The document was read: what came of it?"""
        if self._lack:
            self._refresher.set(State.DEGRADED, f"document: {self._lack}", changed)
        else:
            self._refresher.set(State.READY, "", changed)

    def _made(self, document: Document | None) -> tuple[Tools, Directory | None]:
        config = self._config
        directory: Directory | None = None
        tools: dict[str, Tool] = {}
        schemes: Mapping[str, Json] = {}
        skipped: tuple[tuple[str, str], ...] = ()
        lack = ""
        idle: tuple[tuple[str, str, str], ...] = ()
        if document is not None:
            idle = tuple(idle_patterns(document, config))
            settings = {key: one for key, one in config.operations.items() if key not in config.tools}
            own = attrs.evolve(config, operations=settings)
            if config.mode == "search":
                lot = Lot(document, own, config.openapi)
                directory = Directory(document, lot, self._calls, self._host.log)
                schemes = lot.schemes
                skipped = tuple((".".join(place), reason) for place, reason in mistakes_in(lot))
                lack = lot.lack(skipped, made=bool(lot.operations))
            else:
                found = tools_of(document, own, config.openapi)
                tools, schemes, skipped = dict(found.tools), found.schemes, found.skipped
                lack = found.lack
            self._source.settle(document)
        for name, tool in config.tools.items():
            settings = {key: one for key, one in config.operations.items() if key == name}
            own = attrs.evolve(config, **_NO_DOCUMENT, operations=settings)
            found = tools_of(by_hand(name, tool), own)
            skipped += found.skipped
            for made, one in found.tools.items():
                if made in tools or (directory is not None and made in directory.names):
                    skipped += ((f"tools.{name}", f"the document has an operation {made!r} too"),)
                else:
                    tools[made] = one
        return Tools(tools, schemes, skipped, lack, idle), directory

    # --- calls ------------------------------------------------------------------------------------

    async def probe(self) -> None:
        """See whether the API can be connected to.

        Raises:
            Refused: 50300: it cannot.
        """
        origins = {tool.base.split("/", 3)[2]: tool.base for tool in self._tools.values()}
        for base in list(origins.values())[:1]:
            scheme, _, rest = base.partition("://")
            request = Request("HEAD", f"{scheme}://{rest.partition('/')[0]}", "/", {}, None)
            try:
                await self._client.send(request)
            except Refused as refusal:
                if refusal.code == UPSTREAM_UNAVAILABLE:
                    raise

    async def send(self, exchange: Exchange, target: Target) -> Result:
        """Carry out a call of a tool. Its deadline is the caller's to keep, by cancelling.

        Raises:
            Refused: -32602 for an unknown tool or an argument that cannot be sent, or one of Portico's codes.
        """
        if exchange.method != "tools/call":
            raise Refused(METHOD_NOT_FOUND, "Method not found")
        if target.name not in self._tools and not self._refresher.settled.is_set():
            await self._refresher.settled.wait()
        if self._directory is not None and target.name in self._directory.names:
            return await self._directory.send(exchange, target.name)
        tool = self._tools.get(target.name)
        if tool is None:
            raise self._unknown(exchange, target.name)
        return await self._calls.send(exchange, tool)

    def _unknown(self, exchange: Exchange, name: str) -> Refused:
        if self.offer.tools and self._loaded:
            return Refused(INVALID_PARAMS, f"Unknown tool: {name[:64]}")
        return unavailable(self._host.name, "no_document", exchange)
