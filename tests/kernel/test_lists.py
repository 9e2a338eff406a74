from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico._core.catalog.building import build_view
from portico._core.catalog.view import ServerSpec
from portico._core.requests.lists import CURSOR_TTL, Lists
from portico._core.requests.shaping import shape_result
from portico._core.seal import Seal
from portico.api import GATEWAY, INVALID_PARAMS, METHOD_NOT_FOUND, Era, Json, Offer, Refused, Result
from portico.testing import FakeClock, make_exchange
from tests.kernel.doubles import ALICE, BOB, KEY, offer, tool

INFO = {"name": "gw", "version": "1"}


class Pages:
    """A server's lists with the clock their cursors age by."""

    def __init__(
        self,
        *offers: Offer,
        size: int = 0,
        private: bool = False,
        instructions: str | None = None,
        name: str = "default",
    ) -> None:
        self.clock = FakeClock()
        self.seal = Seal(KEY, "n", self.clock)
        self.lists = Lists(name, INFO, instructions, size, private, self.seal)
        self.offer(*offers)

    def offer(self, *offers: Offer) -> None:
        named = {f"u{index}": each for index, each in enumerate(offers)}
        self.lists.view = build_view(ServerSpec("default", tuple(named)), named)

    def raw(self, method: str = "tools/list", params: Json | None = None, **options: Any) -> bytes:
        return self.lists.answer(make_exchange(method, params or {}, **options)).raw

    def get(self, method: str = "tools/list", params: Json | None = None, **options: Any) -> Json:
        return self.lists.answer(make_exchange(method, params or {}, **options)).value

    def refused(self, method: str = "tools/list", params: Json | None = None, **options: Any) -> Refused:
        with pytest.raises(Refused) as caught:
            self.get(method, params, **options)
        return caught.value

    def names(self) -> list[str]:
        """Walk through all pages."""
        page = self.get()
        out = [each["name"] for each in page["tools"]]
        while "nextCursor" in page:
            page = self.get(params={"cursor": page["nextCursor"]})
            out += [each["name"] for each in page["tools"]]
        return out


def tools(*names: str) -> Offer:
    return offer(*names)


def test_a_modern_list_has_all_a_modern_result_must_have() -> None:
    assert Pages(tools("x")).get() == {
        "resultType": "complete",
        "tools": [tool("x")],
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": {"io.modelcontextprotocol/serverInfo": INFO},
    }


def test_a_legacy_list_has_nothing_modern() -> None:
    assert Pages(tools("x")).get(era=Era.LEGACY) == {"tools": [tool("x")]}


@pytest.mark.parametrize(
    ("method", "member"),
    [
        ("resources/list", "resources"),
        ("resources/templates/list", "resourceTemplates"),
        ("prompts/list", "prompts"),
    ],
)
def test_every_list_has_its_own_member(method: str, member: str) -> None:
    pages = Pages(offer(resources=["m://x"], templates=["m://{v}"], prompts=["p"]))
    assert len(pages.get(method)[member]) == 1


def test_a_list_is_encoded_once_per_era_until_the_catalog_changes() -> None:
    pages = Pages(tools("x"))
    assert pages.raw() is pages.raw()
    assert pages.raw(era=Era.LEGACY) is pages.raw(era=Era.LEGACY)
    before = pages.raw()
    pages.offer(tools("x", "y"))
    assert pages.raw() != before


@pytest.mark.parametrize("era", Era)
@pytest.mark.parametrize("size", [0, 1])
def test_a_list_needs_no_shaping(era: Era, size: int) -> None:
    pages = Pages(tools("a", "b"), size=size)
    result = pages.lists.answer(make_exchange("tools/list", era=era))
    assert result.shaped is result.raw
    unshaped = Result(raw=result.raw, era=era)
    assert shape_result(unshaped, "tools/list", era, pages.lists.meta, private=True).raw.count(b"ttlMs") == (
        era is Era.MODERN
    )


def test_every_principal_gets_the_same_list() -> None:
    pages = Pages(tools("x"))
    assert pages.raw(principal=ALICE) == pages.raw(principal=BOB)


def test_a_list_nobody_offers_is_an_unknown_method() -> None:
    assert Pages(tools("x")).refused("prompts/list").code == METHOD_NOT_FOUND


def test_hints_are_public_only_where_all_agree() -> None:
    shared = offer("x", ttl_ms=5000, public=True)
    assert Pages(shared).get()["cacheScope"] == "public"
    assert Pages(shared).get()["ttlMs"] == 5000
    assert Pages(shared, private=True).get()["cacheScope"] == "private"
    assert Pages(shared, tools("y")).get()["cacheScope"] == "private"


def test_an_output_schema_legacy_clients_cannot_have_is_left_out_for_them() -> None:
    array = tool("a", outputSchema={"type": "array"}, n=10**30)
    fine = tool("o", outputSchema={"type": "object"})
    untyped = tool("u", outputSchema={"anyOf": []})
    pages = Pages(offer(array, fine, untyped))
    assert pages.get(era=Era.LEGACY)["tools"] == [tool("a", n=10**30), fine, tool("u")]
    assert pages.get()["tools"] == [array, fine, untyped]


# --- discovery -----------------------------------------------------------------------------------------


def test_discovery_says_who_we_are_and_what_can_be_done() -> None:
    assert Pages(offer("x", instructions="Be kind.")).get("server/discover") == {
        "resultType": "complete",
        "supportedVersions": ["2026-07-28"],
        "capabilities": {"tools": {"listChanged": True}},
        "instructions": "Be kind.",
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": {"io.modelcontextprotocol/serverInfo": INFO},
    }


def test_configured_instructions_replace_the_upstreams_even_by_nothing() -> None:
    said = offer("x", instructions="Be kind.")
    assert Pages(said, instructions="Ours.").get("server/discover")["instructions"] == "Ours."
    assert "instructions" not in Pages(said, instructions="").get("server/discover")


# --- pages ---------------------------------------------------------------------------------------------

NAMES = [f"t{number}" for number in range(7)]


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 8, 0])
def test_the_pages_together_are_the_list(size: int) -> None:
    pages = Pages(tools(*NAMES), size=size)
    assert pages.names() == NAMES
    first = pages.get()
    assert len(first["tools"]) == min(size or 7, 7)
    assert ("nextCursor" in first) == (0 < size < 7)


def test_a_null_cursor_is_no_cursor() -> None:
    assert Pages(tools("x")).get(params={"cursor": None})["tools"] == [tool("x")]


def test_a_cursor_given_out_before_page_sizes_were_turned_off_gets_the_rest() -> None:
    pages = Pages(tools(*NAMES), size=2)
    cursor = pages.get()["nextCursor"]
    whole = Pages(tools(*NAMES))
    rest = whole.get(params={"cursor": cursor})
    assert [each["name"] for each in rest["tools"]] == NAMES[2:]
    assert "nextCursor" not in rest


def rest_after(before: list[str], after: list[str], size: int = 3) -> list[str]:
    pages = Pages(tools(*before), size=size)
    cursor = pages.get()["nextCursor"]
    pages.offer(tools(*after))
    return [each["name"] for each in pages.get(params={"cursor": cursor})["tools"]]


def test_what_was_added_before_the_place_shifts_nothing() -> None:
    assert rest_after(["a", "b", "c", "d", "e"], ["new", "a", "b", "c", "d", "e"]) == ["d", "e"]


def test_what_was_removed_before_the_place_skips_nothing() -> None:
    assert rest_after(["a", "b", "c", "d", "e"], ["c", "d", "e"]) == ["d", "e"]


def test_if_the_last_item_shown_has_gone_its_old_place_has_to_do() -> None:
    assert rest_after(["a", "b", "c", "d", "e"], ["a", "b", "d", "e", "f"]) == ["e", "f"]


def test_if_the_list_has_become_shorter_than_the_place_the_page_is_empty() -> None:
    assert rest_after(["a", "b", "c", "d"], ["z"]) == []


@given(
    st.lists(st.sampled_from(NAMES), unique=True, min_size=3), st.lists(st.sampled_from(NAMES), unique=True)
)
def test_walking_while_the_catalog_changes_ends_and_repeats_nothing_while_its_place_is_known(
    before: list[str], after: list[str]
) -> None:
    after = [name for name in NAMES if name in after]
    before = [name for name in NAMES if name in before]
    pages = Pages(tools(*before), size=2)
    page = pages.get()
    seen = [each["name"] for each in page["tools"]]
    pages.offer(tools(*after, "last"))
    for _ in range(len(NAMES) + 2):
        if "nextCursor" not in page:
            break
        page = pages.get(params={"cursor": page["nextCursor"]})
        seen += [each["name"] for each in page["tools"]]
    assert "nextCursor" not in page
    assert before[1] not in after or len(seen) == len(set(seen))


def test_a_resource_listed_twice_upstream_does_not_make_paging_go_round() -> None:
    pages = Pages(offer(resources=["m://a", "m://b", "m://a", "m://c"]), size=1)
    seen, cursor = [], None
    for _ in range(3):
        page = pages.get("resources/list", {"cursor": cursor})
        seen += [each["uri"] for each in page["resources"]]
        cursor = page.get("nextCursor")
    assert seen == ["m://a", "m://b", "m://c"]
    assert cursor is None


@pytest.mark.parametrize("cursor", ["", "abc", 7, [], {}, "A" * 200])
def test_a_cursor_that_is_not_ours_is_invalid_params(cursor: Any) -> None:
    assert Pages(tools(*NAMES), size=2).refused(params={"cursor": cursor}).code == INVALID_PARAMS


def test_a_cursor_belongs_to_one_list_of_one_server() -> None:
    pages = Pages(offer(*NAMES, prompts=["p"]), size=2)
    cursor = pages.get()["nextCursor"]
    assert pages.refused("prompts/list", {"cursor": cursor}).code == INVALID_PARAMS
    other = Pages(tools(*NAMES), size=2, name="other")
    assert other.refused(params={"cursor": cursor}).code == INVALID_PARAMS


def test_a_handle_of_another_kind_is_no_cursor() -> None:
    pages = Pages(tools(*NAMES), size=2)
    handle = pages.seal.close("state", GATEWAY, ["default", "tools/list", "t0", 1], 60)
    assert pages.refused(params={"cursor": handle}).code == INVALID_PARAMS


def test_a_cursor_expires() -> None:
    pages = Pages(tools(*NAMES), size=2)
    cursor = pages.get()["nextCursor"]
    pages.clock.advance(CURSOR_TTL + 1)
    assert pages.refused(params={"cursor": cursor}).code == INVALID_PARAMS


# --- standing for an upstream -------------------------------------------------------------------------


def standing_for(*offers: Offer) -> Lists:
    """The lists of a server that is what its only upstream is."""
    lists = Lists("default", INFO, None, 0, False, Seal(KEY, "n", FakeClock()))
    named = {f"u{index}": each for index, each in enumerate(offers)}
    lists.view = build_view(ServerSpec("default", tuple(named), as_upstream=True), named)
    return lists


def test_a_server_that_stands_for_its_only_upstream_calls_itself_what_that_does() -> None:
    other = {"name": "remote", "version": "7", "title": "Remote"}
    known = attrs.evolve(offer(tool("a")), info=other)
    assert standing_for(known).info == other
    assert standing_for(known, known).info == INFO
    for nonsense in ({"name": "remote"}, {"name": 1, "version": "7"}, [], None):
        assert standing_for(attrs.evolve(known, info=nonsense)).info == INFO


def test_while_nothing_is_known_of_that_upstream_it_declares_whatever_it_may_bring() -> None:
    everything = {"tools", "resources", "prompts", "completions"}
    assert standing_for(Offer()).discover()["capabilities"].keys() == everything
    assert standing_for(offer(tool("a"))).discover()["capabilities"].keys() == {"tools"}
    assert standing_for(Offer()).info == INFO
