"""What a tool is called with as a message to the agent."""

from __future__ import annotations

import uuid
from typing import Any, Final

from portico.api import Json, Principal
from portico_plugins.a2a.parts import base64_of

from .config import A2aConfig
from .elsewhere import forbidden
from .handles import Handles

_KNOWN: Final = frozenset({"message", "data", "files", "contextId", "taskId", "referenceTaskIds"})
_MOST_FILES: Final = 64


class BadArguments(ValueError):
    """The arguments of a call are no message; says why."""


async def message_of(
    arguments: Json, skill: str, principal: Principal, handles: Handles, config: A2aConfig
) -> Json:
    """The message for a call of a tool, as ProtoJSON.

    Args:
        arguments: What the tool is called with.
        skill: The id of the skill, "" for none: A2A has no place for it but the metadata.
        principal: Who calls.
        handles: Of the upstream.
        config: The upstream's configuration.

    Raises:
        BadArguments: They do not fit.
    """
    unknown = sorted(arguments.keys() - _KNOWN)
    if unknown:
        raise BadArguments(f"there is no argument {unknown[0][:64]!r}")
    text = _given(arguments, "message", str) or ""
    data = _given(arguments, "data", dict)
    parts: list[Json] = []
    if text:
        parts.append({"text": text})
    if data is not None:
        parts.append({"data": data, "mediaType": "application/json"})
    files = _given(arguments, "files", list) or []
    if len(files) > _MOST_FILES:
        raise BadArguments(f"more than {_MOST_FILES} files")
    for number, file in enumerate(files):
        parts.append(await _file(file, f"files/{number}", config))
    if not parts:
        raise BadArguments("there is neither a message nor data")
    made = user_message(parts)
    if skill:
        made["metadata"] = {"skillId": skill}
    context = _given(arguments, "contextId", str)
    if context:
        made["contextId"] = _own(handles.taken(principal, "context", context), "contextId")
    task = _given(arguments, "taskId", str)
    if task:
        made["taskId"] = _own(handles.taken(principal, "task", task), "taskId")
    references = _given(arguments, "referenceTaskIds", list)
    if references:
        made["referenceTaskIds"] = [
            _own(handles.taken(principal, "task", str(each)), "referenceTaskIds") for each in references
        ]
    return made


def user_message(parts: list[Json], task: str = "", context: str = "") -> Json:
    """A message of the user's.

    Args:
        parts: What it says.
        task: The agent's id of the task it belongs to.
        context: Its id of the context.
    """
    made: Json = {"messageId": uuid.uuid4().hex, "role": "ROLE_USER", "parts": parts}
    if task:
        made["taskId"] = task
    if context:
        made["contextId"] = context
    return made


def _given(arguments: Json, name: str, kind: type[Any]) -> Any:
    value = arguments.get(name)
    if value is not None and not isinstance(value, kind):
        said = {"str": "a string", "dict": "an object", "list": "a list"}[kind.__name__]
        raise BadArguments(f"{name}: expected {said}")
    return value


def _own(ident: str | None, name: str) -> str:
    if ident is None:
        raise BadArguments(f"{name}: there is no such thing; give one that an answer had, as it was there")
    return ident


async def _file(file: Any, place: str, config: A2aConfig) -> Json:
    if not isinstance(file, dict):
        raise BadArguments(f"{place}: expected an object")
    made: Json = {}
    for own, name in (("name", "filename"), ("mediaType", "mediaType")):
        value = _given(file, own, str)
        if value:
            made[name] = value
    content, url = _given(file, "base64", str), _given(file, "url", str)
    if (content is None) is (url is None):
        raise BadArguments(f"{place}: expected either `base64` or `url`")
    if content is not None:
        try:
            return {**made, "raw": base64_of(content)}
        except ValueError as error:
            raise BadArguments(f"{place}/base64: {error}") from None
    assert url is not None
    why = await forbidden(url, config.file_urls)
    if why:
        raise BadArguments(f"{place}/url: {why}")
    return {**made, "url": url}
