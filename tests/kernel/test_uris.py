from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico._core.catalog.uris import MAX_MATCHED, Template, disambiguate, rewrite_uris, scheme_of

# --- templates -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "uri"),
    [
        ("memo://notes", "memo://notes"),
        ("", ""),
        ("memo://{id}", "memo://7"),
        ("memo://{id}", "memo://"),
        ("memo://{id}/data", "memo://a%20b/data"),
        ("memo://{a,b}", "memo://1,2"),
        ("memo://{a}-{b}", "memo://x-y-z"),
        ("file://{+path}", "file:///etc/x?y#z"),
        ("file://{path*}", "file:///a/b"),
        ("x://y{#part}", "x://y#part"),
        ("x://y{#part}", "x://y"),
        ("x://y{.ext}", "x://y.tar.gz"),
        ("x://y{/a,b}", "x://y/1/2"),
        ("x://y{/a*}", "x://y"),
        ("x://y{;a}", "x://y;a=1"),
        ("x://y{?a,b}", "x://y?a=1&b=2"),
        ("x://y{?a}", "x://y"),
        ("x://y?z=1{&a}", "x://y?z=1&a=2"),
        ("{+all}", "any://thing"),
        ("a.c://{id}", "a.c://1"),
    ],
)
def test_a_template_recognises_its_expansions(template: str, uri: str) -> None:
    assert Template(template).matches(uri)


@pytest.mark.parametrize(
    ("template", "uri"),
    [
        ("memo://notes", "memo://notes2"),
        ("memo://notes", "memo://note"),
        ("memo://{id}", "memo://a/b"),
        ("memo://{id}", "memo://a?b"),
        ("memo://{id}", "memo://a#b"),
        ("memo://{id}", "MEMO://a"),
        ("memo://{id}/data", "memo://a/data/"),
        ("memo://{a}-{b}", "memo://xy"),
        ("x://y{?a}", "x://y?a=1#b"),
        ("x://y{.ext}", "x://yext"),
        ("x://y{/a}", "x://y/1?2"),
        ("a.c://{id}", "abc://1"),
        ("x://{id}", ""),
    ],
)
def test_a_template_recognises_nothing_else(template: str, uri: str) -> None:
    assert not Template(template).matches(uri)


CLASSES = {
    "": "[^/?#]*",
    "+": ".*",
    "#": "(?:#.*)?",
    ".": r"(?:\.[^/?#]*)?",
    "/": "(?:/[^?#]*)?",
    ";": "(?:;[^/?#]*)?",
    "?": r"(?:\?[^#]*)?",
    "&": "(?:&[^#]*)?",
}
PIECES = st.lists(
    st.tuples(st.text(alphabet="ab/?#.;&", max_size=3), st.sampled_from(sorted(CLASSES))), max_size=4
)


@given(PIECES, st.text(alphabet="ab/?#.;&", max_size=12), st.text(alphabet="ab/?#", max_size=2))
def test_matching_is_what_a_backtracking_pattern_would_say(
    pieces: list[tuple[str, str]], uri: str, tail: str
) -> None:
    template = "".join(f"{literal}{{{operator}v}}" for literal, operator in pieces) + tail
    pattern = "".join(re.escape(literal) + CLASSES[operator] for literal, operator in pieces) + re.escape(
        tail
    )
    assert Template(template).matches(uri) == bool(re.fullmatch(pattern, uri, re.DOTALL))


def test_a_hostile_template_does_not_go_back_and_forth_on_a_long_uri() -> None:
    # A backtracking matcher would try 16,000^60 ways and never come to its answer.
    uri = "x://" + "a" * 16_000
    assert not Template("x://" + "{v}" * 60 + "!").matches(uri)
    assert not Template("x://" + "{+v}a" * 60 + "!").matches(uri)
    assert Template("x://" + "{+v}a" * 60).matches(uri)


def test_a_uri_longer_than_any_honest_one_comes_from_no_template() -> None:
    assert Template("{+v}").matches("a" * MAX_MATCHED)
    assert not Template("{+v}").matches("a" * (MAX_MATCHED + 1))


@pytest.mark.parametrize("template", ["{", "}", "x://{", "x://{a", "{}", "x://{!a}", "{{a}}", "{?}"])
def test_a_malformed_template_is_no_error(template: str) -> None:
    Template(template).matches("x://a")
    assert Template("x://{").matches("x://{")


# --- telling apart -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "other"),
    [
        ("memo://notes", "memo://b~notes"),
        ("ui://page/x", "ui://b~page/x"),
        ("mailto:a@b", "mailto:b~a@b"),
        ("memo://{id}", "memo://b~{id}"),
        ("relative", "b~relative"),
        ("file:///x", "file://b~/x"),
    ],
)
def test_another_uri_for_the_same_thing_keeps_its_scheme(uri: str, other: str) -> None:
    assert disambiguate(uri, "b") == other


@given(st.text(), st.text(), st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,10}", fullmatch=True))
def test_different_uris_stay_different(one: str, two: str, upstream: str) -> None:
    assert (disambiguate(one, upstream) == disambiguate(two, upstream)) == (one == two)


def test_schemes_are_compared_in_lower_case() -> None:
    assert scheme_of("FILE:///x") == "file"
    assert scheme_of("no scheme") == ""


# --- rewriting -----------------------------------------------------------------------------------------

CHANGED = {"m://x": "m://b~x"}


def test_uris_are_rewritten_where_results_hold_them_and_nowhere_else() -> None:
    result: dict[str, Any] = {
        "contents": [{"uri": "m://x", "text": "m://x"}, {"uri": "m://y"}],
        "content": [
            {"type": "resource_link", "uri": "m://x", "name": "m://x"},
            {"type": "resource", "resource": {"uri": "m://x", "blob": ""}},
            {"type": "text", "text": "see m://x"},
        ],
        "messages": [{"role": "user", "content": {"type": "resource", "resource": {"uri": "m://x"}}}],
        "_meta": {"ui": {"resourceUri": "m://x", "csp": 1}, "ui/resourceUri": "m://x", "other": "m://x"},
        "structuredContent": {"uri": "m://x"},
    }
    untouched = repr(result)
    out = rewrite_uris(result, CHANGED)
    assert out["contents"] == [{"uri": "m://b~x", "text": "m://x"}, {"uri": "m://y"}]
    assert out["content"][0] == {"type": "resource_link", "uri": "m://b~x", "name": "m://x"}
    assert out["content"][1]["resource"] == {"uri": "m://b~x", "blob": ""}
    assert out["content"][2] == {"type": "text", "text": "see m://x"}
    assert out["messages"][0]["content"]["resource"]["uri"] == "m://b~x"
    assert out["_meta"] == {
        "ui": {"resourceUri": "m://b~x", "csp": 1}, "ui/resourceUri": "m://b~x", "other": "m://x",
    }  # fmt: skip
    assert out["structuredContent"] == {"uri": "m://x"}
    assert repr(result) == untouched


JSONISH = st.recursive(
    st.none() | st.integers() | st.just("m://x") | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["uri", "content", "contents", "messages", "resource", "_meta", "ui", "z"]), inner
        )
    ),
)


@given(JSONISH)
def test_anything_can_be_rewritten_and_without_changes_it_stays_equal(value: Any) -> None:
    assert rewrite_uris(value, {}) == value
    rewrite_uris(value, CHANGED)
