"""JSON values to and from protobuf, and the small messages that are made again and again."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from a2a.types import Message, Part, Role
from google.protobuf import json_format, struct_pb2

from portico.api import Json

_UNFIT: Final = (json_format.ParseError, ValueError, OverflowError, RecursionError)
"""What becomes of JSON that protobuf cannot hold: numbers beyond a float's, or too deep."""


def json_of(value: struct_pb2.Value) -> Any:
    """The JSON of a protobuf value: whole numbers are integers again."""
    return whole(json_format.MessageToDict(value))


def whole(json: Any) -> Any:
    """The same JSON value with whole numbers as integers."""
    if isinstance(json, float):
        return int(json) if json.is_integer() else json
    if isinstance(json, dict):
        return {name: whole(value) for name, value in json.items()}
    if isinstance(json, list):
        return [whole(value) for value in json]
    return json


def text_part(text: str) -> Part:
    """A part of plain text."""
    return Part(text=text, media_type="text/plain")


def data_part(json: Any) -> Part:
    """A part of JSON; as text if protobuf cannot hold it."""
    try:
        value = json_format.ParseDict(json, struct_pb2.Value())
    except _UNFIT:
        return Part(text=msgspec.json.encode(json).decode(), media_type="application/json")
    return Part(data=value, media_type="application/json")


def agent_message(parts: Iterable[Part], task_id: str, context_id: str) -> Message:
    """Something the agent says."""
    return Message(
        message_id=secrets.token_hex(16),
        role=Role.ROLE_AGENT,
        parts=list(parts),
        task_id=task_id,
        context_id=context_id,
    )


def about(message: Message) -> Json:
    """What a tool is told of the message it is called for."""
    told: Json = {
        "messageId": message.message_id,
        "contextId": message.context_id,
        "taskId": message.task_id,
    }
    if message.metadata.fields:
        told["metadata"] = whole(json_format.MessageToDict(message.metadata))
    return told


def struct_of(json: Json) -> struct_pb2.Struct:
    """A JSON object as protobuf metadata; its members as JSON text if protobuf cannot hold them."""
    try:
        return json_format.ParseDict(json, struct_pb2.Struct())
    except _UNFIT:
        made = struct_pb2.Struct()
        for name, value in json.items():
            made.fields[name].string_value = msgspec.json.encode(value).decode()
        return made
