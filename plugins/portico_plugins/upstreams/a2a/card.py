"""The card of an agent: fetched if it has changed, taken apart, and verified where that is asked for."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Final

import attrs
import msgspec
from a2a.client.card_resolver import parse_agent_card
from a2a.types import AgentCard

from portico.api import Host, Json
from portico_plugins.a2a.protojson import to_json
from portico_plugins.http1 import Answer, Unusable

from .config import A2aConfig
from .headers import Headers
from .interfaces import Interface, NoInterface, chosen
from .web import Web

_WELL_KNOWN: Final = "/.well-known/agent-card.json"
_BEFORE: Final = "/.well-known/agent.json"
"""Where cards were before 0.3."""
_MAX_AGE: Final = re.compile(r"(?:^|[,\s])max-age=\"?([0-9]{1,9})", re.IGNORECASE)
_FRESH: Final = (30.0, 86_400.0)
"""The least and the most seconds that a card is believed to hold."""


class BadCard(Exception):
    """The card is of no use; says why, in one word and perhaps more in parentheses."""


class Unsigned(BadCard):
    """A card has no signature of a signer."""


@attrs.frozen
class Card:
    """A card that can be used.

    Attributes:
        message: As the SDK has it.
        json: Its ProtoJSON, in the form of 1.0.
        interface: How the agent is reached.
    """

    message: AgentCard
    json: Json
    interface: Interface


class Cards:
    """Fetches the card of one agent.

    Args:
        config: Of the upstream.
        host: Its host.
        web: Sends requests.
        headers: Those of a request.

    Attributes:
        fresh: Seconds that the last answer holds, None when it did not say.
    """

    def __init__(self, config: A2aConfig, host: Host, web: Web, headers: Headers) -> None:
        self.fresh: float | None = None
        self._config = config
        self._host = host
        self._web = web
        self._headers = headers
        self._etag = b""
        base = config.url.rstrip("/")
        self._urls = [config.url] if base.endswith(".json") else [base + _WELL_KNOWN, base + _BEFORE]

    def forget(self) -> None:
        """What was fetched last is not in use: it has to come whole the next time."""
        self._etag = b""

    async def fetch(self) -> Card | None:
        """The card; None when it has not changed.

        Raises:
            HttpError: It could not be had.
            BadCard: It is of no use.
            Refused: The credential gives something that cannot be sent.
            TimeoutError: It did not come in time.
        """
        async with asyncio.timeout(self._config.connect_timeout):
            answer = await self._asked(self._urls[0])
            if answer.status == 404 and len(self._urls) > 1:
                answer = await self._asked(self._urls[1])
        self.fresh = _freshness(answer)
        if answer.status == 304 and self._etag:
            return None
        if answer.status in (401, 403):
            raise BadCard("upstream_unauthorized")
        if answer.status != 200:
            raise BadCard(f"no_card (HTTP {answer.status})")
        found = await asyncio.to_thread(_parsed, answer.body)
        made = to_json(found)
        if not made.get("name") or not isinstance(made.get("name"), str):
            raise BadCard("bad_card (it has no name)")
        try:
            interface = chosen(made, self._config)
        except NoInterface as error:
            raise BadCard(f"no_usable_interface ({error})") from None
        self._etag = answer.headers.get(b"etag", b"")[:256]
        return Card(found, made, interface)

    async def _asked(self, url: str) -> Answer:
        headers = [(b"Accept", b"application/json")]
        if self._etag:
            headers.append((b"If-None-Match", self._etag))
        given = await self._headers.of(None)
        answer = await self._got(url, headers, given)
        if answer.status == 401:
            other = await self._headers.renewed(given)
            if other is not None:
                answer = await self._got(url, headers, other)
        if answer.stream:
            answer.close()
            raise Unusable("wrong_content_type")
        return answer

    async def _got(self, url: str, headers: list[tuple[bytes, bytes]], given: Mapping[str, str]) -> Answer:
        more = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in given.items()]
        return await self._web.send("GET", url, [*headers, *more], cap=self._config.max_card_bytes)


def _parsed(text: bytes) -> AgentCard:
    try:
        value = msgspec.json.decode(text)
        if not isinstance(value, dict):
            raise BadCard("bad_card (it is not an object)")
        return parse_agent_card(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadCard("bad_card (it is not JSON)") from None
    except BadCard:
        raise
    except Exception as error:
        # The SDK's reader of older cards trusts their shape, so that anything may come of others.
        raise BadCard(
            f"bad_card ({str(error).splitlines()[0][:200] if str(error) else 'malformed'})"
        ) from None


def _freshness(answer: Answer) -> float | None:
    said = answer.headers.get(b"cache-control", b"").decode("latin-1")
    found = _MAX_AGE.search(said)
    if found is None or "no-cache" in said.lower() or "no-store" in said.lower():
        return None
    return min(max(float(found[1]), _FRESH[0]), _FRESH[1])
