"""Tokens kept while they last: fetched once for all who wait, and replaced before they end."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Final

from portico.api import GATEWAY, Host, Principal
from portico_plugins.failures import unavailable
from portico_plugins.urls import url as check_url

from .oauth_config import ClientCredentialsConfig, is_guarded
from .oauth_server import NoToken, Token, TokenServer

_REST: Final = 1.0
"""Seconds after a failure in which a server is not asked again, however many calls there are."""
_PATIENCE: Final = 30.0
"""Seconds between two tokens that are replaced because an upstream does not like them: it may like none."""
_REMEMBERED: Final = 256
"""How many tokens before the last one are recognised, in hands that still have them."""
_MOST_FLOWS: Final = 256


class Grant:
    """The token of one client for one set of scopes, for everybody.

    Args:
        server: Gives tokens.
        url: Its token endpoint.
        scopes: What the token is to be good for.
        leeway: Seconds before its end from which it is replaced.
        host: The credential's host.
        work: Where what is done beside everything else is put, as long as it lasts.
    """

    def __init__(
        self,
        server: TokenServer,
        url: str,
        scopes: tuple[str, ...],
        leeway: float,
        host: Host,
        work: set[asyncio.Task[str]],
    ) -> None:
        self._server = server
        self._url = url
        self._scopes = scopes
        self._leeway = leeway
        self._host = host
        self._work = work
        self._token = ""
        self._ends = self._due = 0.0
        self._past: deque[int] = deque(maxlen=_REMEMBERED)
        self._patient = 0.0
        self._problem: NoToken | None = None
        self._again = 0.0
        self._fetching: asyncio.Task[str] | None = None

    async def headers(self, principal: Principal, upstream: str) -> Mapping[str, str]:
        """The token as a header.

        Raises:
            Refused: 50300: there is none to be had.
        """
        del principal
        try:
            return {"Authorization": f"Bearer {await self._current()}"}
        except NoToken as error:
            raise unavailable(upstream, error.reason, retryable=error.retryable) from None

    async def renewed(self, refused: Mapping[str, str], upstream: str) -> Mapping[str, str] | None:
        """Another token in place of one that an upstream did not take.

        Raises:
            Refused: 50300: there is none to be had.
        """
        used = next((value for name, value in refused.items() if name.lower() == "authorization"), "")
        token = used.removeprefix("Bearer ")
        if token and token == self._token:
            now = self._host.clock.monotonic()
            if now < self._patient:
                return None
            self._patient = now + _PATIENCE
            self._past.append(hash(token))
            self._token = ""
        elif hash(token) not in self._past:
            return None  # it was none of ours
        found = await self.headers(GATEWAY, upstream)
        return None if found["Authorization"] == used else found

    async def _current(self) -> str:
        now = self._host.clock.monotonic()
        if self._token and now < self._ends:
            if now >= max(self._due, self._again):
                self._fetch()  # whoever comes meanwhile uses the one there is
            return self._token
        if self._problem is not None and now < self._again:
            raise NoToken(self._problem.reason, self._problem.retryable)
        return await asyncio.shield(self._fetch())

    def _fetch(self) -> asyncio.Task[str]:
        """Have a token fetched, unless one is on its way."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetched())
            self._work.add(self._fetching)
            self._fetching.add_done_callback(self._over)
        return self._fetching

    async def _fetched(self) -> str:
        asked = self._host.clock.monotonic()
        try:
            token = await self._server.token(self._url, self._scopes)
        except NoToken as error:
            self._problem, self._again = error, self._host.clock.monotonic() + _REST
            raise
        self._take(token, asked)
        return token.text

    def _take(self, token: Token, asked: float) -> None:
        if self._token:
            self._past.append(hash(self._token))
        self._token, self._problem = token.text, None
        self._ends = asked + token.life
        self._due = self._ends - min(self._leeway, token.life / 2)

    def _over(self, task: asyncio.Task[str]) -> None:
        self._fetching = None
        self._work.discard(task)
        if not task.cancelled():
            task.exception()  # somebody was told, or nobody waited


class ClientCredentials:
    """A client of an authorization server, as a credential.

    Args:
        config: Its configuration.
        host: What the kernel offers.
    """

    def __init__(self, config: ClientCredentialsConfig, host: Host) -> None:
        self._config = config
        self._host = host
        self._server = TokenServer(config, host)
        self._grants: dict[tuple[str, tuple[str, ...]], Grant] = {}
        self._work: set[asyncio.Task[str]] = set()

    async def headers(self, principal: Principal, upstream: str) -> Mapping[str, str]:
        """The token as a header.

        Raises:
            Refused: 50300: there is none to be had.
        """
        try:
            grant = self.for_flow("", ())
        except ValueError as error:
            self._host.log.error("no_token_url", error=str(error))
            raise unavailable(upstream, "no_token_url", retryable=False) from None
        return await grant.headers(principal, upstream)

    async def renewed(self, refused: Mapping[str, str], upstream: str) -> Mapping[str, str] | None:
        """Another token in place of one that an upstream did not take.

        Raises:
            Refused: 50300: there is none to be had.
        """
        return await self.for_flow("", ()).renewed(refused, upstream) if self._config.token_url else None

    def for_flow(self, token_url: str, scopes: tuple[str, ...]) -> Grant:
        """The tokens for one part of an API: what the configuration says goes before what the API does.

        Raises:
            ValueError: Nobody says where tokens are had, or the API names what is no place for that.
        """
        config = self._config
        if not config.token_url:
            if not token_url:
                raise ValueError(f"set `token_url` of the credential {self._host.name!r}")
            check_url(None, None, token_url)
            if not token_url.isascii():
                raise ValueError("the token URL has characters that belong into no URL")
            if not (config.allow_http or is_guarded(token_url)):
                raise ValueError("the token URL is http://, and a secret is not sent there")
        key = (config.token_url or token_url, config.scopes or scopes)
        grant = self._grants.get(key)
        if grant is None:
            if len(self._grants) >= _MOST_FLOWS:
                self._grants.pop(next(iter(self._grants)))  # costs a token, at most
            grant = self._grants[key] = Grant(self._server, *key, config.leeway, self._host, self._work)
        return grant

    async def close(self) -> None:
        """Wait for nothing any more."""
        left = tuple(self._work)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
