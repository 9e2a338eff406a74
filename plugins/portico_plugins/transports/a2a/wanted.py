"""What a client's message wants: which tool, with which arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs
from a2a.types import Message
from a2a.utils.errors import ContentTypeNotSupportedError, InvalidParamsError

from portico.api import Json
from portico_plugins.transports.a2a.values import json_of, whole

INPUT_MODES: Final = ("application/json", "text/plain")

_MEMBERS: Final = frozenset({"tool", "skillId", "arguments"})


@attrs.frozen
class Said:
    """The contents of a message: its data parts, decoded, and its text."""

    data: tuple[Any, ...]
    text: str
    skill: str


@attrs.frozen
class Wanted:
    """A tool call."""

    tool: str
    arguments: Json


def said_in(message: Message, raw: Any = None) -> Said:
    """Take a message apart.

    Args:
        message: As protobuf has it.
        raw: The same as it was sent in JSON, if it was: numbers in there are exact.

    Raises:
        ContentTypeNotSupportedError: It has parts other than JSON and text.
        InvalidParamsError: It has a part without content.
    """
    exact = raw.get("parts") if isinstance(raw, dict) else None
    data: list[Any] = []
    texts: list[str] = []
    for number, part in enumerate(message.parts):
        kind, media = part.WhichOneof("content"), part.media_type.partition(";")[0].strip().lower()
        if kind == "data" and _is_json(media):
            given = exact[number] if isinstance(exact, list) and number < len(exact) else None
            sent = isinstance(given, dict) and "data" in given
            # Integers beyond a double's are exact in what was sent; those of protobuf clients look like 2.0.
            data.append(whole(given["data"]) if isinstance(given, dict) and sent else json_of(part.data))
        elif kind == "text" and (not media or media.startswith("text/") or media == "application/json"):
            texts.append(part.text)
        elif kind is None:
            raise InvalidParamsError("A part has no content: expected text or data")
        else:
            expected = " or ".join(INPUT_MODES)
            raise ContentTypeNotSupportedError(f"A part of {_name(kind, media)}: expected {expected}")
    skill = dict(message.metadata.fields).get("skillId")
    return Said(tuple(data), "\n".join(texts), skill.string_value if skill is not None else "")


def _is_json(media: str) -> bool:
    return not media or media == "application/json" or media.endswith("+json")


def _name(kind: str, media: str) -> str:
    return media or {"raw": "bytes", "url": "a file elsewhere"}.get(kind, kind)


def named_by(said: Said) -> Wanted | None:
    """The tool that a message names, whatever there is; None when its data names none.

    Raises:
        InvalidParamsError: It is not to be understood.
    """
    if len(said.data) > 1:
        raise InvalidParamsError("A message may hold one data part: one tool is called at a time")
    if not said.data:
        return None
    order = said.data[0]
    if not isinstance(order, dict):
        raise InvalidParamsError('The data part is no object: expected {"tool": name, "arguments": {...}}')
    if said.skill and not ({"tool", "skillId"} & order.keys()):
        inner = order["arguments"] if order.keys() == {"arguments"} else order
        return Wanted(said.skill, _object(inner))
    unknown = order.keys() - _MEMBERS
    names = [order[key] for key in ("tool", "skillId") if key in order]
    if not names:
        return None
    if unknown:
        expected = "expected tool, arguments"
        raise InvalidParamsError(f"The data part has an unknown member {min(unknown)!r}: {expected}")
    if any(not isinstance(name, str) or not name for name in names) or len(set(names)) > 1:
        raise InvalidParamsError("The data part names no tool, or two: expected one string")
    if said.skill and said.skill != names[0]:
        raise InvalidParamsError("The data part and the message's metadata name different skills")
    return Wanted(names[0], _object(order.get("arguments", {})))


def _object(arguments: Any) -> Json:
    if arguments is None:
        return {}
    if not isinstance(arguments, dict):
        raise InvalidParamsError("The arguments are no object")
    return arguments


def meant_by(said: Said, tools: Mapping[str, Json]) -> Wanted | None:
    """What plain text means, where that can only be one thing: one tool, which needs one string.

    Args:
        said: The contents of a message that names no tool in its data.
        tools: What there is for this client, by name.
    """
    if said.data:
        return None
    name = said.skill or (next(iter(tools)) if len(tools) == 1 else "")
    schema = tools[name].get("inputSchema") if name in tools else None
    if not said.text or not isinstance(schema, dict):
        return Wanted(name, {}) if said.skill and not said.text else None
    required, properties = schema.get("required"), schema.get("properties")
    if not isinstance(required, list) or len(required) != 1 or not isinstance(properties, dict):
        return None
    only = properties.get(required[0])
    if not isinstance(only, dict) or only.get("type") != "string":
        return None
    return Wanted(name, {required[0]: said.text})
