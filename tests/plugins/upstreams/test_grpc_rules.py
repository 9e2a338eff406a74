"""What schemas take from rules, from proto2, and what the simple profile makes of them."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass

from portico_plugins.upstreams.grpc.rules import Rules
from portico_plugins.upstreams.grpc.schemas import Style, input_schema, list_schema, output_schema
from tests.plugins.upstreams.grpc_kit import descriptor_set, pool_from, shop, shop_upstream, tool

Validator = jsonschema.Draft202012Validator
UUID = "6e8bc430-9c3a-11d9-9669-0800200c9a66"


def made(pool: DescriptorPool, name: str, profile: Any = "strict", output: bool = False) -> Any:
    style = Style(profile=profile, rules=Rules(pool))
    schema = (output_schema if output else input_schema)(pool.FindMessageTypeByName(name), style)
    Validator.check_schema(schema)
    return schema


@pytest.fixture(scope="module")
def ruled() -> DescriptorPool:
    return pool_from(descriptor_set("ruled.proto"))


@pytest.fixture(scope="module")
def old() -> DescriptorPool:
    return pool_from(descriptor_set("old.proto"))


RIGHT = {
    "lo": 1,
    "wide": "7",
    "few": 2,
    "share": 0.1,
    "agreed": True,
    "id": UUID,
    "link": "https://a.example/",
    "from": "a.bz",
    "lang": "de",
    "plain": "abc",
    "trimmed": UUID.replace("-", ""),
    "key": "AAECAw==",
    "size": "SIZE_M",
    "other": "SIZE_L",
    "mails": ["a@b.example"],
    "stock": {"abc": 0},
    "maybe": None,
    "maybeCode": "",
    "free": "whatever",
    "shop": "here",
}


@pytest.mark.parametrize("profile", ["strict", "simple"])
def test_what_keeps_to_the_rules_is_taken_by_schema_and_protobuf(ruled: DescriptorPool, profile: str) -> None:
    right = {key: value for key, value in RIGHT.items() if profile == "strict" or key not in ("few", "maybe")}
    Validator(made(ruled, "acme.ruled.v1.Ruled", profile)).validate(right)
    ParseDict(dict(right), GetMessageClass(ruled.FindMessageTypeByName("acme.ruled.v1.Ruled"))())


@pytest.mark.parametrize(
    "wrong",
    [
        {"lo": 0},
        {"hi": 11},
        {"wide": 4},
        {"few": 3},
        {"few": "3"},
        {"share": 0.95},
        {"agreed": False},
        {"id": "no"},
        {"from": "axb"},
        {"lang": "fr"},
        {"plain": "0123456789"},
        {"trimmed": "xyz"},
        {"key": "AAE="},
        {"size": "SIZE_L"},
        {"other": "SIZE_UNSPECIFIED"},
        {"mails": ["nobody"]},
        {"stock": {}},
        {"stock": {"abcd": 1}},
        {"stock": {"abc": -1}},
        {"maybe": "b"},
        {"maybeCode": "abcd"},
        {"hi": 10},  # beside lo
        {"door": "there"},  # beside shop
    ],
    ids=str,
)
def test_what_breaks_a_rule_is_refused_by_the_schema(ruled: DescriptorPool, wrong: Any) -> None:
    check = Validator(made(ruled, "acme.ruled.v1.Ruled"), format_checker=Validator.FORMAT_CHECKER)
    check.validate(RIGHT)
    assert not check.is_valid({**RIGHT, **wrong})


def test_one_of_a_group_may_be_demanded(ruled: DescriptorPool) -> None:
    check = Validator(made(ruled, "acme.ruled.v1.Ruled"))
    for key in ("shop", "lo"):
        assert not check.is_valid({name: value for name, value in RIGHT.items() if name != key})
    said = made(ruled, "acme.ruled.v1.Ruled", "simple")["description"]
    assert "Exactly one of shop, door." in said
    assert "Exactly one of lo, hi." in said


def test_what_json_schema_cannot_say_is_said_in_words(ruled: DescriptorPool) -> None:
    schema = made(ruled, "acme.ruled.v1.Ruled")
    assert schema["description"] == "Rule: lo is below hi"
    said = {name: each.get("description", "") for name, each in schema["properties"].items()}
    assert said["lo"] == "None of 13."
    assert said["outside"] == "More than 9 or less than 0."
    assert said["from"] == "Ends with 'z'."
    assert said["address"] == "Of the form: ip."
    assert said["plain"] == "Does not contain 'y'. None of 'x'."
    assert said["wait"].endswith("At most 90s.")
    assert said["when"] == "In the past. Within 60s of now."
    assert said["extra"].endswith("One of type.googleapis.com/acme.A.")
    assert said["even"] == "Rule: size(this) % 2 == 0"
    assert said["fixed"] == "Cannot be changed later."
    simple = made(ruled, "acme.ruled.v1.Ruled", "simple")["properties"]
    assert simple["wide"]["description"] == "At least 5 and at most 9007199254740993."
    assert schema["properties"]["lo"]["examples"] == [7]


def test_rules_are_for_what_is_sent_only(ruled: DescriptorPool) -> None:
    taken = made(ruled, "acme.ruled.v1.Ruled", output=True)
    Validator(taken).validate({"lo": -1, "size": "SIZE_L", "stock": {}, "shop": "", "door": ""})


def test_proto2_has_required_fields_defaults_groups_and_extensions(old: DescriptorPool) -> None:
    schema = made(old, "acme.old.v1.Old")
    assert schema["required"] == ["name"]
    defaults = {name: each["default"] for name, each in schema["properties"].items() if "default" in each}
    assert defaults == {
        "tries": 3,
        "wide": "-5",
        "greeting": "hello",
        "raw": "Af8=",
        "limit": "Infinity",
        "color": "BLUE",
        "on": True,
    }
    given = {
        "name": "n",
        "line": {"text": "t", "marks": [1]},
        "part": [{"text": "p"}],
        "[acme.old.v1.note]": "later",
        "[acme.old.v1.Old.Nested.nested]": {"text": "in"},
        "[acme.old.v1.counts]": ["1", 2],
    }
    check = Validator(schema)
    check.validate(given)
    ParseDict(given, GetMessageClass(old.FindMessageTypeByName("acme.old.v1.Old"))())
    for wrong in ({"line": {}}, {"[acme.old.v1.other]": 1}, {"[acme.old.v1.note]": 1}):
        assert not check.is_valid({**given, **wrong})


def test_the_simple_profile_has_no_references_and_no_odd_names(old: DescriptorPool) -> None:
    for pool, name in ((old, "acme.old.v1.Old"), (shop(), "acme.shop.v1.Order")):
        schema = made(pool, name, "simple")
        assert "$ref" not in json.dumps(schema)
        assert "$defs" not in schema
        assert all(re.fullmatch(r"[a-zA-Z0-9_.-]{1,64}", key) for key in schema["properties"])
    order = made(shop(), "acme.shop.v1.Order", "simple")["properties"]
    assert "weird" in order  # its name in JSON is @weird-name
    assert "default" not in made(old, "acme.old.v1.Old", "simple")["properties"]["limit"]


def test_the_simple_profile_cuts_recursion_short_with_a_note() -> None:
    tree = made(shop(), "acme.shop.v1.Tree", "simple")
    assert tree["properties"]["children"]["items"] == {
        "type": "object",
        "description": "As acme.shop.v1.Tree above.",
    }
    Validator(tree).validate({"name": "a", "children": [{"name": "b", "children": [{"name": "c"}]}]})
    listed = list_schema(
        shop().FindMessageTypeByName("acme.shop.v1.Tree"), Style(profile="simple"), "input", "messages", {}
    )
    items = listed["properties"]["messages"]["items"]
    assert items["properties"]["children"]["items"]["description"] == "As acme.shop.v1.Tree above."


def test_messages_that_multiply_do_not_make_endless_schemas() -> None:
    from google.protobuf import descriptor_pb2

    file = descriptor_pb2.FileDescriptorProto(name="many.proto", syntax="proto3")
    for number in range(10):
        message = file.message_type.add(name=f"M{number}")
        for field in range(1, 10):
            kind = f".M{number + 1}" if number < 9 else ".M0"
            message.field.add(name=f"f{field}", number=field, label=1, type=11, type_name=kind)
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    assert len(json.dumps(made(pool, "M0", "simple"))) < 256 * 1024


async def test_the_profile_of_an_upstream_is_that_of_its_tools() -> None:
    async with shop_upstream() as strict, shop_upstream(schema_profile="simple") as simple:
        assert "$defs" in tool(strict, "Orders_Create")["inputSchema"]
        assert "$defs" not in tool(simple, "Orders_Create")["inputSchema"]
