"""One virtual server as an A2A agent over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Final

import attrs
from a2a.types import AgentCard
from starlette.responses import Response
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from portico.api import (
    FORWARDED,
    Challenge,
    Credentials,
    Endpoint,
    Id,
    Json,
    Log,
    Principal,
    Refused,
    Reply,
    error_frame,
)
from portico_plugins.transports.a2a.agent import ToolAgent
from portico_plugins.transports.a2a.bindings import CARD, REST, VERSION, VISIT, Visit, agent_routes
from portico_plugins.transports.a2a.bodies import Unread, params_in, rest_error
from portico_plugins.transports.a2a.cards import Ways, card_of
from portico_plugins.transports.a2a.guarded import Guarded
from portico_plugins.transports.a2a.handles import is_elsewhere
from portico_plugins.transports.a2a.inside import answer_inside
from portico_plugins.transports.a2a.kept import Kept
from portico_plugins.transports.a2a.relays import Relays
from portico_plugins.transports.a2a.signing import Signer
from portico_plugins.transports.a2a.table import Bounds, Table
from portico_plugins.transports.a2a.tools import pages_of, tools_in
from portico_plugins.transports.a2a.webhooks import Delivery, Webhooks
from portico_plugins.transports.over_http.entrance import Entrance
from portico_plugins.transports.over_http.fields import Fields
from portico_plugins.transports.over_http.wire import JSON, Raw, send_problem

BEFORE: Final = "/a2a/"

_UNTYPED: Final = "Expected Content-Type: application/json or application/a2a+json, not encoded"
_UNTYPED_INFO: Final = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "CONTENT_TYPE_NOT_SUPPORTED",
    "domain": "a2a-protocol.org",
}
_UNTYPED_REST: Final = rest_error(415, "INVALID_ARGUMENT", _UNTYPED, [_UNTYPED_INFO])
_UNTYPED_RPC: Final = error_frame(None, {"code": -32005, "message": _UNTYPED, "data": [_UNTYPED_INFO]})
_NOT_FOUND: Final = rest_error(404, "NOT_FOUND", "Not found")
_TYPES: Final = ("application/json", "application/a2a+json")
_KEPT: Final = (
    "type", "asgi", "http_version", "method", "scheme", "path", "query_string", "headers", "client", "server",
)  # fmt: skip


@attrs.frozen
class Manner:
    """How agents are served.

    Attributes:
        url: Where clients reach the gateway; "" for where they have reached it.
        bounds: How many tasks are remembered, and for how long.
        log_level: The least severe log messages that tasks pass on; "" for none.
        max_age: For how many seconds clients may keep a card.
        compat: Whether A2A 0.3 is spoken, too.
        signer: Signs cards; None if nobody does.
        delivery: How webhooks are told; None if there shall be none.
        grpc: `host:port` of the gRPC binding as clients reach it, "" for none.
        tenant: Which agent is meant there by a client that names none.
        stream_seconds: How long a stream from an agent behind may last.
        agents: Whether the agents behind are served.
    """

    url: str
    bounds: Bounds
    log_level: str
    max_age: int
    compat: bool
    signer: Signer | None = None
    delivery: Delivery | None = None
    grpc: str = ""
    tenant: str = ""
    stream_seconds: float = 3600.0
    agents: bool = True


@attrs.frozen(eq=False)
class Guest:
    """Whose request is being answered; None for a stranger."""

    principal: Principal | None
    credentials: Credentials
    reply: Reply


class AgentApp:
    """Serves one virtual server, and the agents behind it.

    Args:
        endpoint: The virtual server.
        manner: How it is served.
        log: The plugin's.
    """

    def __init__(self, endpoint: Endpoint, manner: Manner, log: Log) -> None:
        self.endpoint = endpoint
        self._hooks = Webhooks(manner.delivery, log) if manner.delivery is not None else None
        self.table = Table(endpoint, manner.bounds, manner.log_level, self._hooks, log)
        self._manner = manner
        self._log = log
        self._entrance = Entrance(endpoint, self._admitted, self._stranger)
        self._path = BEFORE + endpoint.name
        self._open: dict[asyncio.Task[None], Guest] = {}
        self._cards: Kept[AgentCard] = Kept()
        self._looking: asyncio.Task[None] | None = None
        agent = ToolAgent(endpoint, self._path, self.table, self.card, self._hooks)
        self.handler = Guarded(agent, log)
        self.relays = Relays(
            endpoint,
            self._path,
            self._ways,
            self._scheme,
            self._signed,
            log,
            _not_found,
            compat=manner.compat,
            max_age=manner.max_age,
            stream_seconds=manner.stream_seconds,
            offered=manner.agents,
        )
        routes = agent_routes(
            self.handler, self.card, self._path, compat=manner.compat, max_age=manner.max_age
        )
        self._router = Router(routes, default=_not_found, redirect_slashes=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request over ASGI."""
        await self._entrance.over_asgi(self.handle, scope, receive, send)

    def handle(self, scope: Scope, body: bytes, reply: Reply) -> None:
        """Serve one HTTP request whose body has come whole."""
        self._entrance.enter(scope, body, reply)

    def sweep(self) -> None:
        """Forget old tasks, and end answers to those who are welcome no more."""
        self.table.sweep()
        if self._open and (self._looking is None or self._looking.done()):
            self._looking = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        """Streams may last longer than the credentials of who reads them."""
        for task, guest in list(self._open.items()):
            if guest.principal is None:
                continue
            verdict = await self.endpoint.authenticate(guest.credentials)
            # A scheme that fails says nothing about the client.
            failed = isinstance(verdict, Challenge) and verdict.reason == "auth_error"
            if verdict != guest.principal and not failed:
                guest.reply.cut()
                task.cancel()

    def drain(self) -> None:
        """End what would hold up the gateway's end for nothing."""
        self.table.drain()

    def close(self) -> None:
        """End every task."""
        self.table.close()
        if self._hooks is not None:
            self._hooks.close()

    async def card(self, visit: Visit) -> AgentCard:
        """The card as a visitor may see it."""
        pages: Sequence[bytes] | None = None
        if visit.principal is not None:
            pages = await pages_of(self.endpoint, visit.principal, visit.headers)
        ways, scheme = self._ways(visit, self._path, self.endpoint.name), await self._scheme()

        def make() -> AgentCard:
            tools = None if pages is None else list(tools_in(pages).values())
            made = card_of(self.endpoint, tools, ways, scheme=scheme, push=self._hooks is not None)
            return self._signed(made, visit)

        lists = self.endpoint.lists
        listed = None if pages is None else [hashlib.sha256(page).digest() for page in pages]
        return self._cards.get((listed, ways, scheme, lists.info, lists.instructions), make)

    def _signed(self, card: AgentCard, visit: Visit) -> AgentCard:
        signer = self._manner.signer
        return card if signer is None else signer.sign(card, visit.base)

    def _ways(self, visit: Visit, path: str, tenant: str) -> Ways:
        manner = self._manner
        return Ways(visit.base + path, manner.compat, manner.grpc, "" if tenant == manner.tenant else tenant)

    async def _scheme(self) -> str:
        """How one has to authenticate here, by what is said to those who do not; "" if nobody has to."""
        verdict = await self.endpoint.authenticate(Credentials({}, "", self.endpoint.name))
        if isinstance(verdict, Principal):
            return ""
        said = (value for name, value in verdict.headers if name.lower() == "www-authenticate")
        return next(said, "Bearer").partition(" ")[0]

    # --- requests --------------------------------------------------------------------------------------

    def _stranger(self, raw: Raw, fields: Fields, challenge: Challenge, reply: Reply) -> bool:
        """Somebody without credentials may see the public card, and nothing else."""
        scope = raw[0]
        reads = scope["method"] in ("GET", "HEAD") and self._canonical(scope["path"]) == self._path + CARD
        if not reads or "authorization" in fields.headers:
            return False
        visit = Visit(None, fields.headers, self._base(scope, fields))
        self._serve(self._router, raw, visit, Guest(None, fields.credentials, reply))
        return True

    def _admitted(self, raw: Raw, fields: Fields, principal: Principal, reply: Reply) -> None:
        scope, body = raw
        path = self._canonical(scope["path"])
        at, router = self._at(path)
        below = path[len(at) + len(REST) + 1 :] if path.startswith(f"{at}{REST}/") else ""
        ident: Id = None
        params: Json = {}
        if scope["method"] == "POST" and body:
            media = fields.headers.get("content-type", "").partition(";")[0].strip().lower()
            if media not in _TYPES or fields.headers.get("content-encoding", "identity") != "identity":
                send_problem(reply, 415, _UNTYPED_REST if below else _UNTYPED_RPC)
                return
            try:
                # Clients of 0.3 know other methods: that those are not found would not tell them why.
                old = not self._manner.compat and fields.headers.get(VERSION, "0").startswith("0")
                depth = self.endpoint.depth_limit
                ident, params = params_in(body, rest=bool(below), depth=depth, old=old)
            except Refused as refusal:
                _send_unread(reply, refusal, rest=bool(below))
                return
        if router is self._router and is_elsewhere(
            self.endpoint, raw, below, params, ident, principal, reply
        ):
            return
        visit = Visit(
            principal,
            fields.headers,
            self._base(scope, fields),
            params.get("message"),
            scope.get("client"),
            FORWARDED in scope,
        )
        self._serve(router, raw, visit, Guest(principal, fields.credentials, reply))

    def _at(self, path: str) -> tuple[str, ASGIApp]:
        """Where the agent is that a path leads to, and what serves it."""
        relayed = self.relays.at(path)
        return (self._path, self._router) if relayed is None else (self.relays.base_of(path), relayed)

    def _base(self, scope: Scope, fields: Fields) -> str:
        return self._manner.url or f"{scope['scheme']}://{fields.headers.get('host', '')}"

    def _serve(self, router: ASGIApp, raw: Raw, visit: Visit, guest: Guest) -> None:
        scope = {key: raw[0][key] for key in _KEPT if key in raw[0]}
        scope["path"] = self._canonical(scope["path"])
        scope["raw_path"] = scope["path"].encode()
        scope[VISIT] = visit
        task = asyncio.get_running_loop().create_task(answer_inside(router, scope, raw[1], guest.reply))
        self._open[task] = guest
        task.add_done_callback(self._answered)
        guest.reply.on_gone = task.cancel

    def _answered(self, task: asyncio.Task[None]) -> None:
        del self._open[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("a2a.fault", exc_info=error)

    def _canonical(self, path: str) -> str:
        """Short paths stand for those of the server `default`; a slash at the end stands for nothing."""
        if not path.startswith(self._path):
            path = self._path + path.removeprefix("/a2a")
        return path.rstrip("/")


def _send_unread(reply: Reply, refusal: Refused, *, rest: bool) -> None:
    """Refuse what cannot be read, in the binding's own way."""
    if rest:
        reply.send(400, JSON, rest_error(400, "INVALID_ARGUMENT", refusal.message))
    else:
        ident = refusal.ident if isinstance(refusal, Unread) else None
        reply.send(200, JSON, error_frame(ident, refusal.body()))


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    await Response(_NOT_FOUND, 404, media_type="application/json")(scope, receive, send)
