"""What is wrong with arguments is said so that a model can do better."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest

from portico.api import Json
from portico_plugins.upstreams.rest.calls import faults

NAMED: Json = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
CAT: Json = {"type": "object", "properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}}}
DOG: Json = {"type": "object", "properties": {"kind": {"enum": ["dog"]}, "name": {"type": "string"}}}
SCHEMA: Json = {
    "properties": {
        "maybe": {"anyOf": [NAMED, {"type": "null"}]},
        "pet": {"anyOf": [CAT, DOG]},
        "deep": {
            "anyOf": [{"type": "array", "items": {"anyOf": [NAMED, {"type": "null"}]}}, {"type": "null"}]
        },
        "one": {"oneOf": [NAMED, {"type": "string"}]},
        "either": {"anyOf": [{"type": "string", "minLength": 3}, {"type": "string", "pattern": "^x"}]},
    }
}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"maybe": {"n": "x"}}, ['maybe/n: "x" is not of type "integer"']),
        ({"maybe": {}}, ['maybe: "n" is a required property']),
        ({"deep": [{"n": 1}, {"n": "x"}]}, ['deep/1/n: "x" is not of type "integer"']),
        ({"pet": {"kind": "cat", "lives": "many"}}, ['pet/lives: "many" is not of type "integer"']),
        ({"pet": {"kind": "dog", "name": 1}}, ['pet/name: 1 is not of type "string"']),
        ({"one": {"n": None}}, ['one/n: null is not of type "integer"']),
    ],
)
def test_of_several_schemas_the_one_that_is_meant_says_what_is_wrong(value: Any, said: list[str]) -> None:
    assert faults(jsonschema_rs.Draft202012Validator(SCHEMA), value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"pet": {"kind": "cow"}}, ['"cat" was expected', '"cow" is not one of "dog"']),
        ({"either": "a"}, ["shorter than 3 characters", 'does not match "^x"']),
        ({"maybe": 5}, ['5 is not of type "object"', '5 is not of type "null"']),
    ],
)
def test_where_none_is_meant_more_than_others_each_says_what_it_wants(value: Any, said: list[str]) -> None:
    (text,) = faults(jsonschema_rs.Draft202012Validator(SCHEMA), value)
    assert all(each in text for each in said)


def test_choices_in_choices_without_end_are_said_in_short() -> None:
    schema: Json = {"anyOf": [{"type": "array", "items": {"$ref": "#"}}, {"type": "null"}]}
    value: Any = "x"
    for _ in range(40):
        value = [value]
    (text,) = faults(jsonschema_rs.Draft202012Validator(schema), value)
    assert len(text) <= 300
