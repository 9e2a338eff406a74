"""JSON values to and from protobuf, and the small messages that are made again and again."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

from a2a.types import Message, Part, Role
from google.protobuf import json_format, struct_pb2

from portico.api import Json


def value_of(json: Any) -> struct_pb2.Value:
    """A JSON value as protobuf has it: numbers become floats."""
    return json_format.ParseDict(json, struct_pb2.Value())


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
    """A part of JSON."""
    return Part(data=value_of(json), media_type="application/json")


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
    """A JSON object as protobuf metadata."""
    return json_format.ParseDict(json, struct_pb2.Struct())
