"""What protovalidate's rules (`buf.validate`) say of messages and fields.

The server checks them in any case; said in the schema, a model gets them right at once. The rules come with
the server's own descriptors, which say of what form they are, so nothing needs to be installed for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import attrs
from google.protobuf.descriptor import Descriptor, FieldDescriptor, OneofDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from portico.api import Json

from .constraints import Profile, keywords

_EXTENSIONS: Final = {
    "google.protobuf.FieldOptions": "buf.validate.field",
    "google.protobuf.MessageOptions": "buf.validate.message",
    "google.protobuf.OneofOptions": "buf.validate.oneof",
}
_IF_ZERO_VALUE: Final = 1
_ALWAYS: Final = 3
_LONGEST: Final = 300
_MOST_NOTES: Final = 5
_ODD: Final = (DecodeError, AttributeError, KeyError, ValueError, TypeError)


@attrs.frozen
class Said:
    """What the rules of a field come to.

    Attributes:
        keywords: Of JSON Schema, for the field.
        inner: For each item of a list, or each value of a map.
        keys: For the keys of a map.
        required: Whether it must be given.
        notes: Sentences for what JSON Schema cannot say.
    """

    keywords: Json = attrs.field(factory=dict)
    inner: Json = attrs.field(factory=dict)
    keys: Json = attrs.field(factory=dict)
    required: bool = False
    notes: tuple[str, ...] = ()


@attrs.frozen
class Group:
    """Fields of which at most one may be given.

    Attributes:
        fields: Their names in the descriptors.
        required: Whether one must be.
    """

    fields: tuple[str, ...]
    required: bool


NOTHING: Final = Said()


class Rules:
    """The rules in one pool.

    Args:
        pool: Of the upstream.
    """

    def __init__(self, pool: DescriptorPool) -> None:
        self._known: dict[str, tuple[Any, Any]] = {}
        for options, extension in _EXTENSIONS.items():
            try:
                found = pool.FindExtensionByName(extension)
                self._known[options] = (GetMessageClass(pool.FindMessageTypeByName(options)), found)
            except KeyError:
                continue  # descriptors without rules

    def of(self, field: FieldDescriptor, profile: Profile) -> Said:
        """What a field's rules come to."""
        try:
            rules = self._rules("google.protobuf.FieldOptions", field)
            return NOTHING if rules is None else _field(rules, field, profile)
        except _ODD:
            return NOTHING  # another version of protovalidate, or something else of that name

    def groups(self, message: Descriptor) -> list[Group]:
        """The groups of fields of a message that exclude each other, beside its oneofs."""
        try:
            rules = self._rules("google.protobuf.MessageOptions", message)
            found = _listed(rules, "oneof") if rules is not None else ()
            return [Group(tuple(each.fields), bool(each.required)) for each in found]
        except _ODD:
            return []

    def notes(self, message: Descriptor) -> list[str]:
        """What the rules of a message as a whole say."""
        try:
            rules = self._rules("google.protobuf.MessageOptions", message)
            return [] if rules is None else _expressions(rules)
        except _ODD:
            return []

    def demands(self, oneof: OneofDescriptor) -> bool:
        """Whether one of the fields of a oneof must be given."""
        try:
            rules = self._rules("google.protobuf.OneofOptions", oneof)
            return rules is not None and bool(rules.required)
        except _ODD:
            return False

    def _rules(self, options: str, what: Any) -> Any:
        known = self._known.get(options)
        raw = what.GetOptions().SerializeToString() if known is not None else b""
        if known is None or not raw:
            return None
        # In a pool of its own an option is of a class without the extension: hence by way of bytes.
        made = known[0].FromString(raw)
        return made.Extensions[known[1]] if made.HasExtension(known[1]) else None


def _field(rules: Any, field: FieldDescriptor, profile: Profile) -> Said:
    ignore = int(getattr(rules, "ignore", 0))
    if ignore == _ALWAYS:
        return NOTHING
    kind = rules.WhichOneof("type")
    own = getattr(rules, kind) if kind else None
    made, notes = keywords(kind, own, field.enum_type, profile) if kind else ({}, [])
    if ignore == _IF_ZERO_VALUE:
        made = _for_zero(made)
    inner: Json = {}
    keys: Json = {}
    if kind == "repeated":
        inner, said = _inside(own, "items", field.enum_type, profile)
        notes += said
    elif kind == "map":
        value = field.message_type.fields_by_name["value"] if field.message_type is not None else None
        keys, _ = _inside(own, "keys", None, profile)
        inner, said = _inside(own, "values", value.enum_type if value is not None else None, profile)
        notes += said
    notes += _expressions(rules)
    return Said(made, inner, keys, bool(rules.required), tuple(notes[:_MOST_NOTES]))


def _inside(rules: Any, name: str, enum: Any, profile: Profile) -> tuple[Json, list[str]]:
    """The rules of what is in a list or a map."""
    if name not in rules.DESCRIPTOR.fields_by_name or not rules.HasField(name):
        return {}, []
    inner = getattr(rules, name)
    kind = inner.WhichOneof("type")
    if not kind or int(getattr(inner, "ignore", 0)):
        return {}, []
    return keywords(kind, getattr(inner, kind), enum, profile)


def _for_zero(made: Json) -> Json:
    """What of the keywords leaves the zero value alone, which the rules are then not for."""
    kept = ("maxLength", "maxItems", "maxProperties", "uniqueItems")
    upper = {word: made[word] for word in ("maximum", "exclusiveMaximum") if made.get(word, 0) > 0}
    return {**{word: made[word] for word in kept if word in made}, **upper}


def _expressions(rules: Any) -> list[str]:
    """The rules that are programs, in the words of who wrote them."""
    said = [str(each.message or each.expression) for each in _listed(rules, "cel")]
    said += [str(each) for each in _listed(rules, "cel_expression")]
    return [f"Rule: {each}"[:_LONGEST] for each in said if each][:_MOST_NOTES]


def _listed(rules: Any, name: str) -> Sequence[Any]:
    return tuple(getattr(rules, name, ()))
