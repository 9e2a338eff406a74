"""What an agent has to read: its card, and files of its answers that were too large for a result."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

import msgspec

from portico.api import INVALID_PARAMS, Exchange, Json, Refused, Result

from .agent import Agent
from .card import Card
from .handles import Handles
from .operations import Context
from .outcome import Outcome

_HIDDEN: Final = ("supportedInterfaces", "signatures")
"""Of a card: where the agent is, which is the gateway's to know, and what is void without that."""
_ARTIFACT: Final = re.compile(r"a2a://[^/]+/tasks/([^/]{1,400})/artifacts/([^/]{1,256})/([0-9]{1,6})")
_JSON: Final = "application/json"


def card_uri(upstream: str) -> str:
    """What the card of an upstream goes by."""
    return f"a2a://{upstream}/agent-card.json"


def offered(upstream: str, card: Card) -> tuple[Json, ...]:
    """The resources of an agent."""
    name = str(card.json.get("name", ""))[:200]
    return (
        {
            "uri": card_uri(upstream),
            "name": f"{upstream}-agent-card",
            "title": f"Agent card of {name}",
            "description": str(card.json.get("description", ""))[:1000],
            "mimeType": _JSON,
        },
    )


def templates(upstream: str) -> tuple[Json, ...]:
    """The resource templates of an agent."""
    return (
        {
            "uriTemplate": f"a2a://{upstream}/tasks/{{taskId}}/artifacts/{{artifactId}}/{{part}}",
            "name": f"{upstream}-artifact",
            "description": "A file of an answer, as the link in that answer has it.",
        },
    )


class Reader:
    """Reads resources.

    Args:
        agent: Who has them.
        handles: Of the upstream.
        upstream: Its name.
    """

    def __init__(self, agent: Agent, handles: Handles, upstream: str) -> None:
        self._agent = agent
        self._handles = handles
        self._upstream = upstream

    async def read(
        self, exchange: Exchange, uri: str, card: Card, skills: Collection[str], context: Context
    ) -> Result:
        """Read one.

        Args:
            exchange: The request.
            uri: The resource's.
            card: The card.
            skills: The ids of those that are tools; no others are shown.
            context: Of requests to the agent.

        Raises:
            Refused: -32602: there is no such thing.
            Exception: What the SDK, or what is below it, raises.
        """
        if uri == card_uri(self._upstream):
            shown = {key: value for key, value in card.json.items() if key not in _HIDDEN}
            shown["skills"] = [each for each in card.json.get("skills", ()) if each.get("id", "") in skills]
            text = msgspec.json.encode(shown).decode()
            return Result(value={"contents": [{"uri": uri, "mimeType": _JSON, "text": text}]})
        found = _ARTIFACT.fullmatch(uri)
        task = self._handles.taken(exchange.principal, "task", found[1]) if found else None
        if found is None or task is None:
            raise _none()
        outcome = Outcome(paths=self._agent.paths)
        outcome.take_task(await self._agent.task(task, context))
        parts = outcome.artifacts.get(found[2], {}).get("parts", [])
        if int(found[3]) >= len(parts) or "raw" not in parts[int(found[3])]:
            raise _none()
        part = parts[int(found[3])]
        media_type = part.get("mediaType") or "application/octet-stream"
        contents = {"uri": uri, "mimeType": media_type, "blob": part["raw"]}
        return Result(value={"contents": [contents]})


def _none() -> Refused:
    return Refused(INVALID_PARAMS, "Resource not found")
