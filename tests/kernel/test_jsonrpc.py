from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portico._core.protocol.jsonrpc import (
    Message,
    decode,
    depth_exceeds,
    encode,
    error_frame,
    notification_frame,
    parse,
    parse_batch,
    request_frame,
    result_frame,
)
from portico.api import INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR, Refused


def refusal(body: bytes, **options: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        parse(body, **options)
    return caught.value


CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":{"a":1}}}'


# --- what is one message -------------------------------------------------------------------------------


def test_a_request_is_decoded_once_and_whole() -> None:
    message = parse(CALL)
    assert message == Message("request", 1, "tools/call", {"name": "add", "arguments": {"a": 1}})


def test_absent_params_are_an_empty_object() -> None:
    assert parse(b'{"jsonrpc":"2.0","id":"x","method":"ping"}').params == {}


def test_a_message_without_an_id_is_a_notification_whatever_its_method() -> None:
    assert parse(b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":"add"}}').kind == "notification"


def test_responses_are_recognised() -> None:
    assert parse(b'{"jsonrpc":"2.0","id":3,"result":{"a":null}}') == Message("result", 3, "", {}, {"a": None})
    error = parse(b'{"jsonrpc":"2.0","id":"3","error":{"code":-1,"message":"no"}}')
    assert (error.kind, error.id, error.answer) == ("error", "3", {"code": -1, "message": "no"})


@pytest.mark.parametrize(
    "body",
    [
        b"1",
        b'"text"',
        b"null",
        b"[]",
        b"[" + CALL + b"]",
        b'{"id":1,"method":"ping"}',
        b'{"jsonrpc":"1.0","id":1,"method":"ping"}',
        b'{"jsonrpc":2.0,"id":1,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":null,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1.0,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":true,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":{},"method":"ping"}',
        b'{"jsonrpc":"2.0","id":[1],"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":7}',
        b'{"jsonrpc":"2.0","id":1,"method":""}',
        b'{"jsonrpc":"2.0","id":1,"Method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"' + b"m" * 257 + b'"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":null}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":"x"}',
        b'{"jsonrpc":"2.0","id":1,"method":"notifications/cancelled"}',
        b'{"jsonrpc":"2.0"}',
        b'{"jsonrpc":"2.0","result":{}}',
        b'{"jsonrpc":"2.0","id":1}',
        b'{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}',
        b'{"jsonrpc":"2.0","id":1,"result":[]}',
        b'{"jsonrpc":"2.0","id":1,"error":"no"}',
        b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}',
    ],
)
def test_what_is_not_one_message_is_an_invalid_request(body: bytes) -> None:
    assert refusal(body).code == INVALID_REQUEST


def test_a_meta_that_is_no_object_is_invalid_params() -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":[]}}'
    assert refusal(body).code == INVALID_PARAMS


# --- what is strict JSON -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        CALL[:-1],
        CALL + b"x",
        CALL + CALL,
        CALL.replace(b'"a":1', b'"a":1,'),
        CALL.replace(b'"a":1', b'"a":NaN'),
        CALL.replace(b'"a":1', b'"a":Infinity'),
        CALL.replace(b'"a":1', b'"a":-Infinity'),
        CALL.replace(b'"a":1', b'"a":1e999'),
        CALL.replace(b'"a":1', b'"a":01'),
        CALL.replace(b'"a":1', b'"a":+1'),
        CALL.replace(b'"a":1', b"\"a\":'x'"),
        CALL.replace(b'"a":1', b"a:1"),
        CALL.replace(b'"a":1', b'"a":"\x01"'),
        CALL.replace(b'"a":1', b'"a":"\\x41"'),
        CALL.replace(b'"a":1', b'"a":"\xff"'),
        CALL.replace(b'"a":1', b'"a":"\xed\xa0\x80"'),
        CALL.replace(b'"a":1', b'"a":"\\ud800"'),
        CALL.replace(b'"a":1', b'"a":"\\udc00\\ud800"'),
        CALL.replace(b'"a":1', b'"a":' + b"9" * 5000),
        b"\xef\xbb\xbf" + CALL,
        CALL.decode().encode("utf-16"),
        CALL.decode().encode("utf-16-le"),
        CALL.decode().encode("utf-32"),
        b"// c\n" + CALL,
    ],
)
def test_what_is_not_strict_utf8_json_is_a_parse_error(body: bytes) -> None:
    assert refusal(body).code == PARSE_ERROR


@pytest.mark.parametrize(
    "number", [2**63 - 1, -(2**63), 2**64, 10**29 + 7, -(10**40) - 1, 2**53 + 1, 10**4000 + 3]
)
def test_integers_stay_exact_whatever_their_size(number: int) -> None:
    body = CALL.replace(b'"a":1', b'"a":%d' % number)
    message = parse(body)
    assert message.params["arguments"]["a"] == number
    assert b'"a":%d' % number in encode(message.params)


@pytest.mark.parametrize("ident", ["7", "", "é", 7, 0, -1, 2**63 - 1, 10**29])
def test_an_id_is_echoed_with_its_type_and_value(ident: str | int) -> None:
    message = parse(encode({"jsonrpc": "2.0", "id": ident, "method": "ping"}))
    echoed = decode(result_frame(message.id, b"{}"))["id"]
    assert (echoed, type(echoed)) == (ident, type(ident))


# --- nesting -------------------------------------------------------------------------------------------


def nested(levels: int) -> bytes:
    # The envelope, params and arguments are three levels of their own.
    return CALL.replace(b'"a":1', b'"a":' + b"[" * levels + b"]" * levels)


def test_the_deepest_level_allowed_is_taken_and_the_next_is_not() -> None:
    assert parse(nested(61)).kind == "request"
    assert refusal(nested(62)).code == PARSE_ERROR


def test_brackets_in_strings_do_not_nest() -> None:
    text = b'"' + b"[{" * 100 + b'\\"[[' * 50 + b'"'
    assert parse(CALL.replace(b'"a":1', b'"a":' + text)).kind == "request"


def test_very_deep_nesting_is_refused_and_does_not_crash() -> None:
    assert refusal(b"[" * 200_000).code == PARSE_ERROR
    assert refusal(b'{"a":' * 200_000).code == PARSE_ERROR


def test_depth_is_found_in_one_pass_even_in_text_that_never_ends_its_strings() -> None:
    # With backtracking, each quote would be the start of another look at all that follows.
    assert not depth_exceeds(b"[]" * 70 + b'\\"' * 500_000, 64)


@given(
    st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_depth_is_what_a_naive_count_says(value: Any) -> None:
    def levels(node: Any) -> int:
        if isinstance(node, dict):
            return 1 + max(map(levels, node.values()), default=0)
        return 1 + max(map(levels, node), default=0) if isinstance(node, list) else 0

    body, depth = encode(value), levels(value)
    assert not depth_exceeds(body, depth)
    assert depth == 0 or depth_exceeds(body, depth - 1)


# --- members that stand twice --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        CALL.replace(b'"id":1', b'"id":1,"id":2'),
        CALL.replace(b'"method"', b'"method":"tools/list","method"'),
        CALL.replace(b'"jsonrpc":"2.0"', b'"jsonrpc":"2.0","jsonrpc":"2.0"'),
        CALL.replace(b'"params"', b'"params":{"name":"safe"},"params"'),
        CALL.replace(b'"params"', b'"params":[],"params"'),
        CALL.replace(b'"name"', b'"name":"safe","name"'),
        CALL.replace(b'"name"', b'"name" : "safe" , "name"'),
        CALL.replace(b'"arguments"', b'"arguments":{},"arguments"'),
        CALL.replace(b'"id"', b'"\\u006dethod":"tools/list","id"'),
        CALL.replace(b'"name"', b'"n\\u0061me":"safe","name"'),
        CALL.replace(b'"name"', b'"n\\u0061me":"safe","na\\u006de"'),
        CALL.replace(b'"name"', b'"x/y":1,"x\\/y":2,"name"'),
        CALL.replace(b'"name"', b'"x\\ny":1,"x\\ny":2,"name"'),
        CALL.replace(b'"name"', b'"x\\"":1,"x\\"":2,"name"'),
        CALL.replace(b'"name"', b'"x\\\\":1,"x\\\\":2,"name"'),
        CALL.replace(b'"name"', '"é":1,"é":2,"name"'.encode()),
        CALL.replace(b'"name"', '"é":1,"\\u00e9":2,"name"'.encode()),
        CALL.replace(b'"name"', b'"":1,"":2,"name"'),
        CALL.replace(b'"name"', b",".join(b'"k%d":1' % i for i in range(40)) + b',"k7":2,"name"'),
    ],
)
def test_a_member_that_stands_twice_is_a_parse_error(body: bytes) -> None:
    decode(body)  # it is JSON; parsers just disagree about it
    assert refusal(body).code == PARSE_ERROR


@pytest.mark.parametrize(
    "arguments",
    [
        b'{"name":"name","method":"method","id":"id"}',
        b'{"a":"\\u0041","name":"n\\u0061me"}',
        b'["name","name","params","jsonrpc"]',
        b'{"text":"\\"name\\":\\"name\\""}',
        b'{"name":{"name":{"name":1}}}',
    ],
)
def test_names_that_stand_in_different_objects_or_in_values_are_fine(arguments: bytes) -> None:
    body = CALL.replace(b'{"a":1}', arguments)
    assert parse(body).params["arguments"] == json.loads(arguments)


def test_a_member_that_stands_twice_deep_in_the_arguments_is_what_goes_upstream_once() -> None:
    message = parse(CALL.replace(b'"a":1', b'"a":1,"a":2'))
    assert encode(message.params["arguments"]) == b'{"a":2}'


def test_a_great_many_members_are_judged_in_one_pass() -> None:
    # A search of the text for each of the names would look at 10^11 bytes.
    members = b",".join(b'"k%d":1' % number for number in range(100_000))
    assert len(parse(CALL.replace(b'"name":"add"', members)).params) == 100_001


NAMES = st.text(alphabet='ab"\\/\n\u00e9\ud7ff', max_size=3)


@given(st.lists(NAMES, max_size=5), st.lists(NAMES, max_size=5), st.booleans())
def test_exactly_the_ambiguous_messages_are_refused(outer: list[str], inner: list[str], ascii_: bool) -> None:
    def members(names: list[str], fixed: list[str]) -> str:
        return ",".join([*fixed, *(f"{json.dumps(name, ensure_ascii=ascii_)}:0" for name in names)])

    params = "{" + members(inner, ['"name":"x"']) + "}"
    fixed = ['"jsonrpc":"2.0"', '"id":1', '"method":"m"', f'"params":{params}']
    body = ("{" + members(outer, fixed) + "}").encode()
    ambiguous = len(set(inner)) < len(inner) or len(set(outer)) < len(outer)
    if ambiguous:
        assert refusal(body).code == PARSE_ERROR
    else:
        assert parse(body).kind == "request"


# --- batches -------------------------------------------------------------------------------------------


def test_a_batch_is_taken_apart_in_order_and_its_bad_members_are_refused_alone() -> None:
    note = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
    items = parse_batch(b"[" + b" , ".join([CALL, b"1", note, b"[]", b'{"jsonrpc":"2.0","id":null}']) + b"]")
    kinds = [item.code if isinstance(item, Refused) else item.kind for item in items]
    assert kinds == ["request", INVALID_REQUEST, "notification", INVALID_REQUEST, INVALID_REQUEST]


def test_a_member_of_a_batch_is_as_strict_as_a_message_alone() -> None:
    items = parse_batch(b"[" + CALL.replace(b'"name"', b'"name":"safe","name"') + b"]")
    assert isinstance(items[0], Refused)
    assert items[0].code == PARSE_ERROR


@pytest.mark.parametrize("body", [b"[]", b"{}", CALL, b"[" + b",".join([CALL] * 51) + b"]"])
def test_an_empty_or_overlong_batch_is_an_invalid_request(body: bytes) -> None:
    with pytest.raises(Refused) as caught:
        parse_batch(body)
    assert caught.value.code == INVALID_REQUEST


def test_a_batch_that_is_no_json_is_a_parse_error() -> None:
    with pytest.raises(Refused) as caught:
        parse_batch(b"[" + CALL + b",]")
    assert caught.value.code == PARSE_ERROR


# --- frames --------------------------------------------------------------------------------------------

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text().filter(lambda key: key != "_meta"), VALUES, max_size=5)
IDS = st.integers() | st.text()


@given(IDS, st.text(min_size=1, max_size=60).filter(lambda m: not m.startswith("notifications/")), OBJECTS)
@settings(max_examples=200)
def test_a_request_survives_the_wire(ident: str | int, method: str, params: dict[str, Any]) -> None:
    assert parse(request_frame(ident, method, params)) == Message("request", ident, method, params)


@given(IDS, OBJECTS)
def test_a_response_survives_the_wire(ident: str | int, value: dict[str, Any]) -> None:
    assert parse(result_frame(ident, encode(value))) == Message("result", ident, "", {}, value)
    assert parse(error_frame(ident, value)) == Message("error", ident, "", {}, value)


@given(OBJECTS)
def test_a_notification_survives_the_wire(params: dict[str, Any]) -> None:
    frame = notification_frame("notifications/progress", params)
    assert parse(frame) == Message("notification", None, "notifications/progress", params)
    assert (b"params" in frame) or not params


def test_the_bytes_of_a_result_are_not_touched() -> None:
    raw = b'{ "b":1.10,"a":\t[1e2] , "big":123456789012345678901234567890}'
    assert result_frame("x", raw) == b'{"jsonrpc":"2.0","id":"x","result":' + raw + b"}"


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_arbitrary_bytes_are_a_message_or_a_refusal_and_nothing_else(body: bytes) -> None:
    try:
        code = parse(body) and 0
    except Refused as refused:
        code = refused.code
    assert code in (0, PARSE_ERROR, INVALID_REQUEST, INVALID_PARAMS)
