"""OAuth client credentials grants (RFC 6749, 4.4): tokens fetched when needed and kept while they last."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import quote_plus, urlsplit

import msgspec

from portico.api import Clock, Refused
from portico_plugins.upstreams.failures import unavailable

from .client import Client
from .config import SchemeSettings
from .requests import Request
from .security import Additions

_PATIENCE: Final = 10.0
_EARLY: Final = 30.0
"""Seconds before its end from which a token is not used any more, or half its life."""
_LIFE: Final = 300.0
"""Seconds a token is taken to last that does not say."""
_TOKEN: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")


class _Answer(msgspec.Struct):
    access_token: str
    token_type: str = "Bearer"  # noqa: S105  (a kind of token)
    expires_in: float = _LIFE


class Grant:
    """The token of one client, for all calls.

    Args:
        settings: With `token_url`, `client_id` and `client_secret`.
        client: Sends requests, to judged addresses only.
        clock: Time.
        upstream: The upstream's name, for failures.
    """

    def __init__(self, settings: SchemeSettings, client: Client, clock: Clock, upstream: str) -> None:
        self._settings = settings
        self._client = client
        self._clock = clock
        self._upstream = upstream
        self._lock = asyncio.Lock()
        self._token = ""
        self._until = 0.0

    def forget(self, token: str) -> None:
        """The API did not take a token: have another the next time."""
        if token == self._token:
            self._token = ""

    async def addition(self, request_id: str) -> tuple[Additions, Callable[[], None]]:
        """What to add to a request, and what to call when that was not accepted.

        Raises:
            Refused: 50300: there is no token to be had.
        """
        async with self._lock:  # one of many calls asks
            if not self._token or self._clock.monotonic() >= self._until:
                await self._fetch(request_id)
            token = self._token
        return Additions({"Authorization": f"Bearer {token}"}), lambda: self.forget(token)

    async def _fetch(self, request_id: str) -> None:
        settings = self._settings
        secret = settings.client_secret.reveal() if settings.client_secret is not None else ""
        pair = f"{quote_plus(settings.client_id)}:{quote_plus(secret)}".encode()
        body = "grant_type=client_credentials"
        if settings.scopes:
            body += f"&scope={quote_plus(' '.join(settings.scopes))}"
        headers = {
            "authorization": ("Authorization", f"Basic {base64.b64encode(pair).decode()}"),
            "content-type": ("Content-Type", "application/x-www-form-urlencoded"),
            "accept": ("Accept", "application/json"),
        }
        parts = urlsplit(settings.token_url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        request = Request("POST", f"{parts.scheme}://{parts.netloc}", target, headers, body.encode())
        try:
            async with asyncio.timeout(_PATIENCE):
                answer = await self._client.send(request, request_id)
        except (Refused, TimeoutError):
            raise unavailable(self._upstream, "token_unavailable", request_id) from None
        if answer.status != 200:
            raise unavailable(self._upstream, "token_refused", request_id, retryable=answer.status >= 500)
        try:
            found = msgspec.json.decode(answer.body, type=_Answer)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise unavailable(self._upstream, "bad_token_answer", request_id, retryable=False) from None
        if found.token_type.lower() != "bearer" or not _TOKEN.fullmatch(found.access_token):
            raise unavailable(self._upstream, "bad_token_answer", request_id, retryable=False)
        self._token = found.access_token
        self._until = self._clock.monotonic() + max(found.expires_in - _EARLY, found.expires_in / 2)
