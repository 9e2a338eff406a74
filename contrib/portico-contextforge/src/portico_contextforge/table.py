"""Requests and answers, and how a request finds what carries it out."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote

import attrs
import msgspec
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from portico.api import Author, Host, Json, Principal
from portico_contextforge.catalog import Catalog
from portico_contextforge.errors import Trouble, invalid

if TYPE_CHECKING:
    from portico_contextforge import ContextForgeConfig
    from portico_contextforge.serving import Serving

_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_decode: Final = msgspec.json.Decoder().decode


@attrs.define(eq=False)
class Call:
    """One request, read and judged.

    Attributes:
        host: What the plugin was given.
        config: Its config.
        serving: Carries out MCP requests.
        principal: Who is calling.
        author: How changes of theirs are signed.
        scope: The ASGI scope.
        headers: By name in lower case.
        parts: The variable parts of its path.
        raw: The body.
    """

    host: Host
    config: ContextForgeConfig
    serving: Serving
    principal: Principal
    author: Author
    scope: Scope
    headers: Mapping[str, str]
    parts: Sequence[str]
    raw: bytes
    _catalog: Catalog | None = None
    _query: Mapping[str, Sequence[str]] | None = None

    @property
    def ident(self) -> str:
        """The first variable part of its path."""
        return self.parts[0]

    @property
    def catalog(self) -> Catalog:
        """What there is, as of the first time this is asked for; see `changed`."""
        if self._catalog is None:
            endpoints = self.host.wiring.endpoints
            self._catalog = Catalog(self.host.management, endpoints, self.config.names)
        return self._catalog

    def changed(self) -> Catalog:
        """What there is now."""
        self._catalog = None
        return self.catalog

    def query(self, name: str) -> str | None:
        """A query parameter; those nobody asks about are ignored, as ContextForge ignores them."""
        if self._query is None:
            self._query = parse_qs(self.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        values = self._query.get(name)
        return values[-1] if values else None

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean query parameter."""
        text = self.query(name)
        return default if text is None else text.strip().lower() in _TRUE

    def words(self, name: str) -> list[str]:
        """A comma-separated query parameter."""
        return [word.strip() for word in (self.query(name) or "").split(",") if word.strip()]

    @property
    def json(self) -> Any:
        """The body, whatever its media type: curl's default is that of forms.

        Raises:
            Trouble: 422; it is not JSON.
        """
        try:
            return _decode(self.raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Trouble(
                422, [{"type": "json_invalid", "loc": ["body"], "msg": f"JSON decode error: {error}"}]
            ) from None

    def fields(self, wrapper: str = "") -> Json:
        """The members of the body in snake case, those of its wrapper with them.

        Args:
            wrapper: The member that creates may wrap their fields in.

        Raises:
            Trouble: 422.
        """
        body = self.json
        if not isinstance(body, dict):
            raise invalid([("", "expected an object")])
        if wrapper and isinstance(body.get(wrapper), dict):
            beside = {key: value for key, value in body.items() if key != wrapper and value is not None}
            body = {**beside, **body[wrapper]}
        return {snake(key): value for key, value in body.items()}


@attrs.frozen
class Answer:
    """What a request is answered; `value` is any JSON value."""

    value: Any
    status: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict)


Handler = Callable[[Call], Awaitable[Answer]]


@attrs.frozen
class Operation:
    """One method of one path.

    Attributes:
        method: The HTTP method.
        path: `{}` stands for one part, a `{*}` at the end for all that is left.
        handler: Carries it out.
        open: Whether anybody may ask; else it is for those who may manage the gateway.
        serves: Whether it is rather for the clients of a virtual server, which says who they are.
    """

    method: str
    path: str
    handler: Handler
    open: bool = False
    serves: bool = False

    @property
    def parts(self) -> list[str]:
        """The parts of its path."""
        return self.path.strip("/").split("/")


def parts_of(scope: Scope) -> list[str]:
    """The parts of a request's path, decoded, without a `v1` before them or a slash after them."""
    raw = scope.get("raw_path") or scope["path"].encode()
    parts = raw.decode("latin-1").partition("?")[0].strip("/").split("/")
    if parts[0] == "v1" and len(parts) > 1:
        parts = parts[1:]
    return [unquote(part) for part in parts]


def find(operations: Sequence[Operation], method: str, parts: Sequence[str]) -> tuple[Operation, list[str]]:
    """The operation a request is for, and the variable parts of its path.

    Raises:
        Trouble: 404; 405 with `Allow`.
    """
    fitting = [(each, found) for each in operations if (found := _fit(each.parts, parts)) is not None]
    wanted = "GET" if method == "HEAD" else method
    mine = [(each, found) for each, found in fitting if each.method == wanted]
    if mine:
        return min(mine, key=lambda pair: _rank(pair[0].path))
    if not fitting:
        raise Trouble(404, "Not Found")
    allow = sorted({each.method for each, _ in fitting})
    raise Trouble(405, "Method Not Allowed", {"allow": ", ".join(allow)})


def _rank(path: str) -> tuple[bool, int, int]:
    """The paths that say more come first."""
    return path.endswith("{*}"), path.count("{"), -len(path)


def _fit(wanted: Sequence[str], parts: Sequence[str]) -> list[str] | None:
    if wanted[-1] == "{*}" and len(parts) >= len(wanted):
        at = len(wanted) - 1
        parts = [*parts[:at], "/".join(parts[at:])]
    if len(wanted) != len(parts):
        return None
    found: list[str] = []
    for expected, part in zip(wanted, parts, strict=True):
        if expected.startswith("{") and part:
            found.append(part)
        elif expected != part:
            return None
    return found


def snake(name: str) -> str:
    """A member's name in snake case."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: f"_{match[1].lower()}", name)


class HeadRoute(BaseRoute):
    """Takes paths by their first parts, at the root and under `/v1`.

    Args:
        heads: The first parts that are ours.
        app: The application. It sees the whole path.
    """

    leftover = True
    """Other transports have paths below the same heads: `/servers/NAME/sse` and the like."""

    def __init__(self, heads: Collection[str], app: ASGIApp) -> None:
        self._heads = heads
        self._app = app

    def matches(self, scope: Scope) -> tuple[Match, dict[str, Any]]:
        """Whether a request is for us."""
        mine = scope["type"] == "http" and parts_of(scope)[0] in self._heads
        return (Match.FULL, {}) if mine else (Match.NONE, {})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        await self._app(scope, receive, send)
