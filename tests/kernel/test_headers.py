from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico._core.protocol.headers import (
    check_envelope,
    check_params,
    check_routing,
    decode_header_value,
    encode_header_value,
    header_map,
    invalid_header_reason,
    param_headers,
)
from portico.api import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    LATEST_MODERN,
    META_CAPABILITIES,
    META_VERSION,
    UNSUPPORTED_VERSION,
    Json,
    Refused,
)

# --- values --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("us-west1", "us-west1"),
        ("", ""),
        ("a b", "a b"),
        ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
        ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ("=?base64?=", "=?base64?PT9iYXNlNjQ/PQ==?="),
        ("=?BASE64?x?=", "=?BASE64?x?="),
        ("tab\there", "=?base64?dGFiCWhlcmU=?="),
    ],
)
def test_values_are_encoded_as_the_specification_shows(value: str, encoded: str) -> None:
    assert encode_header_value(value) == encoded
    assert decode_header_value(encoded) == value


SENTINEL_LIKE = st.sampled_from(["=?base64?", "?=", "=", "?", "base64", "a", " ", "\n", "é", "QQ=="])


@given(st.text() | st.lists(SENTINEL_LIKE).map("".join))
def test_every_text_survives_the_header(value: str) -> None:
    encoded = encode_header_value(value)
    assert encoded.isascii()
    assert encoded == encoded.strip()
    assert not any(ord(char) < 32 or ord(char) == 127 for char in encoded)
    assert decode_header_value(encoded) == value


@pytest.mark.parametrize(
    "said",
    [
        "=?base64?!!!?=",
        "=?base64?QQ?=",
        "=?base64?QQ=?=",
        "=?base64?QR==?=",  # decodes, but is not how anybody encodes "A"
        "=?base64?Q Q==?=",
        "=?base64?QQ==\n?=",
        "=?base64?/w==?=",  # no UTF-8
        "=?base64?_w==?=",
        "=?base64?=",
        "é",
        "a\x00b",
        "a\x7fb",
        " a",
    ],
)
def test_what_no_encoder_writes_decodes_to_nothing(said: str) -> None:
    assert decode_header_value(said) is None


@given(st.text(max_size=40))
def test_decoding_never_fails_with_anything_but_none(said: str) -> None:
    decoded = decode_header_value(said)
    assert decoded is None or encode_header_value(decoded) == said


# --- the ladder ----------------------------------------------------------------------------------------


def params(version: Any = LATEST_MODERN, **more: Any) -> Json:
    return {**more, "_meta": {META_VERSION: version, META_CAPABILITIES: {}}}


def lines(method: str = "tools/call", **more: str) -> list[tuple[str, str]]:
    said = {"mcp-protocol-version": LATEST_MODERN, "mcp-method": method, **more}
    return [(name.replace("_", "-"), value) for name, value in said.items()]


def refused(method: str, body: Json, said: list[tuple[str, str]]) -> Refused:
    with pytest.raises(Refused) as caught:
        check_routing(method, body, said)
    return caught.value


def test_a_request_whose_headers_say_what_its_body_says_passes() -> None:
    check_routing("tools/call", params(name="add"), lines(mcp_name="add"))
    check_routing(
        "resources/read", params(uri="x://é"), lines("resources/read", mcp_name="=?base64?eDovL8Op?=")
    )
    check_routing("tasks/get", params(taskId="t"), lines("tasks/get", mcp_name="t"))
    check_routing("tools/list", params(), lines("tools/list"))


def test_white_space_around_a_value_is_not_part_of_it() -> None:
    check_routing(
        "tools/call",
        params(name="add"),
        [
            ("mcp-protocol-version", f"\t{LATEST_MODERN} "),
            ("mcp-method", " tools/call"),
            ("mcp-name", "add \t"),
        ],
    )


def test_other_headers_are_not_looked_at() -> None:
    check_routing("tools/list", params(), [*lines("tools/list"), ("x-other", "1"), ("x-other", "2")])


@pytest.mark.parametrize("name", ["mcp-protocol-version", "mcp-method", "mcp-name"])
def test_a_routing_header_that_stands_twice_is_refused_before_anything_else(name: str) -> None:
    twice = [*lines(mcp_name="add"), (name, dict(lines(mcp_name="add"))[name])]
    assert refused("tools/call", {}, twice).code == HEADER_MISMATCH


def test_the_ladder_has_its_rungs_in_the_order_of_the_specification() -> None:
    """Each request has every later fault as well; only the first is answered."""
    wrong_everything = [("mcp-method", "x"), ("mcp-method", "y")]
    assert refused("tools/call", {}, wrong_everything).code == HEADER_MISMATCH
    assert "twice" in refused("tools/call", {}, wrong_everything).message
    assert refused("tools/call", {}, [("mcp-method", "x")]).code == INVALID_PARAMS
    assert refused("tools/call", params("2031-01-01"), [("mcp-method", "x")]).code == HEADER_MISMATCH
    future = [("mcp-protocol-version", "2031-01-01"), ("mcp-method", "tools/call"), ("mcp-name", "add")]
    refusal = refused("tools/call", params("2031-01-01", name="add"), future)
    assert refusal.code == UNSUPPORTED_VERSION
    assert refusal.data == {"supported": [LATEST_MODERN], "requested": "2031-01-01"}


@pytest.mark.parametrize(
    "said",
    [
        [],
        lines()[1:],
        lines()[:1],
        lines("tools/list", mcp_name="add"),
        lines("Tools/Call", mcp_name="add"),
        lines(),
        lines(mcp_name="Add"),
        lines(mcp_name="=?base64?!?="),
        lines(mcp_name=""),
        [("mcp-protocol-version", "2025-11-25"), *lines(mcp_name="add")[1:]],
    ],
)
def test_missing_and_differing_headers_are_a_mismatch(said: list[tuple[str, str]]) -> None:
    assert refused("tools/call", params(name="add"), said).code == HEADER_MISMATCH


def test_a_bad_sentinel_is_a_mismatch_even_where_the_body_has_no_name() -> None:
    assert refused("tools/call", params(), lines(mcp_name="=?base64?!?=")).code == HEADER_MISMATCH


def test_a_raw_header_beyond_ascii_is_a_mismatch_though_the_body_has_the_same_characters() -> None:
    assert refused("tools/call", params(name="caf\xe9"), lines(mcp_name="caf\xe9")).code == HEADER_MISMATCH


@pytest.mark.parametrize("name", [7, None, ["add"], {"add": 1}])
def test_a_name_that_is_no_text_cannot_be_agreed_with(name: Any) -> None:
    assert refused("tools/call", params(name=name), lines(mcp_name=str(name))).code == HEADER_MISMATCH


@pytest.mark.parametrize(
    ("meta", "lacking"),
    [
        (None, [META_VERSION, META_CAPABILITIES]),
        ([], [META_VERSION]),
        ({META_VERSION: LATEST_MODERN}, [META_CAPABILITIES]),
        ({META_CAPABILITIES: {}}, [META_VERSION]),
    ],
)
def test_lacking_meta_keys_are_named(meta: Any, lacking: list[str]) -> None:
    with pytest.raises(Refused) as caught:
        check_envelope(meta)
    assert caught.value.code == INVALID_PARAMS
    assert all(key in caught.value.message for key in lacking)


@pytest.mark.parametrize(
    "meta",
    [
        {META_VERSION: 2026, META_CAPABILITIES: {}},
        {META_VERSION: LATEST_MODERN, META_CAPABILITIES: []},
        {META_VERSION: LATEST_MODERN, META_CAPABILITIES: None},
    ],
)
def test_meta_keys_of_the_wrong_type_are_invalid(meta: Json) -> None:
    with pytest.raises(Refused) as caught:
        check_envelope(meta)
    assert caught.value.code == INVALID_PARAMS


# --- x-mcp-header --------------------------------------------------------------------------------------

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
