from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico._core.protocol.jsonrpc import decode, encode
from portico._core.requests.shaping import server_info_member, shape_error, shape_result, url_elicitations
from portico.api import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    MISSING_CAPABILITY,
    RESOURCE_NOT_FOUND_LEGACY,
    UNSUPPORTED_VERSION,
    UPSTREAM_BAD_RESPONSE,
    URL_ELICITATION_REQUIRED_LEGACY,
    Era,
    Json,
    Refused,
    Result,
)

INFO = server_info_member({"name": "gw", "version": "1"})
SERVER_INFO = {"io.modelcontextprotocol/serverInfo": {"name": "gw", "version": "1"}}


def modern(raw: bytes, method: str = "tools/call") -> bytes:
    return shape_result(Result(raw=raw), method, Era.MODERN, INFO).raw


def legacy(raw: bytes, method: str = "tools/call") -> bytes:
    return shape_result(Result(raw=raw), method, Era.LEGACY, INFO).raw


# --- results for modern clients ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "raw"),
    [
        ("tools/call", b'{ "resultType":"complete" , "content":[ ],"_meta":{}, "n":1.10e2}'),
        ("tools/call", b'{"resultType":"input_required","requestState":"s","_meta":{"a":1}}'),
        (
            "resources/read",
            b'\n{"contents":[],"ttlMs":5,"cacheScope":"public","_meta":{},"resultType":"complete"}\n',
        ),
        ("resources/read", b'{"resultType":"input_required","_meta":{},"inputRequests":{}}'),
        ("server/discover", b'{"resultType":"complete","ttlMs":0,"cacheScope":"private","_meta":{}}'),
    ],
)
def test_a_result_that_lacks_nothing_keeps_its_very_bytes(method: str, raw: bytes) -> None:
    result = Result(raw=raw)
    assert shape_result(result, method, Era.MODERN, INFO) is result
    assert result.raw is raw


@pytest.mark.parametrize("raw", [b"{}", b"{ }", b" \n{\t}\r\n ", b" {}"])
def test_an_empty_result_gets_what_a_modern_one_must_have(raw: bytes) -> None:
    assert decode(modern(raw)) == {"resultType": "complete", "_meta": SERVER_INFO}
    assert decode(modern(raw, "resources/read")) == {
        "resultType": "complete", "ttlMs": 0, "cacheScope": "private", "_meta": SERVER_INFO,
    }  # fmt: skip


def test_what_was_there_stays_byte_for_byte_behind_what_is_added() -> None:
    raw = b' { "content" : [{"type":"new","x":1.00}] ,"big":123456789012345678901234567890} '
    shaped = modern(raw)
    assert shaped.endswith(raw.lstrip()[1:].lstrip())
    assert decode(shaped)["big"] == 123456789012345678901234567890


def test_only_what_is_missing_is_added() -> None:
    assert modern(b'{"resultType":"complete"}') == b"{" + INFO + b',"resultType":"complete"}'
    shaped = decode(modern(b'{"contents":[],"ttlMs":9,"_meta":{"a":1}}', "resources/read"))
    assert shaped == {
        "contents": [], "ttlMs": 9, "_meta": {"a": 1}, "resultType": "complete", "cacheScope": "private",
    }  # fmt: skip


@pytest.mark.parametrize("method", ["tools/call", "prompts/get", "completion/complete", "tasks/get"])
def test_what_may_not_be_cached_gets_no_hints(method: str) -> None:
    assert b"ttlMs" not in modern(b"{}", method)


def test_a_question_gets_no_cache_hints() -> None:
    raw = b'{"resultType":"input_required","requestState":"s"}'
    assert b"ttlMs" not in modern(raw, "resources/read")


@pytest.mark.parametrize("raw", [b"[]", b'"x"', b"null", b"1", b"", b"{", b'{"a":1'])
def test_a_result_that_is_no_object_is_the_upstreams_fault(raw: bytes) -> None:
    for shape in (modern, legacy):
        with pytest.raises(Refused) as caught:
            shape(raw)
        assert caught.value.code == UPSTREAM_BAD_RESPONSE


KEYS = st.sampled_from(["resultType", "_meta", "ttlMs", "cacheScope", "content", "x"])
SPACE = st.sampled_from(["", " ", "\n", "\t "])


@given(st.dictionaries(KEYS, st.sampled_from(["complete", 1, None, {}, []])), SPACE, SPACE, SPACE)
def test_splicing_adds_members_and_changes_none(members: Json, before: str, inside: str, after: str) -> None:
    text = encode(members).decode()
    raw = (before + "{" + inside + text[1:] + after).encode()
    shaped = decode(modern(raw, "resources/read"))
    assert {key: shaped[key] for key in members} == members
    assert shaped.keys() >= {"resultType", "_meta"}


# --- results for legacy clients ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b'{"content":[], "structuredContent": {"a":1}}',
        b'{"resultType":"complete","ttlMs":1,"content":[]}',
        b"{ }",
    ],
)
def test_a_legacy_client_gets_the_very_bytes(raw: bytes) -> None:
    assert legacy(raw) is raw


@pytest.mark.parametrize("era", Era)
def test_what_the_kernel_made_for_a_client_is_not_looked_at_until_somebody_changes_it(era: Era) -> None:
    result = Result(raw=b"made here, so not looked at")
    result.shaped = result.raw
    assert shape_result(result, "tools/list", era, INFO) is result
    result.value = {"structuredContent": [1], "tools": []}
    shaped = shape_result(result, "tools/list", era, INFO)
    assert shaped.value.keys() >= {"tools"}
    assert ("structuredContent" in shaped.value, "ttlMs" in shaped.value) == ((era is Era.MODERN,) * 2)


@pytest.mark.parametrize("structured", ["[1]", '"x"', "7", "null", "true", " [1]"])
def test_structured_content_that_is_no_object_is_left_out_for_legacy_clients(structured: str) -> None:
    raw = f'{{"content":[],"structuredContent":{structured},"n":10000000000000000000000}}'.encode()
    assert decode(legacy(raw)) == {"content": [], "n": 10**22}
    assert b"structuredContent" in modern(raw)


# --- errors --------------------------------------------------------------------------------------------


def error(
    code: int, era: Era, method: str = "tools/call", params: Json | None = None, data: Any = None
) -> Refused:
    return shape_error(Refused(code, "why", data), method, params or {}, era)


def test_codes_that_mean_the_same_pass_in_both_eras() -> None:
    for code in (METHOD_NOT_FOUND, INVALID_PARAMS, -1, 50300, -32001):
        for era in Era:
            refusal = Refused(code, "why", {"a": 1})
            assert shape_error(refusal, "tools/call", {}, era) is refusal


def test_a_modern_client_learns_of_a_missing_resource_in_its_own_words() -> None:
    refusal = error(RESOURCE_NOT_FOUND_LEGACY, Era.MODERN, "resources/read", {"uri": "x://y"})
    assert (refusal.code, refusal.message, refusal.data) == (INVALID_PARAMS, "why", {"uri": "x://y"})
    kept = error(RESOURCE_NOT_FOUND_LEGACY, Era.MODERN, "resources/read", {}, {"uri": "own"})
    assert kept.data == {"uri": "own"}


def test_a_legacy_client_learns_of_a_missing_resource_in_its_own_words() -> None:
    refusal = error(INVALID_PARAMS, Era.LEGACY, "resources/read", {}, {"uri": "x://y"})
    assert (refusal.code, refusal.data) == (RESOURCE_NOT_FOUND_LEGACY, {"uri": "x://y"})


@pytest.mark.parametrize(
    ("method", "data"),
    [
        ("tools/call", {"uri": "x"}),
        ("resources/read", None),
        ("resources/read", {"other": 1}),
        ("resources/read", []),
    ],
)
def test_other_invalid_params_stay_what_they_are(method: str, data: Any) -> None:
    assert error(INVALID_PARAMS, Era.LEGACY, method, {}, data).code == INVALID_PARAMS


def test_legacy_codes_never_reach_a_modern_client() -> None:
    for code in (RESOURCE_NOT_FOUND_LEGACY, URL_ELICITATION_REQUIRED_LEGACY):
        assert error(code, Era.MODERN).code in (INVALID_PARAMS, INTERNAL_ERROR)


@pytest.mark.parametrize(
    ("code", "legacy_code"),
    [
        (HEADER_MISMATCH, INTERNAL_ERROR),
        (UNSUPPORTED_VERSION, INTERNAL_ERROR),
        (MISSING_CAPABILITY, INVALID_REQUEST),
    ],
)
def test_modern_codes_never_reach_a_legacy_client(code: int, legacy_code: int) -> None:
    assert error(code, Era.LEGACY).code == legacy_code
    assert error(code, Era.MODERN).code == code


def test_a_legacy_client_keeps_its_own_code_for_pages_to_open() -> None:
    assert error(URL_ELICITATION_REQUIRED_LEGACY, Era.LEGACY).code == URL_ELICITATION_REQUIRED_LEGACY


# --- -32042 --------------------------------------------------------------------------------------------


def elicitations(data: Any) -> Result | None:
    return url_elicitations(Refused(URL_ELICITATION_REQUIRED_LEGACY, "open this", data))


def test_pages_to_open_become_questions_without_ids() -> None:
    item = {"mode": "url", "elicitationId": "7", "url": "https://x.example/", "message": "log in"}
    result = elicitations({"elicitations": [item, {"url": "https://y.example/"}]})
    assert result is not None
    assert result.value == {
        "resultType": "input_required",
        "inputRequests": {
            "url-0": {
                "method": "elicitation/create",
                "params": {"mode": "url", "url": "https://x.example/", "message": "log in"},
            },
            "url-1": {"method": "elicitation/create", "params": {"url": "https://y.example/", "mode": "url"}},
        },
    }


@pytest.mark.parametrize(
    "data",
    [None, [], {}, {"elicitations": None}, {"elicitations": []}, {"elicitations": [1, {}, {"url": 7}]}],
)
def test_nothing_to_open_is_no_question(data: Any) -> None:
    assert elicitations(data) is None
