"""Rules of protovalidate for one kind of value: keywords of JSON Schema or, where there are none, words."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Any, Final, Literal

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.json_format import MessageToDict

from portico.api import Json

Profile = Literal["strict", "simple"]

_WIDE: Final = frozenset({"int64", "uint64", "sint64", "fixed64", "sfixed64"})
_NUMBERS: Final = _WIDE | {"int32", "uint32", "sint32", "fixed32", "sfixed32", "float", "double"}
_BOUNDS: Final = {"gt": "exclusiveMinimum", "gte": "minimum", "lt": "exclusiveMaximum", "lte": "maximum"}
_BOUND_WORDS: Final = {"gt": "more than", "gte": "at least", "lt": "less than", "lte": "at most"}
_LENGTHS: Final = {"min_len": "minLength", "max_len": "maxLength", "max_bytes": "maxLength"}
_COUNTS: Final = {
    "repeated": {"min_items": "minItems", "max_items": "maxItems"},
    "map": {"min_pairs": "minProperties", "max_pairs": "maxProperties"},
}
_FORMATS: Final = {
    **{name: name for name in ("email", "hostname", "ipv4", "ipv6", "uri", "uuid")},
    "uri_ref": "uri-reference",
}
_PATTERNS: Final = {
    "tuuid": "^[0-9a-fA-F]{32}$",
    "ulid": "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$",
}
_SPECIAL: Final = re.compile(r"[\\.^$|?*+()\[\]{}]")
_MOST_VALUES: Final = 100
_LONGEST_NOTE: Final = 300


def keywords(kind: str, rules: Any, enum: EnumDescriptor | None, profile: Profile) -> tuple[Json, list[str]]:
    """The keywords that rules come to, and sentences for the others.

    Args:
        kind: What the rules are for, as protovalidate names it: `int32`, `string`, `repeated`...
        rules: Them.
        enum: The enum the value is of, if it is.
        profile: See the config key `schema_profile`.
    """
    given = {field.name: value for field, value in rules.ListFields()}
    if kind in _NUMBERS:
        return _of_number(kind, given, profile)
    if kind == "string":
        return _of_text(given)
    if kind == "bytes":
        return _of_bytes(given)
    if kind == "enum":
        return (_of_enum(given, enum) if enum is not None else {}), []
    if kind == "bool":
        return ({"const": bool(given["const"])} if "const" in given else {}), []
    if kind in _COUNTS:
        made = {word: int(given[name]) for name, word in _COUNTS[kind].items() if name in given}
        if kind == "repeated" and given.get("unique"):
            made["uniqueItems"] = True
        return made, []
    return {}, _in_words(given)


def _of_number(kind: str, given: Json, profile: Profile) -> tuple[Json, list[str]]:
    def number(value: Any) -> Any:
        return float(f"{value:.7g}") if kind == "float" else value  # as it was written, not as stored

    low, high = given.get("gte", given.get("gt")), given.get("lte", given.get("lt"))
    outside = low is not None and high is not None and low > high  # protovalidate's way to say so
    bounds = {name: number(given[name]) for name in _BOUNDS if name in given}
    words = [f"{_BOUND_WORDS[name]} {value}" for name, value in bounds.items()]
    made: Json = {}
    notes: list[str] = []
    if outside or (kind in _WIDE and profile == "simple"):
        if words:
            notes.append(_sentence((" or " if outside else " and ").join(words)))
    else:
        made = {_BOUNDS[name]: value for name, value in bounds.items()}
    values = [number(each) for each in _values(given)]
    if values:
        made["enum"] = [form for each in values for form in _forms(kind, each, profile)]
    refused = [number(each) for each in given.get("not_in", ())]
    if refused:
        notes.append(_sentence(f"none of {', '.join(map(str, refused))}"))
    if "example" in given:
        made["examples"] = [_forms(kind, number(each), profile)[0] for each in given["example"][:5]]
    return made, notes


def _forms(kind: str, value: Any, profile: Profile) -> list[Any]:
    """How JSON may write a number: those of 64 bits as a string or a number."""
    if kind not in _WIDE:
        return [value]
    return [str(value)] if profile == "simple" else [str(value), value]


def _values(given: Json) -> list[Any]:
    if "const" in given:
        return [given["const"]]
    return list(given.get("in", ()))[:_MOST_VALUES] if len(given.get("in", ())) <= _MOST_VALUES else []


def _of_text(given: Json) -> tuple[Json, list[str]]:
    made: Json = {}
    notes: list[str] = []
    for name, word in _LENGTHS.items():
        if name in given:
            value = int(given[name])
            made[word] = min(value, made[word]) if word == "maxLength" and word in made else value
    if "len" in given:
        made["minLength"] = made["maxLength"] = int(given["len"])
    values = _values(given)
    if values:
        made["enum"] = values
    patterns = [_PATTERNS[name] for name in _PATTERNS if given.get(name) is True]
    pattern = given.get("pattern", "")
    if pattern and _portable(pattern):
        patterns.append(pattern)
    elif pattern:
        notes.append(_sentence(f"matches the RE2 pattern {pattern}"))
    parts = (("prefix", "^{}", "begins with"), ("suffix", "{}$", "ends with"), ("contains", "{}", "contains"))
    for name, form, words in parts:
        if name not in given:
            continue
        if patterns:
            notes.append(_sentence(f"{words} {given[name]!r}"))
        else:
            patterns.append(form.format(_SPECIAL.sub(r"\\\g<0>", given[name])))
    if patterns:
        made["pattern"] = patterns[0]
    if "not_contains" in given:
        notes.append(_sentence(f"does not contain {given['not_contains']!r}"))
    if "not_in" in given:
        notes.append(_sentence(f"none of {', '.join(map(repr, given['not_in']))}"))
    for name, value in given.items():
        if name in _FORMATS and value is True:
            made["format"] = _FORMATS[name]
        elif value is True and name not in (*_PATTERNS, "strict"):
            notes.append(_sentence(f"of the form: {name.replace('_', ' ')}"))
    if "example" in given:
        made["examples"] = list(given["example"][:5])
    return made, notes


def _of_bytes(given: Json) -> tuple[Json, list[str]]:
    """Lengths, as base64 has them: with or without padding."""
    low, high = given.get("len", given.get("min_len")), given.get("len", given.get("max_len"))
    made: Json = {}
    if low is not None:
        made["minLength"] = -(-4 * int(low) // 3)
    if high is not None:
        made["maxLength"] = 4 * -(-int(high) // 3)
    values = [base64.b64encode(each).decode() for each in _values(given)]
    if values:
        made["enum"] = values
    return made, []


def _of_enum(given: Json, enum: EnumDescriptor) -> Json:
    names = {value.number: str(value.name) for value in enum.values}
    values = _values(given)
    if values:
        return {"enum": [names[each] for each in values if each in names]}
    refused = set(given.get("not_in", ()))
    if not refused:
        return {}
    return {"enum": [str(value.name) for value in enum.values if value.number not in refused]}


def _in_words(given: Json) -> list[str]:
    """Rules of durations, times, masks and `Any`."""
    notes = []
    for name, value in given.items():
        if name in _BOUND_WORDS:
            notes.append(_sentence(f"{_BOUND_WORDS[name]} {_plain(value)}"))
        elif name == "lt_now" and value:
            notes.append("In the past.")
        elif name == "gt_now" and value:
            notes.append("In the future.")
        elif name == "within":
            notes.append(_sentence(f"within {_plain(value)} of now"))
        elif name == "const":
            notes.append(_sentence(f"is {_plain(value)}"))
        elif name in ("in", "not_in"):
            said = _listed(value)
            notes.append(_sentence(f"{'one' if name == 'in' else 'none'} of {said}"))
    return notes


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(_plain(each) for each in values)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else str(MessageToDict(value))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:_LONGEST_NOTE]}."


def _portable(pattern: str) -> bool:
    """Whether an RE2 pattern means the same in JSON Schema, as far as can be told."""
    if len(pattern) > 500 or re.search(r"\(\?|\\[AzQEpPCax]|\[\[:", pattern):
        return False
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return False
    return True
