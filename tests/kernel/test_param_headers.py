from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico._core.protocol.headers import encode_header_value
from portico._core.protocol.param_headers import (
    check_params,
    header_map,
    invalid_header_reason,
    param_headers,
)
from portico.api import (
    HEADER_MISMATCH,
    Json,
    Refused,
)

X = "x-mcp-header"
SCHEMA: Json = {
    "type": "object",
    "properties": {
        "region": {"type": "string", X: "Region"},
        "count": {"type": "integer", X: "Count"},
        "dry": {"type": "boolean", X: "Dry-Run"},
        "deep": {"type": "object", "properties": {"er": {"type": "string", X: "Deeper"}}},
        "plain": {"type": "string"},
    },
}
MAP = header_map(SCHEMA)


def test_annotated_properties_are_found_on_every_level() -> None:
    assert MAP == {("region",): "Region", ("count",): "Count", ("dry",): "Dry-Run", ("deep", "er"): "Deeper"}
    assert invalid_header_reason(SCHEMA) is None


@pytest.mark.parametrize("schema", [None, True, [], "x", {}, {"properties": []}, {"properties": {"a": True}}])
def test_a_schema_without_annotations_is_fine_whatever_it_is(schema: Any) -> None:
    assert invalid_header_reason(schema) is None
    assert header_map(schema) == {}


def with_property(sub: Any, **more: Any) -> Json:
    return {"type": "object", "properties": {"a": sub}, **more}


@pytest.mark.parametrize(
    "schema",
    [
        with_property({"type": "string", X: ""}),
        with_property({"type": "string", X: "a b"}),
        with_property({"type": "string", X: "a:b"}),
        with_property({"type": "string", X: "é"}),
        with_property({"type": "string", X: "a\n"}),
        with_property({"type": "string", X: 7}),
        with_property({"type": "string", X: None}),
        with_property({"type": "number", X: "A"}),
        with_property({"type": "object", X: "A"}),
        with_property({"type": "array", X: "A"}),
        with_property({"type": ["string", "null"], X: "A"}),
        with_property({X: "A"}),
        {"type": "string", X: "A"},
        with_property({"type": "array", "items": {"type": "string", X: "A"}}),
        with_property({"anyOf": [{"type": "string", X: "A"}]}),
        with_property({"oneOf": [{"properties": {"b": {"type": "string", X: "A"}}}]}),
        with_property({}, additionalProperties={"type": "string", X: "A"}),
        with_property({}, patternProperties={".": {"type": "string", X: "A"}}),
        with_property({}, **{"$defs": {"d": {"type": "string", X: "A"}}}),
        with_property({"not": {"type": "string", X: "A"}}),
        with_property({}, **{"if": {"properties": {"b": {"type": "string", X: "A"}}}}),
        {"properties": {"a": {"type": "string", X: "Same"}, "b": {"type": "string", X: "sAME"}}},
    ],
)
def test_annotations_that_break_the_rules_are_found(schema: Json) -> None:
    assert invalid_header_reason(schema)


def test_data_that_looks_like_an_annotation_is_none() -> None:
    data = {"properties": {"x": {"type": "number", X: "not a token"}}, X: ""}
    schema = with_property(
        {"type": "object", "default": data, "enum": [data], "const": data, "examples": [data]}
    )
    assert invalid_header_reason(schema) is None


def test_a_reason_names_the_property() -> None:
    schema = {"properties": {"deep": {"properties": {"er": {"type": "number", X: "A"}}}}}
    assert "'deep.er'" in str(invalid_header_reason(schema))


def test_a_schema_of_any_depth_is_walked_without_recursion() -> None:
    schema: Json = {"type": "string", X: "A"}
    for _ in range(20_000):
        schema = {"items": schema}
    assert invalid_header_reason(schema)


def test_a_call_mirrors_what_it_has_a_value_for() -> None:
    arguments = {"region": "Zürich", "count": 10**20, "dry": False, "deep": {"er": None}, "plain": "x"}
    assert param_headers(MAP, arguments) == {
        "Mcp-Param-Region": encode_header_value("Zürich"),
        "Mcp-Param-Count": "100000000000000000000",
        "Mcp-Param-Dry-Run": "false",
    }


@pytest.mark.parametrize("arguments", [None, [], "x", {}, {"deep": "er"}, {"region": None}, {"count": 1.5}])
def test_absent_null_and_unfit_arguments_are_not_mirrored(arguments: Any) -> None:
    assert param_headers(MAP, arguments) == {}


ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "region": st.text() | st.none(),
        "count": st.integers() | st.none(),
        "dry": st.booleans() | st.none(),
        "deep": st.fixed_dictionaries({}, optional={"er": st.text()}) | st.none(),
    },
)


@given(ARGUMENTS)
def test_what_a_call_mirrors_agrees_with_it(arguments: Json) -> None:
    said = [(name.lower(), f" {value}\t") for name, value in param_headers(MAP, arguments).items()]
    check_params(MAP, arguments, said)
    for index in range(len(said)):
        with pytest.raises(Refused) as caught:
            check_params(MAP, arguments, said[:index] + said[index + 1 :])
        assert caught.value.code == HEADER_MISMATCH


@pytest.mark.parametrize("said", ["7", "+7", "007", " 7 ", "7.0", "7.000"])
@pytest.mark.parametrize("value", [7, 7.0])
def test_integers_are_compared_as_numbers(said: str, value: float) -> None:
    check_params(MAP, {"count": value}, [("mcp-param-count", said)])


def test_an_integer_written_with_a_point_is_mirrored_as_an_integer() -> None:
    assert param_headers(MAP, {"count": 42.0}) == {"Mcp-Param-Count": "42"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"count": 7}, "8"),
        ({"count": 7}, "7.5"),
        ({"count": 7}, "7."),
        ({"count": 7}, ".7"),
        ({"count": 2**53 + 1}, "9007199254740992.0"),
        ({"count": 7}, "0x7"),
        ({"count": 7}, "٧"),
        ({"count": 7}, ""),
        ({"count": 7}, "9" * 5000),
        ({"count": "7"}, "07"),
        ({"count": True}, "1"),
        ({"count": 7.5}, "7.5"),
        ({}, "7"),
        ({"count": None}, "null"),
        ({"count": [7]}, "7"),
        (None, "7"),
        ({"count": 7}, "=?base64?!?="),
    ],
)
def test_a_header_that_says_something_else_is_a_mismatch(arguments: Any, said: str) -> None:
    with pytest.raises(Refused) as caught:
        check_params(MAP, arguments, [("mcp-param-count", said)])
    assert caught.value.code == HEADER_MISMATCH


@pytest.mark.parametrize(("dry", "said"), [(True, "True"), (True, "1"), (False, "FALSE"), (True, "false")])
def test_booleans_are_true_and_false_and_nothing_else(dry: bool, said: str) -> None:
    with pytest.raises(Refused):
        check_params(MAP, {"dry": dry}, [("mcp-param-dry-run", said)])


def test_a_param_header_that_stands_twice_is_a_mismatch_even_with_one_value() -> None:
    with pytest.raises(Refused, match="twice"):
        check_params(MAP, {"region": "a"}, [("mcp-param-region", "a"), ("mcp-param-region", "a")])


def test_param_headers_nobody_asked_for_are_ignored() -> None:
    check_params(MAP, {"region": "a"}, [("mcp-param-region", "a"), ("mcp-param-other", "=?base64?!?=")])


def test_a_value_may_be_encoded_though_it_need_not_be() -> None:
    said = "=?base64?" + base64.b64encode(b"eu").decode() + "?="
    check_params(MAP, {"region": "eu"}, [("mcp-param-region", said)])
