"""What an agent asks for, as an elicitation; and what a client says to that, as a message."""

from __future__ import annotations

import uuid
from typing import Any, Final

from portico.api import Json

from .outcome import Outcome

_ANSWER: Final = "answer"
_ASKED: Final = "The agent needs more input."
_PRIMITIVE: Final = frozenset({"string", "number", "integer", "boolean"})
_MOST: Final = 4000


def question(outcome: Outcome) -> Json:
    """The params of an elicitation for a task that waits for input.

    What an agent wants to know it says in words. One that has a form for it can put that in a data part, as
    `requestedSchema`; then the fields of that are asked for.
    """
    words = outcome.words()[:_MOST] or _ASKED
    for part in outcome.said():
        data = part.get("data")
        schema = data.get("requestedSchema") if isinstance(data, dict) else None
        if _is_form(schema):
            return {"message": words, "requestedSchema": schema}
    answer: Json = {"type": "string", "title": "Answer"}
    return {
        "message": words,
        "requestedSchema": {"type": "object", "properties": {_ANSWER: answer}, "required": [_ANSWER]},
    }


def _is_form(schema: Any) -> bool:
    """Whether a schema is a form as MCP has them: an object of plain values."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return False
    properties = schema.get("properties")
    if not isinstance(properties, dict) or not properties:
        return False
    return all(isinstance(each, dict) and each.get("type") in _PRIMITIVE for each in properties.values())


def answered(params: Json, answer: Json) -> list[Json]:
    """The parts of the message that answers a question.

    Args:
        params: Of the elicitation.
        answer: Its result, which accepts.
    """
    content = answer.get("content")
    content = content if isinstance(content, dict) else {}
    if set(params["requestedSchema"]["properties"]) == {_ANSWER}:
        return [{"text": str(content.get(_ANSWER, ""))}]
    return [{"data": content, "mediaType": "application/json"}]


def visit(outcome: Outcome, url: str) -> Json:
    """The params of an elicitation for a task that waits for an authorization.

    Args:
        outcome: What has become of it.
        url: Where that is given.
    """
    words = outcome.words()[:_MOST] or "The agent needs an authorization."
    return {"mode": "url", "message": words, "url": url, "elicitationId": uuid.uuid4().hex}
