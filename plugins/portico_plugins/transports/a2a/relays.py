"""The agents behind one virtual server, each at `/a2a/{server}/agents/{upstream}`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
from a2a.server.request_handlers.request_handler import RequestHandler
from a2a.types import AgentCard
from starlette.routing import Router
from starlette.types import ASGIApp

from portico.api import Endpoint, Log
from portico_plugins.transports.a2a.bindings import Visit, agent_routes
from portico_plugins.transports.a2a.cards import Ways, interfaces_of, secure, without_odd_links
from portico_plugins.transports.a2a.guarded import Guarded
from portico_plugins.transports.a2a.relay import AGENTS, RelayedAgent


@attrs.frozen(eq=False)
class Relayed:
    """One agent, as it is served.

    Attributes:
        handler: Carries out its operations.
        app: Serves it over HTTP.
    """

    handler: RequestHandler
    app: ASGIApp


class Relays:
    """Serves the agents behind one virtual server; each is made when it is first asked for.

    Args:
        endpoint: The virtual server.
        path: Where that is an agent itself.
        ways: How an agent at a path is reached by a visitor: `(visit, path, tenant)`.
        scheme: Gives the HTTP authentication scheme that clients need, "" for none.
        signed: Signs a card as the gateway, if that does so.
        log: The plugin's.
        not_found: Serves what is nowhere.
        compat: Whether A2A 0.3 is spoken, too.
        max_age: For how many seconds clients may keep a card.
        stream_seconds: How long a stream may last.
        offered: Whether there are any.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        path: str,
        ways: Callable[[Visit, str, str], Ways],
        scheme: Callable[[], Awaitable[str]],
        signed: Callable[[AgentCard, Visit], AgentCard],
        log: Log,
        not_found: ASGIApp,
        *,
        compat: bool,
        max_age: int,
        stream_seconds: float,
        offered: bool = True,
    ) -> None:
        self._endpoint = endpoint
        self._path = path + AGENTS
        self._ways = ways
        self._scheme = scheme
        self._signed = signed
        self._log = log
        self._not_found = not_found
        self._compat = compat
        self._max_age = max_age
        self._stream_seconds = stream_seconds
        self._offered = offered
        self._made: dict[str, Relayed] = {}

    def base_of(self, path: str) -> str:
        """Where the agent is that a path leads to, "" where it leads to none."""
        if not path.startswith(self._path):
            return ""
        return self._path + path[len(self._path) :].partition("/")[0]

    def at(self, path: str) -> ASGIApp | None:
        """What serves a path, if it is one of an agent's; who is not there is not found."""
        base = self.base_of(path)
        if not base:
            return None
        found = self.find(base.removeprefix(self._path))
        return found.app if found is not None else self._not_found

    def find(self, name: str) -> Relayed | None:
        """An agent by its name, if the virtual server may have one of that name."""
        if not self._offered or name not in self._endpoint.view.upstreams:
            self._made.pop(name, None)
            return None
        found = self._made.get(name)
        if found is None:
            found = self._made[name] = self._make(name)
        return found

    def _make(self, name: str) -> Relayed:
        path = self._path + name

        async def shown(card: AgentCard, visit: Visit) -> AgentCard:
            """The card with our URLs and our way to authenticate, signed by us if by anybody."""
            made = AgentCard()
            made.CopyFrom(card)
            del made.supported_interfaces[:]
            del made.signatures[:]
            ways = self._ways(visit, path, f"{self._endpoint.name}{AGENTS}{name}")
            made.supported_interfaces.extend(interfaces_of(ways))
            secure(made, await self._scheme())
            for skill in made.skills:
                del skill.security_requirements[:]
            without_odd_links(made)
            return self._signed(made, visit)

        agent = RelayedAgent(self._endpoint, name, shown, self._stream_seconds)

        async def public_card(visit: Visit) -> AgentCard:
            assert visit.principal is not None  # strangers do not get here
            return await shown(await agent.card(visit.principal, visit.headers), visit)

        handler = Guarded(agent, self._log)
        routes = agent_routes(handler, public_card, path, compat=self._compat, max_age=self._max_age)
        return Relayed(handler, Router(routes, default=self._not_found, redirect_slashes=False))
