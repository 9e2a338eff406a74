"""Prompts: what is listed of them, and what comes of filling them in."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from portico.api import INVALID_PARAMS, Json, Refused
from portico_plugins.upstreams.local.config import Argument, LocalConfig, Message, Prompt
from portico_plugins.upstreams.local.filling import Fill, filling
from portico_plugins.upstreams.local.media import type_of
from portico_plugins.upstreams.local.resources import Resources, annotated, definition, words


def listed(name: str, prompt: Prompt) -> Json:
    """Its definition."""
    arguments = [
        {"name": each.name, **words(each.title, each.description), "required": each.required}
        for each in prompt.arguments
    ]
    return {"name": name, **words(prompt.title, prompt.description), "arguments": arguments}


class Prompts:
    """The prompts of one table.

    Args:
        config: The table.
        resources: Those of the same table, which prompts may show.
    """

    def __init__(self, config: LocalConfig, resources: Resources) -> None:
        self._config = config
        self._resources = resources

    async def get(self, name: str, given: Any) -> Json:
        """Fill one in.

        Args:
            name: Its name.
            given: The arguments of the client.

        Raises:
            Refused: -32602 for arguments that are wrong; see `filling` for what else.
        """
        prompt = self._config.prompts.get(name)
        if prompt is None:
            raise Refused(INVALID_PARAMS, f"Unknown prompt {name[:128]!r}")
        values = _values(prompt, given)
        messages = prompt.messages or (Message(text=prompt.template),)

        def make(fill: Fill) -> list[tuple[Message, str, str]]:
            return [(each, fill(each.text or ""), fill(each.uri or "")) for each in messages]

        filled = await filling("the prompt", values, self._config.max_size, make)
        said = {"description": prompt.description} if prompt.description else {}
        return {
            **said,
            "messages": [
                {"role": each.role, "content": await self._content(each, text, uri)}
                for each, text, uri in filled
            ],
        }

    async def _content(self, message: Message, text: str, uri: str) -> Json:
        notes = annotated(message.annotations)
        if message.type == "text":
            return {"type": "text", "text": text, **notes}
        source = self._config.resources.get(message.source or "")
        if message.type in ("image", "audio"):
            data = message.data if source is None else source.blob
            kind = message.mime_type or (source.mime_type if source is not None else "")
            kind = kind or type_of(source.uri if source is not None else "", b64decode(data or ""))
            return {"type": message.type, "data": data, "mimeType": kind, **notes}
        if message.type == "resource_link":
            if source is not None:
                return {"type": "resource_link", **definition(message.source or "", source), **notes}
            about = words(message.title, message.description)
            about["mimeType"] = message.mime_type or type_of(uri, "")
            return {"type": "resource_link", "uri": uri, "name": message.name or uri, **about, **notes}
        if message.text is None and message.data is None:
            resource = await self._resources.content(uri if source is None else source.uri)
        else:
            content = {"text": text} if message.text is not None else {"blob": message.data}
            raw = text if message.text is not None else b64decode(message.data or "")
            resource = {"uri": uri, "mimeType": message.mime_type or type_of(uri, raw), **content}
        return {"type": "resource", "resource": resource, **notes}


def _values(prompt: Prompt, given: Any) -> dict[str, str]:
    """What the templates fill in.

    Raises:
        Refused: -32602.
    """
    given = {} if given is None else given
    if not isinstance(given, Mapping) or not all(isinstance(value, str) for value in given.values()):
        raise Refused(INVALID_PARAMS, "Invalid params: arguments of prompts are strings")
    missing = [each.name for each in prompt.arguments if each.required and each.name not in given]
    if missing:
        raise Refused(INVALID_PARAMS, f"Invalid params: missing arguments: {', '.join(missing)}")
    for each in prompt.arguments:
        if each.closed and each.name in given and given[each.name] not in each.values:
            raise Refused(INVALID_PARAMS, f"Invalid params: {each.name} is one of: {', '.join(each.values)}")
    return {each.name: given.get(each.name, each.default) for each in prompt.arguments}


def argument(prompt: Prompt, name: Any) -> Argument | None:
    """Its argument of this name."""
    return next((each for each in prompt.arguments if each.name == name), None)
