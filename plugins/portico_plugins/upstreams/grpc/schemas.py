"""JSON Schemas (2020-12) of messages, as ProtoJSON writes and reads them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import attrs
from google.api import field_behavior_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, OneofDescriptor

from portico.api import Json

from .rules import Rules
from .scalars import EMPTY, SCALARS, WELL_KNOWN, key_schema, simple, strict

_BEHAVIOR: Final[Any] = field_behavior_pb2.field_behavior
_MAX_DESCRIPTION: Final = 2000
WRAPPED: Final = "value"
"""The property that holds an input or output that is no JSON object, which tools must have."""

Direction = Literal["input", "output"]


@attrs.frozen
class Style:
    """How schemas are to be.

    Attributes:
        comments: By full name.
        profile: See the config key `schema_profile`.
        rules: protovalidate's, where the descriptors have any.
    """

    comments: Mapping[str, str] = attrs.field(factory=dict)
    profile: Literal["strict", "simple"] = "strict"
    rules: Rules | None = None


def is_object(message: Descriptor) -> bool:
    """Whether ProtoJSON writes the message as an object."""
    known = WELL_KNOWN.get(message.full_name)
    return known is None or known.get("type") == "object"


def input_schema(message: Descriptor, style: Style) -> Json:
    """The schema of a tool's arguments: always of an object."""
    return _object(message, style, "input")


def output_schema(message: Descriptor, style: Style) -> Json:
    """The schema of a tool's structured content: always of an object, and open to what is added later."""
    return _object(message, style, "output")


def list_schema(message: Descriptor, style: Style, direction: Direction, name: str, about: Json) -> Json:
    """The schema of an object with a list of messages in it.

    Args:
        message: What the list is of.
        style: How.
        direction: Which way the messages go.
        name: The property that holds the list.
        about: The schemas of further properties.
    """
    made = _Schemas(style, direction)
    item = made.message(message)
    made.work()
    schema: Json = {
        "type": "object",
        "properties": {name: {"type": "array", "items": item}, **about},
        "required": [name],
    }
    if direction == "input":
        schema["additionalProperties"] = False
    return _with_defs(schema, made.defs)


def _object(message: Descriptor, style: Style, direction: Direction) -> Json:
    made = _Schemas(style, direction)
    root = made.message(message)
    made.work()
    if not is_object(message):
        required = [WRAPPED] if direction == "input" else []
        schema: Json = {"type": "object", "properties": {WRAPPED: root}, "additionalProperties": False}
        return _with_defs({**schema, **({"required": required} if required else {})}, made.defs)
    if "$ref" not in root:
        if message.full_name == EMPTY and direction == "input":
            return {**root, "additionalProperties": False}
        return root
    body = dict(made.defs[message.full_name])
    if not made.recursive(message.full_name):
        del made.defs[message.full_name]
    return _with_defs(body, made.defs)


def _with_defs(schema: Json, defs: Mapping[str, Json]) -> Json:
    return {**schema, "$defs": {name: defs[name] for name in sorted(defs)}} if defs else schema


class _Schemas:
    """The definitions of one schema. No recursion: how deep messages refer to each other is not ours."""

    def __init__(self, style: Style, direction: Direction) -> None:
        self.defs: dict[str, Json] = {}
        self._refers: set[str] = set()
        self._style = style
        self._input = direction == "input"
        self._scalar = simple if style.profile == "simple" else strict
        self._todo: deque[Descriptor] = deque()

    def recursive(self, name: str) -> bool:
        """Whether anything refers to the definition of the message that was first."""
        return name in self._refers

    def message(self, message: Descriptor) -> Json:
        """What stands for a message where it is used."""
        name = message.full_name
        known = WELL_KNOWN.get(name)
        if known is not None:
            return self._scalar(known)
        if name not in self.defs:
            self.defs[name] = {}
            self._todo.append(message)
        else:
            self._refers.add(name)
        return {"$ref": f"#/$defs/{name}"}

    def work(self) -> None:
        """Make the definitions of all messages that were used, and of those they use."""
        while self._todo:
            message = self._todo.popleft()
            self.defs[message.full_name] = self._definition(message)

    def _definition(self, message: Descriptor) -> Json:
        properties: Json = {}
        required: list[str] = []
        groups: dict[str, list[str]] = {}
        for field in message.fields:
            behavior = behaviors(field)
            if self._input and field_behavior_pb2.OUTPUT_ONLY in behavior:
                continue
            if not self._input and field_behavior_pb2.INPUT_ONLY in behavior:
                continue
            name = str(field.json_name)
            needed = field_behavior_pb2.REQUIRED in behavior or bool(getattr(field, "is_required", False))
            rules, demanded = (
                self._style.rules.of(field, self._style.profile)
                if self._style.rules and self._input
                else ({}, False)
            )
            properties[name] = self._described(field, self._field(field, needed or demanded, rules))
            if needed or demanded:
                required.append(name)
            oneof = field.containing_oneof
            if oneof is not None and not _synthetic(oneof):
                groups.setdefault(str(oneof.name), []).append(name)
        made: Json = {"type": "object"}
        comment = self._comment(message)
        if comment:
            made["description"] = comment
        made["properties"] = properties
        if self._input:
            made["additionalProperties"] = False
            if required:
                made["required"] = required
            self._exclude(made, [names for names in groups.values() if len(names) > 1])
        return made

    def _exclude(self, made: Json, groups: Sequence[list[str]]) -> None:
        """At most one field of each group: said in the schema, or (simple) in the description."""
        if not groups:
            return
        if self._style.profile == "simple":
            said = [f"At most one of {', '.join(names)}." for names in groups]
            made["description"] = " ".join([made["description"], *said] if "description" in made else said)
            return
        made["allOf"] = [
            {
                "oneOf": [
                    *({"required": [name]} for name in names),
                    {"not": {"anyOf": [{"required": [name]} for name in names]}},
                ]
            }
            for names in groups
        ]

    def _field(self, field: FieldDescriptor, needed: bool, rules: Json) -> Json:
        message = field.message_type
        if message is not None and message.GetOptions().map_entry:
            key, value = message.fields_by_name["key"], message.fields_by_name["value"]
            made: Json = {"type": "object", "additionalProperties": self._single(value, False)}
            names = key_schema(key.type)
            if names is not None:
                made["propertyNames"] = names
            return {**made, **rules}
        single = self._single(field, needed)
        if field.is_repeated:
            return {"type": "array", "items": single, **rules}
        return {**single, **rules}

    def _single(self, field: FieldDescriptor, needed: bool) -> Json:
        if field.message_type is not None:
            return self.message(field.message_type)
        if field.enum_type is not None:
            return self._enum(field.enum_type, needed)
        return self._scalar(SCALARS[field.type])

    def _enum(self, enum: EnumDescriptor, needed: bool) -> Json:
        if enum.full_name == "google.protobuf.NullValue":
            return {"type": "null"}
        names = [str(value.name) for value in enum.values]
        if self._input and needed and len(names) > 1:
            names = [name for name in names if not name.endswith("_UNSPECIFIED")] or names
        if not self._input:
            # An enum may have grown since; numbers without a name come as numbers.
            if self._style.profile == "simple":
                return {"description": f"One of {', '.join(names)}"[:_MAX_DESCRIPTION]}
            return {"anyOf": [{"enum": names}, {"type": "integer"}]}
        made: Json = {"type": "string", "enum": names}
        said = [
            f"{value.name}: {comment}"
            for value in enum.values
            if value.name in names and (comment := self._style.comments.get(_value_name(enum, value.name)))
        ]
        if said:
            made["description"] = "\n".join(said)[:_MAX_DESCRIPTION]
        return made

    def _described(self, field: FieldDescriptor, schema: Json) -> Json:
        comment = self._comment(field)
        if comment:
            own = schema.get("description", "")
            schema = {**schema, "description": f"{comment}\n{own}".strip()[:_MAX_DESCRIPTION]}
        if field.GetOptions().deprecated:
            schema = {**schema, "deprecated": True}
        return schema

    def _comment(self, what: Any) -> str:
        return self._style.comments.get(what.full_name, "")[:_MAX_DESCRIPTION]


def _value_name(enum: EnumDescriptor, value: str) -> str:
    return f"{enum.full_name}.{value}"


def behaviors(field: FieldDescriptor) -> frozenset[int]:
    """The `google.api.field_behavior` of a field.

    In a pool of its own an option is of a class that does not know the extension: hence by way of bytes.
    """
    options = field.GetOptions()
    if not options.ByteSize():
        return frozenset()
    known = descriptor_pb2.FieldOptions.FromString(options.SerializeToString())
    return frozenset(known.Extensions[_BEHAVIOR])


def _synthetic(oneof: OneofDescriptor) -> bool:
    """Whether a oneof only says that a proto3 field is `optional`."""
    return len(oneof.fields) == 1 and str(oneof.name).startswith("_")
