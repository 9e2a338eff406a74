"""What protovalidate's rules (`buf.validate`) say of fields, as far as JSON Schema can say it too.

The server checks them in any case; said in the schema, a model gets them right at once. The rules come with
the server's own descriptors, so nothing needs to be installed for them.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from portico.api import Json

_OPTIONS: Final = "google.protobuf.FieldOptions"
_EXTENSION: Final = "buf.validate.field"
_NUMBERS: Final = frozenset(
    {"int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32", "sfixed64"}
    | {"float", "double"}
)
_WIDE: Final = frozenset({"int64", "uint64", "sint64", "fixed64", "sfixed64"})
_BOUNDS: Final = {"gt": "exclusiveMinimum", "gte": "minimum", "lt": "exclusiveMaximum", "lte": "maximum"}
_LENGTHS: Final = {"min_len": "minLength", "max_len": "maxLength"}
_COUNTS: Final = {
    "repeated": {"min_items": "minItems", "max_items": "maxItems"},
    "map": {"min_pairs": "minProperties", "max_pairs": "maxProperties"},
}
_FORMATS: Final = ("email", "hostname", "ipv4", "ipv6", "uri", "uuid")


class Rules:
    """The rules in one pool.

    Args:
        pool: Of the upstream.
    """

    def __init__(self, pool: DescriptorPool) -> None:
        self._extension: Any = None
        try:
            self._extension = pool.FindExtensionByName(_EXTENSION)
            self._options: Any = GetMessageClass(pool.FindMessageTypeByName(_OPTIONS))
        except KeyError:
            self._extension = None

    def of(self, field: FieldDescriptor, profile: Literal["strict", "simple"]) -> tuple[Json, bool]:
        """The keywords a field's rules come to, and whether it is required."""
        raw = field.GetOptions().SerializeToString() if self._extension is not None else b""
        if not raw:
            return {}, False
        try:
            rules = self._options.FromString(raw).Extensions[self._extension]
            kind = rules.WhichOneof("type")
            return (_keywords(kind, getattr(rules, kind), profile) if kind else {}), bool(rules.required)
        except (DecodeError, AttributeError, KeyError, ValueError, TypeError):
            return {}, False  # another version of protovalidate, or something else of that name


def _keywords(kind: str, rules: Any, profile: str) -> Json:
    given = {field.name: value for field, value in rules.ListFields()}
    if kind in _NUMBERS:
        if kind in _WIDE and profile == "simple":
            return {}
        made = {word: given[name] for name, word in _BOUNDS.items() if name in given}
        low, high = given.get("gte", given.get("gt")), given.get("lte", given.get("lt"))
        if low is not None and high is not None and low > high:
            return {}  # protovalidate's way to say "outside of"
        return made
    if kind == "string":
        return _of_text(given)
    counts = _COUNTS.get(kind, {})
    made = {word: int(given[name]) for name, word in counts.items() if name in given}
    if kind == "repeated" and given.get("unique"):
        made["uniqueItems"] = True
    return made


def _of_text(given: Json) -> Json:
    made: Json = {word: int(given[name]) for name, word in _LENGTHS.items() if name in given}
    if "len" in given:
        made["minLength"] = made["maxLength"] = int(given["len"])
    if "const" in given:
        made["const"] = given["const"]
    if "in" in given:
        made["enum"] = list(given["in"])
    pattern = given.get("pattern", "")
    if pattern and _portable(pattern):
        made["pattern"] = pattern
    for name in _FORMATS:
        if given.get(name) is True:
            made["format"] = name
    return made


def _portable(pattern: str) -> bool:
    """Whether an RE2 pattern means the same in JSON Schema, as far as can be told."""
    if len(pattern) > 500 or re.search(r"\(\?|\\[AzQEpPCax]|\[\[:", pattern):
        return False
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return False
    return True
