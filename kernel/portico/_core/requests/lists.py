"""Answers from the catalog: discovery and lists, encoded once per view and era."""

from __future__ import annotations

from typing import Any, Final

from portico._core.catalog.union import told
from portico._core.catalog.view import View
from portico._core.contracts.auth import GATEWAY
from portico._core.contracts.exchange import Era, Exchange
from portico._core.contracts.json import Json
from portico._core.contracts.result import Result
from portico._core.errors import INVALID_PARAMS, METHOD_NOT_FOUND, Refused
from portico._core.protocol.eras import LIST_KINDS, MODERN_VERSIONS
from portico._core.protocol.jsonrpc import decode, encode
from portico._core.requests.shaping import server_info_member
from portico._core.seal import Seal, Unsealable

CURSOR_TTL: Final = 86_400.0


class Lists:
    """One virtual server's answers to lists and `server/discover`.

    Args:
        name: The server's name; cursors are bound to it.
        info: What it calls itself.
        instructions: The configured instructions; None for the upstreams' own.
        page_size: Items a page; 0 for all at once.
        private: Whether lists may differ between principals, so that nobody may share them.
        seal: For cursors.
    """

    def __init__(
        self, name: str, info: Json, instructions: str | None, page_size: int, private: bool, seal: Seal
    ) -> None:
        self._name = name
        self._seal = seal
        self._view: View | None = None
        self.change(info, instructions, page_size, private)

    def change(self, info: Json, instructions: str | None, page_size: int, private: bool) -> None:
        """Say something else of itself; see the class for what."""
        self._own_info = info
        self._instructions = instructions
        self._page_size = page_size
        self.private = private
        self._encoded: dict[tuple[str, Era], bytes] = {}
        self._introduce()

    def _introduce(self) -> None:
        """Work out what it calls itself."""
        other = self._view.info if self._view is not None else None
        self.info = self._own_info if other is None else other
        self.meta = server_info_member(self.info)

    @property
    def view(self) -> View:
        """The catalog's view of this server."""
        assert self._view is not None
        return self._view

    @view.setter
    def view(self, view: View) -> None:
        self._view = view
        self._encoded = {}
        self._introduce()

    @property
    def instructions(self) -> str:
        """What clients are told, "" for nothing."""
        return self.view.instructions if self._instructions is None else self._instructions

    def _hints(self) -> bytes:
        shared = self.view.public and not self.private
        return b'"ttlMs":%d,"cacheScope":"%s"' % (self.view.ttl_ms, b"public" if shared else b"private")

    def answer(self, exchange: Exchange) -> Result:
        """The answer to a list method or `server/discover`.

        Raises:
            Refused: -32601 when the server has no such capability, -32602 for a cursor that is not ours.
        """
        method, era = exchange.method, exchange.era
        if method == "server/discover":
            return Result(value=self.discover())
        if self.view.lacks(method):
            raise Refused(METHOD_NOT_FOUND, "Method not found")
        cursor = exchange.params.get("cursor")
        if cursor is None and not self._page_size:
            raw = self._encoded.get((method, era))
            if raw is None:
                raw = self._encoded[method, era] = self._page(method, era, 0, 0)
        else:
            start = 0 if cursor is None else self._position(method, cursor)
            raw = self._page(method, era, start, self._page_size)
        result = Result(raw=raw, era=era)
        result.shaped = raw
        return result

    def discover(self) -> Json:
        """The modern `DiscoverResult`."""
        out: Json = {
            "resultType": "complete",
            "supportedVersions": list(MODERN_VERSIONS),
            "capabilities": self.view.capabilities,
            **({"instructions": self.instructions} if self.instructions else {}),
            **decode(b"{" + self._hints() + b"}"),
            **decode(b"{" + self.meta + b"}"),
        }
        return out

    def initialize_result(self, version: str) -> Json:
        """The legacy `InitializeResult`."""
        return {
            "protocolVersion": version,
            "capabilities": told(self.view.capabilities, version),
            "serverInfo": self.info,
            **({"instructions": self.instructions} if self.instructions else {}),
        }

    def _page(self, method: str, era: Era, start: int, size: int) -> bytes:
        items = self.view.items[method]
        end = start + size if size else len(items)
        texts = [raw for _, raw in items[start:end]]
        if era is Era.LEGACY and method == "tools/list":
            texts = [_legacy_tool(raw, key in self.view.tasks) for key, raw in items[start:end]]
        members = [b'"%s":[%s]' % (LIST_KINDS[method].encode(), b",".join(texts))]
        if end < len(items):
            after = [self._name, method, items[end - 1][0], end]
            members.append(
                b'"nextCursor":"%s"' % self._seal.close("cursor", GATEWAY, after, CURSOR_TTL).encode()
            )
        if era is Era.MODERN:
            members = [b'"resultType":"complete"', *members, self._hints(), self.meta]
        return b"{" + b",".join(members) + b"}"

    def _position(self, method: str, cursor: Any) -> int:
        """Where the page after a cursor begins.

        The cursor holds on to the last item shown, so that a page is neither repeated nor lost when the
        catalog changes between two pages; if that item has gone, its old place has to do.
        """
        try:
            _, (server, of, last, index) = self._seal.open("cursor", GATEWAY, cursor)
        except Unsealable:
            raise Refused(INVALID_PARAMS, "Invalid params: the cursor is not valid") from None
        if (server, of) != (self._name, method):
            raise Refused(INVALID_PARAMS, "Invalid params: the cursor belongs to another list")
        items = self.view.items[method]
        if 0 < index <= len(items) and items[index - 1][0] == last:
            return int(index)
        for position, (key, _) in enumerate(items):
            if key == last:
                return position + 1
        return min(int(index), len(items))


def _legacy_tool(raw: bytes, tasks: bool) -> bytes:
    """A tool definition as legacy schemas allow it: an `outputSchema` describes an object or is left out.

    Args:
        raw: The definition.
        tasks: Whether clients of 2025-11-25 may ask for a task; nobody has to, whatever its server says.
    """
    if tasks:
        raw = raw[:-1] + b',"execution":{"taskSupport":"optional"}}'
    if b'"outputSchema"' not in raw:
        return raw
    tool: Json = decode(raw)
    schema = tool.get("outputSchema")
    if isinstance(schema, dict) and schema.get("type") == "object":
        return raw
    tool.pop("outputSchema", None)
    return encode(tool)
