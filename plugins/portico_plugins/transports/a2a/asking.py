"""What a tool wants to know from its user, as an interrupted task; and the answer in the next message."""

from __future__ import annotations

from typing import Any, Final

from a2a.types import Part, TaskState
from a2a.utils.errors import InvalidParamsError

from portico.api import Json
from portico_plugins.transports.a2a.values import data_part, text_part
from portico_plugins.transports.a2a.wanted import Said

_ACTIONS: Final = ("accept", "decline", "cancel")


class Questions:
    """What one call has asked together.

    Args:
        requests: Key -> `{"method", "params"}`, as MCP has them.
    """

    def __init__(self, requests: Json) -> None:
        self._requests = requests

    @property
    def unfit(self) -> str:
        """Why they cannot be put to an A2A client; "" if they can."""
        for request in self._requests.values():
            method = request.get("method") if isinstance(request, dict) else None
            if method != "elicitation/create":
                return f"The tool asked for {method}, which an A2A client cannot be asked"
        return "" if self._requests else "The tool asked for nothing"

    @property
    def state(self) -> TaskState:
        """What the task waits for: that its user goes somewhere, or an answer."""
        modes = {self._params(key).get("mode", "form") for key in self._requests}
        return TaskState.TASK_STATE_AUTH_REQUIRED if modes == {"url"} else TaskState.TASK_STATE_INPUT_REQUIRED

    @property
    def parts(self) -> list[Part]:
        """The questions: for a person as text, for a program as JSON with the schema of the answer.

        The schema of a single form stands beside it, too: that is where an `a2a` upstream looks for one.
        """
        texts = [str(self._params(key).get("message", "")) for key in self._requests]
        texts += [str(self._params(key)["url"]) for key in self._requests if "url" in self._params(key)]
        data: Json = {"inputRequests": self._requests}
        if len(self._requests) == 1 and self.state == TaskState.TASK_STATE_INPUT_REQUIRED:
            key = next(iter(self._requests))
            data["requestedSchema"] = self._params(key).get("requestedSchema", {})
            if not self._fields(key):
                texts.append("Answer with accept, decline or cancel.")
        text = "\n".join(filter(None, texts)) or "The tool needs an answer."
        return [text_part(text), data_part(data)]

    def answered_by(self, said: Said) -> Json:
        """The answers in a message, by the keys of the questions.

        `{"inputResponses": {key: {"action", "content"}}}` answers any number of questions. One question is
        answered by `{"action", "content"}`, by the content alone, or, if it is for one string, by plain text.
        In any other form `decline` and `cancel` are plain text enough, and `accept` where there is nothing to
        fill in; that something was done at a URL, is told by anything.

        Raises:
            InvalidParamsError: It answers something else.
        """
        if len(said.data) > 1:
            raise InvalidParamsError("An answer is one data part, or text")
        keys = list(self._requests)
        given: Any = said.data[0] if said.data else None
        if isinstance(given, dict) and "inputResponses" in given:
            answers = given["inputResponses"]
            if not isinstance(answers, dict) or not set(keys) <= answers.keys():
                raise InvalidParamsError(_expected(keys))
            return {key: self._answer(key, answers[key]) for key in keys}
        if self.state == TaskState.TASK_STATE_AUTH_REQUIRED and given is None:
            return {key: {"action": "accept"} for key in keys}
        if len(keys) != 1:
            raise InvalidParamsError(_expected(keys))
        if given is not None:
            return {keys[0]: self._answer(keys[0], given)}
        return {keys[0]: self._told(keys[0], said.text)}

    def _params(self, key: str) -> Json:
        params = self._requests[key].get("params")
        return params if isinstance(params, dict) else {}

    def _answer(self, key: str, given: Any) -> Json:
        if not isinstance(given, dict):
            raise InvalidParamsError(f"The answer to {key} is no object")
        if given.get("action") in _ACTIONS and given.keys() <= {"action", "content"}:
            content = given.get("content")
            if content is not None and not isinstance(content, dict):
                raise InvalidParamsError(f"The content of the answer to {key} is no object")
            return given
        return {"action": "accept", "content": given}

    def _told(self, key: str, text: str) -> Json:
        """What plain text answers."""
        fields, word = self._fields(key), text.strip().lower()
        if text and len(fields) == 1:
            name, of = next(iter(fields.items()))
            if isinstance(of, dict) and of.get("type") == "string":
                return {"action": "accept", "content": {name: text}}
        if word in ("decline", "cancel"):
            return {"action": word}
        if word == "accept" and not fields:
            return {"action": word, "content": {}}
        raise InvalidParamsError('Expected a data part {"action": "accept", "content": {...}}')

    def _fields(self, key: str) -> Json:
        schema = self._params(key).get("requestedSchema")
        fields = schema.get("properties") if isinstance(schema, dict) else None
        return fields if isinstance(fields, dict) else {}


def _expected(keys: list[str]) -> str:
    return f"Expected inputResponses with an answer for each of: {', '.join(keys)}"
