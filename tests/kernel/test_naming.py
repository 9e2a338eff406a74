from __future__ import annotations

import re
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico._core.catalog.naming import MAX_NAME, Claim, Selection, advertise, prefixed

LEGAL = re.compile(r"[a-zA-Z0-9_-]{1,64}")
Prefix = Literal["never", "conflict", "always"]


def claims(*texts: str) -> list[Claim]:
    return [Claim(*text.split("/", 1)) for text in texts]


def names(
    texts: list[str], prefix: Prefix = "conflict", separator: str = "__", **selection: object
) -> dict[str, str]:
    given, _ = advertise(claims(*texts), Selection(**selection), prefix, separator)  # type: ignore[arg-type]
    return {name: f"{claim.upstream}/{claim.own}" for name, claim in given}


# --- modes ---------------------------------------------------------------------------------------------


def test_always_prefixes_every_name() -> None:
    assert names(["a/x", "b/y"], "always") == {"a__x": "a/x", "b__y": "b/y"}
    assert names(["a/x"], "always", "-") == {"a-x": "a/x"}


def test_never_leaves_every_name_alone_even_an_odd_one() -> None:
    assert names(["a/x.y", "b/" + "n" * 100], "never") == {"x.y": "a/x.y", "n" * 100: "b/" + "n" * 100}


def test_conflict_prefixes_all_claimants_of_a_disputed_name_and_nobody_else() -> None:
    assert names(["a/x", "a/y", "b/x"]) == {"a__x": "a/x", "y": "a/y", "b__x": "b/x"}


def test_a_name_means_the_same_whichever_upstream_comes_first() -> None:
    assert names(["a/x", "b/x"]) == names(["b/x", "a/x"])


def test_without_prefixes_a_disputed_name_stays_with_the_first_upstream_and_is_reported() -> None:
    given, conflicts = advertise(claims("a/x", "b/x", "c/x"), Selection(), "never", "__")
    a, b, c = claims("a/x", "b/x", "c/x")
    assert given == [("x", a)]
    assert conflicts == [("x", a, b), ("x", a, c)]


def test_a_prefixed_name_that_another_has_as_its_own_is_reported_not_overwritten() -> None:
    given, conflicts = advertise(claims("a/b__x", "a__b/x"), Selection(), "always", "__")
    assert dict(given) == {"a__b__x": Claim("a", "b__x")}
    assert conflicts == [("a__b__x", Claim("a", "b__x"), Claim("a__b", "x"))]


def test_an_upstream_that_lists_a_thing_twice_is_in_no_conflict_with_itself() -> None:
    given, conflicts = advertise(claims("a/x", "a/x"), Selection(), "conflict", "__")
    assert given == [("x", Claim("a", "x"))]
    assert conflicts == []


# --- the alphabet and the length -----------------------------------------------------------------------


def test_a_prefixed_name_of_exactly_the_longest_length_is_not_cut() -> None:
    own = "n" * (MAX_NAME - 3)
    assert prefixed(Claim("a", own), "__") == f"a__{own}"


def test_a_longer_one_is_cut_and_told_apart_by_a_digest() -> None:
    one, other = (prefixed(Claim("a", "n" * 80 + end), "__") for end in "xy")
    assert one != other
    assert one[: MAX_NAME - 9] == other[: MAX_NAME - 9]
    assert LEGAL.fullmatch(one)


def test_characters_hosts_do_not_take_are_replaced_and_told_apart_by_a_digest() -> None:
    dotted, spaced = prefixed(Claim("a", "x.y"), "__"), prefixed(Claim("a", "x y"), "__")
    assert dotted.startswith("a__x_y_")
    assert spaced.startswith("a__x_y_")
    assert len({dotted, spaced, prefixed(Claim("a", "x_y"), "__")}) == 3


UPSTREAMS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,47}", fullmatch=True)
OWN = st.text(min_size=1, max_size=90) | st.from_regex(r"[a-z_]{1,5}", fullmatch=True)
CLAIMS = st.lists(st.builds(Claim, UPSTREAMS, OWN), max_size=12)
MODES = st.sampled_from(["never", "conflict", "always"])


@given(UPSTREAMS, OWN, st.sampled_from(["__", "-"]))
def test_every_prefixed_name_fits(upstream: str, own: str, separator: str) -> None:
    assert LEGAL.fullmatch(prefixed(Claim(upstream, own), separator))


@given(CLAIMS, MODES, st.randoms())
def test_every_claim_gets_one_name_or_is_reported(claimed: list[Claim], mode: Prefix, random: object) -> None:
    given_, conflicts = advertise(claimed, Selection(), mode, "__")
    assert len(dict(given_)) == len(given_)
    kept = [claim for _, claim in given_]
    lost = [claim for _, _, claim in conflicts]
    assert sorted([*kept, *lost], key=repr) == sorted(set(claimed), key=repr)
    assert all((name, holder) in given_ for name, holder, _ in conflicts)


@given(CLAIMS, MODES)
def test_naming_is_a_pure_function_and_keeps_the_order(claimed: list[Claim], mode: Prefix) -> None:
    once = advertise(claimed, Selection(), mode, "__")
    assert advertise(list(claimed), Selection(), mode, "__") == once
    order = {claim: index for index, claim in reversed(list(enumerate(claimed)))}
    places = [order[claim] for _, claim in once[0]]
    assert places == sorted(places)


@given(CLAIMS.flatmap(lambda made: st.tuples(st.just(made), st.permutations(made))))
def test_with_prefixes_for_all_a_name_does_not_depend_on_the_order(
    pair: tuple[list[Claim], list[Claim]],
) -> None:
    one, other = (dict(advertise(claimed, Selection(), "always", "__")[0]) for claimed in pair)
    # Only who keeps a name that two prefixed ones fall on is decided by the order.
    assert one.keys() == other.keys()


# --- selection and aliases -----------------------------------------------------------------------------


def test_patterns_are_over_the_name_or_the_upstream_and_the_name() -> None:
    texts = ["a/get_x", "a/put_x", "b/get_x", "b/del"]
    assert set(names(texts, include=("get_*",))) == {"a__get_x", "b__get_x"}
    assert set(names(texts, include=("a/*",))) == {"get_x", "put_x"}
    assert set(names(texts, exclude=("b/*", "put_?"))) == {"get_x"}
    assert set(names(texts, include=("[gp]*",), exclude=("get_x",))) == {"put_x"}


def test_patterns_care_for_case() -> None:
    assert names(["a/Get"], include=("get",)) == {}


def test_exclusion_wins() -> None:
    assert names(["a/x"], include=("x",), exclude=("x",)) == {}
    assert Selection(exclude=("a/x",)).hides(Claim("a", "x"))
    assert not Selection(exclude=("a/x",)).hides(Claim("b", "x"))


def test_what_is_not_shown_disputes_no_name() -> None:
    assert names(["a/x", "b/x"], exclude=("b/x",)) == {"x": "a/x"}


def test_an_alias_is_taken_as_it_is() -> None:
    assert names(["a/x", "b/x"], "always", rename={"a/x": "mine"}) == {"mine": "a/x", "b__x": "b/x"}


def test_the_alias_with_the_upstream_goes_before_the_bare_one() -> None:
    assert names(["a/x"], rename={"x": "bare", "a/x": "full"}) == {"full": "a/x"}


def test_an_aliased_thing_no_longer_disputes_its_old_name() -> None:
    assert names(["a/x", "b/x"], rename={"a/x": "y"}) == {"y": "a/x", "x": "b/x"}


def test_an_alias_takes_its_name_from_a_thing_that_comes_earlier() -> None:
    assert names(["a/y", "b/x"], rename={"b/x": "y"}) == {"a__y": "a/y", "y": "b/x"}
    given, conflicts = advertise(claims("a/y", "b/x"), Selection(rename={"b/x": "y"}), "never", "__")
    assert dict(given) == {"y": Claim("b", "x")}
    assert conflicts == [("y", Claim("b", "x"), Claim("a", "y"))]


def test_two_things_under_one_alias_are_a_conflict() -> None:
    given, conflicts = advertise(claims("a/x", "b/x"), Selection(rename={"x": "one"}), "always", "__")
    assert dict(given) == {"one": Claim("a", "x")}
    assert [name for name, _, _ in conflicts] == ["one"]


@pytest.mark.parametrize("mode", ["never", "conflict", "always"])
def test_nothing_to_name_is_no_error(mode: Prefix) -> None:
    assert advertise([], Selection(), mode, "__") == ([], [])
