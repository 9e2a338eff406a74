"""Prompts and resources out of the configuration."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from typing import Any

from portico.api import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    Era,
    Exchange,
    Json,
    Offer,
    Refused,
    Result,
    State,
    Target,
)

from .config import PLACE, LocalConfig, Prompt, Resource


class LocalUpstream:
    """What a `local` table holds, as an upstream.

    Args:
        config: The table.
    """

    def __init__(self, config: LocalConfig) -> None:
        self._config = config
        self._by_uri = {each.uri: each for each in config.resources.values()}
        self.state = State.READY
        self.reason = ""
        self.offer = Offer(
            prompts=tuple(_prompt(name, each) for name, each in config.prompts.items()),
            resources=tuple(_resource(name, each) for name, each in config.resources.items()),
            capabilities={
                **({"prompts": {}} if config.prompts else {}),
                **({"resources": {}} if config.resources else {}),
            },
            eras=frozenset(Era),
        )

    async def send(self, exchange: Exchange, target: Target) -> Result:
        """Fill in a prompt, or read a resource.

        Raises:
            Refused: -32602 for an argument or URI that is wrong; -32601 for what it cannot do.
        """
        if exchange.method == "prompts/get" and target.name in self._config.prompts:
            return Result(value=self._filled(self._config.prompts[target.name], exchange.params))
        if exchange.method == "resources/read":
            found = self._by_uri.get(target.name)
            if found is None:
                raise Refused(INVALID_PARAMS, "Resource not found", {"uri": target.name})
            content = {"text": found.text} if found.blob is None else {"blob": found.blob}
            return Result(value={"contents": [{"uri": found.uri, "mimeType": _type_of(found), **content}]})
        raise Refused(METHOD_NOT_FOUND, "Method not found")

    def _filled(self, prompt: Prompt, params: Json) -> Json:
        given: Any = params.get("arguments") or {}
        if not isinstance(given, Mapping) or not all(isinstance(value, str) for value in given.values()):
            raise Refused(INVALID_PARAMS, "Invalid params: arguments of prompts are strings")
        missing = [each.name for each in prompt.arguments if each.required and each.name not in given]
        if missing:
            raise Refused(INVALID_PARAMS, f"Invalid params: missing arguments: {', '.join(missing)}")
        values = {each.name: given.get(each.name, each.default) for each in prompt.arguments}
        size = len(prompt.template) + sum(len(values[name]) for name in PLACE.findall(prompt.template))
        if size > self._config.max_size:
            raise Refused(INVALID_PARAMS, "Invalid params: the prompt would become too long")
        text = PLACE.sub(lambda match: values[match[1]], prompt.template)
        said = {"description": prompt.description} if prompt.description else {}
        return {**said, "messages": [{"role": "user", "content": {"type": "text", "text": text}}]}


def _words(title: str, description: str) -> Json:
    return {key: value for key, value in (("title", title), ("description", description)) if value}


def _prompt(name: str, prompt: Prompt) -> Json:
    arguments = [
        {"name": each.name, **_words("", each.description), "required": each.required}
        for each in prompt.arguments
    ]
    return {"name": name, **_words(prompt.title, prompt.description), "arguments": arguments}


def _resource(name: str, resource: Resource) -> Json:
    words = _words(resource.title, resource.description)
    return {"uri": resource.uri, "name": name, **words, "mimeType": _type_of(resource)}


def _type_of(resource: Resource) -> str:
    guessed = resource.mime_type or mimetypes.guess_type(resource.uri)[0]
    return guessed or ("text/plain" if resource.blob is None else "application/octet-stream")
