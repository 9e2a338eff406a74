"""JSON Schemas (2020-12) of messages, as ProtoJSON writes and reads them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import attrs
from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from portico.api import Json

from .features import behaviors, default_of, fields_of, synthetic
from .inlining import inlined
from .rules import NOTHING, Group, Rules, Said
from .scalars import EMPTY, SCALARS, WELL_KNOWN, key_schema, simple, strict

_FIXED: Final = {
    field_behavior_pb2.IMMUTABLE: "Cannot be changed later.",
    field_behavior_pb2.UNORDERED_LIST: "The order means nothing.",
}
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
    return _finished(schema, made.defs, style, "")


def _object(message: Descriptor, style: Style, direction: Direction) -> Json:
    made = _Schemas(style, direction)
    root = made.message(message)
    made.work()
    if not is_object(message):
        required = [WRAPPED] if direction == "input" else []
        schema: Json = {"type": "object", "properties": {WRAPPED: root}, "additionalProperties": False}
        return _finished({**schema, **({"required": required} if required else {})}, made.defs, style, "")
    if "$ref" not in root:
        if message.full_name == EMPTY and direction == "input":
            return {**root, "additionalProperties": False}
        return root
    body = dict(made.defs[message.full_name])
    if not made.recursive(message.full_name):
        del made.defs[message.full_name]
    return _finished(body, made.defs, style, message.full_name)


def _finished(schema: Json, defs: Mapping[str, Json], style: Style, root: str) -> Json:
    if not defs:
        return schema
    whole = {**schema, "$defs": {name: defs[name] for name in sorted(defs)}}
    return inlined(whole, root) if style.profile == "simple" else whole


class _Schemas:
    """The definitions of one schema. No recursion: how deep messages refer to each other is not ours."""

    def __init__(self, style: Style, direction: Direction) -> None:
        self.defs: dict[str, Json] = {}
        self._refers: set[str] = set()
        self._style = style
        self._input = direction == "input"
        self._rules = style.rules if self._input else None
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
            made = self._scalar(known)
            if not self._input:
                made.pop("required", None)  # an `Any` with nothing in it is an empty object
            return made
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
        rules = self._rules
        properties: Json = {}
        required: list[str] = []
        groups: dict[str, Group] = {}
        for name, field in fields_of(message, portable=self._input and self._style.profile == "simple"):
            behavior = behaviors(field)
            if (field_behavior_pb2.OUTPUT_ONLY if self._input else field_behavior_pb2.INPUT_ONLY) in behavior:
                continue
            said = rules.of(field, self._style.profile) if rules is not None else NOTHING
            needed = field_behavior_pb2.REQUIRED in behavior or bool(getattr(field, "is_required", False))
            needed = needed or said.required
            notes = [text for one, text in _FIXED.items() if self._input and one in behavior]
            properties[name] = self._described(field, self._field(field, needed, said), (*notes, *said.notes))
            if needed:
                required.append(name)
            oneof = field.containing_oneof
            if oneof is not None and not synthetic(oneof):
                group = groups.get(str(oneof.name)) or Group((), rules is not None and rules.demands(oneof))
                groups[str(oneof.name)] = Group((*group.fields, name), group.required)
        made: Json = {"type": "object"}
        comment = self._comment(message)
        texts = [comment] if comment else []
        texts += rules.notes(message) if rules is not None else []
        if texts:
            made["description"] = "\n".join(texts)[:_MAX_DESCRIPTION]
        made["properties"] = properties
        if self._input:
            made["additionalProperties"] = False
            if required:
                made["required"] = required
            self._exclude(made, [*groups.values(), *self._own_groups(message, properties)])
        return made

    def _own_groups(self, message: Descriptor, properties: Json) -> list[Group]:
        """The groups that rules make, by the names of fields in JSON."""
        if self._rules is None:
            return []
        portable = self._style.profile == "simple"
        names = {str(field.name): name for name, field in fields_of(message, portable=portable)}
        found = []
        for group in self._rules.groups(message):
            fields = tuple(names[each] for each in group.fields if names.get(each) in properties)
            found.append(Group(fields, group.required))
        return found

    def _exclude(self, made: Json, groups: Sequence[Group]) -> None:
        """At most one field of each group: said in the schema, or (simple) in the description."""
        groups = [group for group in groups if len(group.fields) > 1 or (group.fields and group.required)]
        if not groups:
            return
        if self._style.profile == "simple":
            said = [
                f"{'Exactly' if group.required else 'At most'} one of {', '.join(group.fields)}."
                for group in groups
            ]
            made["description"] = "\n".join([made["description"], *said] if "description" in made else said)
            return
        made["allOf"] = [
            {
                "oneOf": [
                    *({"required": [name]} for name in group.fields),
                    *([] if group.required else [_none_of(group.fields)]),
                ]
            }
            for group in groups
        ]

    def _field(self, field: FieldDescriptor, needed: bool, said: Said) -> Json:
        message = field.message_type
        if message is not None and message.GetOptions().map_entry:
            key, value = message.fields_by_name["key"], message.fields_by_name["value"]
            made: Json = {
                "type": "object",
                "additionalProperties": {**self._single(value, False), **said.inner},
            }
            names = {**(key_schema(key.type) or {}), **said.keys}
            if names:
                made["propertyNames"] = names
            return {**made, **said.keywords}
        single = self._single(field, needed)
        if field.is_repeated:
            return {"type": "array", "items": {**single, **said.inner}, **said.keywords}
        made = {**single, **said.keywords}
        types = made.get("type")
        if isinstance(types, list) and "null" in types and "enum" in said.keywords:
            made["enum"] = [*made["enum"], None]
        default = default_of(field) if self._input else None
        if default is None or (isinstance(default, str) and made.get("type") == "number"):
            return made  # a simple number cannot be infinite
        return {**made, "default": default}

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

    def _described(self, field: FieldDescriptor, schema: Json, notes: Sequence[str]) -> Json:
        texts = [self._comment(field), schema.get("description", ""), " ".join(notes)]
        if any(texts):
            said = "\n".join(text for text in texts if text)
            schema = {**schema, "description": said[:_MAX_DESCRIPTION]}
        if field.GetOptions().deprecated:
            schema = {**schema, "deprecated": True}
        return schema

    def _comment(self, what: Any) -> str:
        return self._style.comments.get(what.full_name, "")[:_MAX_DESCRIPTION]


def _value_name(enum: EnumDescriptor, value: str) -> str:
    return f"{enum.full_name}.{value}"


def _none_of(names: Sequence[str]) -> Json:
    return {"not": {"anyOf": [{"required": [name]} for name in names]}}
