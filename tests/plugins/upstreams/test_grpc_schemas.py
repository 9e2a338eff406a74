"""Schemas made of descriptors say what ProtoJSON takes, and every one of them is valid JSON Schema."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message_factory import GetMessageClass

from portico_plugins.upstreams.grpc.descriptors import comments_of
from portico_plugins.upstreams.grpc.methods import chosen, methods_of
from portico_plugins.upstreams.grpc.rules import Rules
from portico_plugins.upstreams.grpc.schemas import Style, input_schema, output_schema
from tests.plugins.upstreams.grpc_kit import SERVICES, descriptor_set, shop

Validator = jsonschema.Draft202012Validator
STRICT = Style()
SIMPLE = Style(profile="simple")


def schema(name: str, style: Style = STRICT, output: bool = False) -> Any:
    message = shop().FindMessageTypeByName(name if "." in name else f"acme.shop.v1.{name}")
    return (output_schema if output else input_schema)(message, style)


def definitions(profile: Any) -> dict[str, Any]:
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptor_set()).file
    style = Style(comments_of({each.name: each for each in files}), profile, Rules(shop()))
    left: list[str] = []
    made = methods_of(
        shop(),
        SERVICES,
        chosen(("*",), ()),
        "service",
        style,
        output_schemas=True,
        left_out=lambda name, why: left.append(f"{name}: {why}"),
    )
    assert left == []
    return {name: method.definition for name, method in made.items()}


@pytest.mark.parametrize("profile", ["strict", "simple"])
def test_every_schema_is_valid_and_of_an_object(profile: str) -> None:
    found = definitions(profile)
    assert len(found) == 17
    for definition in found.values():
        for each in (definition["inputSchema"], definition["outputSchema"]):
            Validator.check_schema(each)
            assert each["type"] == "object"
            text = json.dumps(each)
            for name in each.get("$defs", {}):
                assert f'"#/$defs/{name}"' in text
            for name in re.findall(r'"#/\$defs/([^"]+)"', text):
                assert name in each["$defs"]


def test_the_simple_profile_has_no_unions() -> None:
    def words(value: Any) -> Any:
        if isinstance(value, dict):
            assert not isinstance(value.get("type"), list)
            return set(value) | {word for each in value.values() for word in words(each)}
        return {word for each in value for word in words(each)} if isinstance(value, list) else set()

    for definition in definitions("simple").values():
        used = words(definition["inputSchema"]) | words(definition["outputSchema"])
        assert not {"oneOf", "anyOf", "allOf", "not"} & used
    assert "At most one of address, pickupPoint, lockerId." in schema("Order", SIMPLE)["description"]


ORDER = {"customerId": "c"}
GOOD: list[dict[str, Any]] = [
    {"amountCents": "9007199254740993"},
    {"amountCents": -5},
    {"big": str(2**64 - 1)},
    {"qty": -(2**31)},
    {"count": 2**32 - 1},
    {"price": "NaN", "weight": "-Infinity"},
    {"blob": "AP8="},
    {"status": "STATUS_OPEN"},
    {"tags": ["a"], "counts": {"x": "5"}, "byFloor": {"-3": {"street": "s"}}, "flags": {"true": "x"}},
    {"pickupPoint": "here"},
    {"address": {"street": "s"}},
    {"due": "2026-11-21T00:00:00Z", "ttl": "1.500s", "mask": "a.b,cD"},
    {"meta": {"a": [1, None]}, "anyJson": [1], "lst": [1, "x"]},
    {"extra": {"@type": "type.googleapis.com/acme.shop.v1.Address", "street": "x"}},
    {"maybeBig": "5", "maybeText": "x", "maybe": True, "maybeDouble": 1.5},
    {"maybeBig": None, "maybeText": None, "maybe": None, "maybeDouble": None},
    {"optQty": 0},
    {"tree": {"name": "r", "children": [{"name": "c", "children": [{}]}]}},
    {"nothing": None},
    {"@weird-name": "w"},
    {"inner": {"wide": "-1", "narrow": 1, "zig": -1}},
]
BAD: list[dict[str, Any]] = [
    {"nope": 1},
    {"qty": "x"},
    {"qty": 2**31},
    {"count": -1},
    {"amountCents": 1.5},
    {"amountCents": "1.5"},
    {"big": -1},
    {"status": "NOPE"},
    {"pickupPoint": "a", "lockerId": 1},
    {"pickupPoint": "a", "address": {}},
    {"byFloor": {"x": {}}},
    {"flags": {"maybe": "x"}},
    {"ttl": "1.5"},
    {"tree": {"children": [{"nope": 1}]}},
    {"address": {"nope": 1}},
    {"tags": "a"},
    {"gift": "yes"},
    {"extra": {"street": "x"}},
]


@pytest.mark.parametrize("given", GOOD, ids=",".join)
def test_what_the_schema_takes_protobuf_takes(given: dict[str, Any]) -> None:
    Validator(schema("Order")).validate({**ORDER, **given})
    order = GetMessageClass(shop().FindMessageTypeByName("acme.shop.v1.Order"))()
    ParseDict({**ORDER, **given}, order, descriptor_pool=shop())


@pytest.mark.parametrize("given", BAD, ids=str)
def test_what_protobuf_refuses_the_schema_refuses(given: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        Validator(schema("Order")).validate({**ORDER, **given})
    order = GetMessageClass(shop().FindMessageTypeByName("acme.shop.v1.Order"))()
    with pytest.raises((ParseError, ValueError)):
        ParseDict({**ORDER, **given}, order, descriptor_pool=shop())


def test_field_behaviour_decides_what_is_required_and_which_way_a_field_goes() -> None:
    given, taken = schema("Order"), schema("Order", output=True)
    assert given["required"] == ["customerId"]
    assert "id" not in given["properties"]
    assert "secret" in given["properties"]
    assert "id" in taken["properties"]
    assert "secret" not in taken["properties"]
    assert given["additionalProperties"] is False
    assert "additionalProperties" not in taken


def test_an_optional_field_is_no_oneof() -> None:
    groups = schema("Order")["allOf"]
    assert len(groups) == 1
    assert [each["required"] for each in groups[0]["oneOf"][:3]] == [
        ["address"],
        ["pickupPoint"],
        ["lockerId"],
    ]


def test_recursion_refers_to_itself() -> None:
    tree = schema("Tree")
    assert tree["$defs"]["acme.shop.v1.Tree"]["properties"]["children"]["items"] == {
        "$ref": "#/$defs/acme.shop.v1.Tree"
    }
    assert "$defs" not in schema("Which")


def test_a_deprecated_field_says_so() -> None:
    assert schema("Order")["properties"]["old"]["deprecated"] is True


def test_what_is_no_object_is_in_a_property_of_one() -> None:
    assert schema("google.protobuf.StringValue")["required"] == ["value"]
    assert schema("google.protobuf.Struct") == {"type": "object"}
    assert schema("google.protobuf.Empty")["additionalProperties"] is False


def test_an_output_may_have_values_the_enum_got_later() -> None:
    Validator(schema("Order", output=True)).validate({"status": 77, "later": "field"})


def test_an_any_with_nothing_in_it_may_come_back() -> None:
    Validator(schema("Order", output=True)).validate({"extra": {}})
    assert not Validator(schema("Order")).is_valid({"customerId": "c", "extra": {}})


def test_protovalidate_rules_are_in_the_schema() -> None:
    made = input_schema(shop().FindMessageTypeByName("acme.shop.v1.Checked"), Style(rules=Rules(shop())))
    Validator.check_schema(made)
    found = made["properties"]
    assert made["required"] == ["email"]
    assert (found["email"]["format"], found["email"]["maxLength"]) == ("email", 100)
    assert (found["age"]["minimum"], found["age"]["exclusiveMaximum"]) == (0, 150)
    names = found["names"]
    assert (names["minItems"], names["maxItems"], names["uniqueItems"]) == (1, 5, True)
    assert found["code"]["pattern"] == "^[A-Z]{3}$"
    assert "pattern" not in found["fancy"]  # RE2 means something else by it
    assert found["labels"]["maxProperties"] == 3


def test_effects_are_known_from_idempotency_and_http_mappings() -> None:
    found = definitions("strict")
    assert found["Orders_Get"]["annotations"] == {"readOnlyHint": True}
    assert found["Orders_Peek"]["annotations"] == {"readOnlyHint": True}
    assert found["Orders_Cancel"]["annotations"] == {"idempotentHint": True}
    assert "Deprecated." in found["Orders_Cancel"]["description"]
    assert "annotations" not in found["Orders_Create"]


def _chain(length: int) -> DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(name="chain.proto", syntax="proto3")
    for number in range(length):
        message = file.message_type.add(name=f"M{number}")
        kind = f".M{number + 1}" if number + 1 < length else ".M0"
        message.field.add(name="next", number=1, label=1, type=11, type_name=kind, json_name="next")
    file.service.add(name="Deep").method.add(name="Do", input_type=".M0", output_type=".M0")
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def test_a_chain_of_ten_thousand_messages_is_left_out_and_the_rest_stays() -> None:
    left: list[str] = []
    made = methods_of(
        _chain(10_000),
        ["Deep"],
        chosen(("*",), ()),
        "service",
        STRICT,
        output_schemas=True,
        left_out=lambda name, why: left.append(f"{name}: {why}"),
    )
    assert made == {}
    assert left == ["Deep/Do: its schema is larger than 65536 bytes"]


def test_proto2_knows_what_is_required() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="two.proto", syntax="proto2")
    message = file.message_type.add(name="Two")
    message.field.add(name="must", number=1, label=2, type=9, json_name="must")
    message.field.add(name="may", number=2, label=1, type=9, json_name="may")
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    assert input_schema(pool.FindMessageTypeByName("Two"), STRICT)["required"] == ["must"]
