"""One A2A agent over HTTP: its JSON-RPC and HTTP+JSON bindings and its card.

Whoever gets here has been let in: the entrance in front has judged host, origin, size and credentials, and
put into the ASGI scope whose request it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import attrs
import msgspec
from a2a.auth.user import User
from a2a.extensions.common import HTTP_EXTENSION_HEADER, get_requested_extensions
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers.request_handler import RequestHandler
from a2a.server.request_handlers.response_helpers import agent_card_to_dict
from a2a.server.routes import ServerCallContextBuilder, create_jsonrpc_routes, create_rest_routes
from a2a.types import AgentCard
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from portico.api import Principal

REST: Final = "/rest"
CARD: Final = "/.well-known/agent-card.json"

VISIT: Final = "portico.a2a.visit"
"""Where in the ASGI scope the `Visit` is."""

_KEPT: Final = 8
"""Cards whose text is kept for the next request."""

VERSION: Final = "a2a-version"


@attrs.frozen(eq=False)
class Visit:
    """Whose request it is, and what of it the SDK does not pass on.

    Attributes:
        principal: Who is calling; None for a stranger, who may see no more than the public card.
        headers: The inbound ones, names in lower case.
        base: How URLs of this gateway begin for this client, without a slash at the end.
        message: The A2A message as it was sent, decoded exactly (protobuf knows no integers in JSON values);
            None where there is none, or it came otherwise.
        peer: The address and port of the client, as far as they are known.
        forwarded: Whether another worker asks on behalf of its client.
    """

    principal: Principal | None
    headers: Mapping[str, str]
    base: str = ""
    message: Any = None
    peer: tuple[str, int] | None = None
    forwarded: bool = False


class Caller(User):
    """A visitor as the SDK knows users."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit

    @property
    def is_authenticated(self) -> bool:
        """Whether the gateway knows who it is: it does, but for strangers."""
        return self.visit.principal is not None

    @property
    def user_name(self) -> str:
        """What tells principals apart."""
        return self.visit.principal.key if self.visit.principal is not None else ""


Card = Callable[[Visit], Awaitable[AgentCard]]
"""The public card, as a visitor may see it; may raise `Refused`."""


def context_of(visit: Visit, version: str | None = None, extensions: Sequence[str] = ()) -> ServerCallContext:
    """What an SDK handler is told of a request.

    Args:
        visit: Whose request it is.
        version: The protocol version it says.
        extensions: Lines of the extensions header.
    """
    headers = {name: value for name, value in visit.headers.items() if name != VERSION}
    if version:
        headers[VERSION] = version
    state = {"headers": headers}
    return ServerCallContext(
        user=Caller(visit), state=state, requested_extensions=get_requested_extensions(list(extensions))
    )


def visit_of(context: ServerCallContext) -> Visit:
    """Whose request a handler serves."""
    user = context.user
    assert isinstance(user, Caller)
    return user.visit


def caller_of(context: ServerCallContext) -> Principal:
    """Which principal's request a handler serves."""
    principal = visit_of(context).principal
    assert principal is not None  # strangers only get cards
    return principal


class Contexts(ServerCallContextBuilder):
    """Makes what handlers are told, of what the entrance has found out."""

    def build(self, request: Request) -> ServerCallContext:
        """The context of a request; the version may stand in the query, too (A2A 3.6.1)."""
        version = request.headers.get(VERSION) or request.query_params.get("A2A-Version")
        return context_of(request.scope[VISIT], version, request.headers.getlist(HTTP_EXTENSION_HEADER))


def agent_routes(
    handler: RequestHandler, card: Card, path: str, *, compat: bool = False, max_age: int = 60
) -> Sequence[BaseRoute]:
    """The routes of one agent: JSON-RPC at `path`, HTTP+JSON at `path/rest`, and the card below `path`.

    Args:
        handler: Carries out operations; it finds the `Visit` by `visit_of(context)`.
        card: Gives the public card.
        path: Where the agent is, without a slash at the end.
        compat: Whether A2A 0.3 is spoken, too.
        max_age: For how many seconds clients may keep the card.
    """
    contexts, shown = Contexts(), Shown(max_age)

    async def public_card(request: Request) -> Response:
        visit: Visit = request.scope[VISIT]
        return shown.response(request, await card(visit), public=visit.principal is None)

    rest = create_rest_routes(handler, contexts, enable_v0_3_compat=compat, path_prefix=path + REST)
    return (
        Route(path + CARD, public_card, methods=["GET"]),
        *create_jsonrpc_routes(handler, path, contexts, enable_v0_3_compat=compat),
        *(route for route in rest if isinstance(route, Route)),  # and none for tenants: cards name none
    )


class Shown:
    """Cards as they are sent.

    Args:
        max_age: For how many seconds clients may keep a card.
    """

    def __init__(self, max_age: int) -> None:
        self._max_age = max_age
        self._texts: dict[
            int, tuple[AgentCard, bytes, str]
        ] = {}  # the card, too, so that its id stays its own

    def response(self, request: Request, card: AgentCard, *, public: bool) -> Response:
        """A card with what caches need to know; 304 for clients that have this one (A2A 8.6).

        Args:
            request: For its `If-None-Match`.
            card: What is to be shown; it does not change any more.
            public: Whether everybody gets this one.
        """
        _, text, tag = self._texts.get(id(card)) or self._made(card)
        headers = {
            "etag": tag,
            "cache-control": f"{'public' if public else 'private'}, max-age={self._max_age}",
            "vary": "Authorization",
        }
        known = {each.strip() for each in request.headers.get("if-none-match", "").split(",")}
        if "*" in known or tag in known or tag.removeprefix("W/") in known:
            return Response(status_code=304, headers=headers)
        return Response(text, headers=headers, media_type="application/json")

    def _made(self, card: AgentCard) -> tuple[AgentCard, bytes, str]:
        shown = agent_card_to_dict(card)
        text = msgspec.json.encode(shown)
        shown.pop("signatures", None)  # those of one and the same card may differ each time
        digest = hashlib.sha256(msgspec.json.encode(shown, order="sorted")).hexdigest()[:32]
        made = self._texts[id(card)] = card, text, f'W/"{digest}"'
        if len(self._texts) > _KEPT:
            del self._texts[next(iter(self._texts))]
        return made
