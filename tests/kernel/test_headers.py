from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico._core.protocol.headers import check_routing, decode_header_value, encode_header_value
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
