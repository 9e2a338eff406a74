"""Pins as such: what is hashed, what becomes of changes, and what is shown of them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico._core.catalog.building import build_view
from portico._core.catalog.differences import differences
from portico._core.catalog.odd_text import odd_text
from portico._core.catalog.pins import (
    MOST_ABSENT,
    MOST_RESOURCES,
    OnChange,
    Pins,
    Seen,
    Verdict,
    key_of,
    look,
    settle,
)
from portico._core.catalog.shadows import conflicts, skeleton
from portico._core.catalog.view import ServerSpec
from portico._core.contracts.json import Json
from portico._core.contracts.upstreams import Offer
from portico._core.steps import finished

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def tool(name: str = "t", **more: object) -> Json:
    return {"name": name, "inputSchema": {"type": "object"}, **more}


def looked(offer: Offer, before: dict[str, Seen]) -> dict[str, Seen]:
    return finished(look(offer, before))


def seen_of(*tools: Json) -> dict[str, Seen]:
    return looked(Offer(tools=tools), {})


def first_sight(seen: dict[str, Seen]) -> Pins:
    return settle(Pins(), seen, set(seen), {}, "quarantine", 1.0).pins


def again(
    pins: Pins, seen: dict[str, Seen], on_change: OnChange, *, fresh: bool = True, former: Any = None
) -> Verdict:
    return settle(pins, seen, set(seen) if fresh else set(), former or {}, on_change, 2.0)


def test_the_order_of_members_is_no_change_and_everything_else_is() -> None:
    (one,) = seen_of({"name": "t", "title": "T", "inputSchema": {"a": 1, "b": 2}}).values()
    (other,) = seen_of({"inputSchema": {"b": 2, "a": 1}, "title": "T", "name": "t"}).values()
    assert one.digest == other.digest
    base = tool(
        description="d", title="T", annotations={"readOnlyHint": True}, icons=[{"src": "x"}], _meta={}
    )
    changes: list[Json] = [
        {},
        {"description": "e"},
        {"title": "U"},
        {"annotations": {"readOnlyHint": 1}},
        {"_meta": {"a": 1}},
        {"icons": [{"src": "y"}]},
        {"inputSchema": {"type": "object", "required": []}},
        {"new": None},
    ]
    digests = {each.digest for more in changes for each in seen_of({**base, **more}).values()}
    assert len(digests) == 8


def test_what_a_resource_says_of_its_content_is_no_part_of_its_definition() -> None:
    def of(**more: object) -> str:
        (found,) = looked(Offer(resources=({"uri": "a://b", "name": "b", **more},)), {}).values()
        return found.digest

    plain = of(annotations={"audience": ["user"]})
    assert plain == of(size=7, annotations={"audience": ["user"], "lastModified": "2026-01-01T00:00:00Z"})
    assert plain != of(annotations={"audience": ["assistant"]})
    assert of() != of(mimeType="text/html")


def test_a_definition_that_is_the_same_object_is_not_looked_at_again() -> None:
    definition = tool()
    first = looked(Offer(tools=(definition,)), {})
    assert looked(Offer(tools=(definition, tool("u"))), first)["tools/t"] is first["tools/t"]


def test_every_kind_of_definition_is_pinned_and_the_instructions_too() -> None:
    offer = Offer(
        tools=(tool(),),
        prompts=({"name": "p"},),
        resources=({"uri": "a://b"},),
        templates=({"uriTemplate": "a://{x}"},),
        instructions="Be kind.",
    )
    assert set(looked(offer, {})) == {
        "tools/t", "prompts/p", "resources/a://b", "templates/a://{x}", "instructions",
    }  # fmt: skip


def test_a_change_is_held_back_shown_or_taken_over() -> None:
    pins, after = first_sight(seen_of(tool())), seen_of(tool(description="d"))
    held = again(pins, after, "quarantine")
    assert (held.held, held.changed) == (frozenset({("tools", "t")}), ("tools/t",))
    assert held.pins.digests == pins.digests
    assert held.pins.pending["tools/t"].definition == tool(description="d")
    warned = again(pins, after, "warn")
    assert (len(warned.held), set(warned.pins.pending)) == (0, {"tools/t"})
    accepted = again(pins, after, "accept")
    assert (accepted.held, accepted.pins.pending) == (frozenset(), {})
    assert accepted.pins.definitions() == {"tools/t": tool(description="d")}
    assert again(accepted.pins, after, "quarantine").held == frozenset()


def test_a_change_is_told_once_and_its_moment_kept() -> None:
    after = seen_of(tool(description="d"))
    held = again(first_sight(seen_of(tool())), after, "quarantine")
    later = settle(held.pins, after, set(after), {}, "quarantine", 9.0)
    assert (later.pins is held.pins, later.changed) == (True, ())
    assert later.held == held.held


def test_what_was_approved_holds_and_only_that() -> None:
    pins = first_sight(seen_of(tool(), tool("u")))
    after = seen_of(tool(description="d"), tool("u", description="e"))
    held = again(pins, after, "quarantine").pins
    approved = again(held.approved(["tools/t"]), after, "quarantine")
    assert (set(approved.held), set(approved.pins.pending)) == ({("tools", "u")}, {"tools/u"})
    assert approved.pins.definitions()["tools/t"] == tool(description="d")


def test_going_back_is_no_change_any_more() -> None:
    before = seen_of(tool())
    pins = first_sight(before)
    held = again(pins, seen_of(tool(description="d")), "quarantine").pins
    back = again(held, before, "quarantine")
    assert (back.held, back.pins.pending, back.pins.digests) == (frozenset(), {}, pins.digests)


def test_a_tool_that_went_and_comes_back_changed_is_compared() -> None:
    pins = first_sight(seen_of(tool(), tool("u")))
    gone = again(pins, seen_of(tool("u")), "quarantine")
    assert gone.pins is pins
    back = again(gone.pins, seen_of(tool(description="d"), tool("u")), "quarantine")
    assert back.held == {("tools", "t")}


def test_a_new_tool_is_pinned_as_it_is() -> None:
    verdict = again(first_sight(seen_of(tool())), seen_of(tool(), tool("u")), "quarantine")
    assert (verdict.new, verdict.held) == (("tools/u",), frozenset())
    assert again(verdict.pins, seen_of(tool("u", title="U")), "quarantine").held == {("tools", "u")}


def test_processes_that_see_different_things_do_not_correct_each_other_for_ever() -> None:
    one, two = seen_of(tool(description="1")), seen_of(tool(description="2"))
    for on_change in ("accept", "warn", "quarantine"):
        pins = again(again(first_sight(seen_of(tool())), one, on_change).pins, two, on_change).pins
        for mine in (one, two, one):  # each hears of what the other wrote
            after = again(pins, mine, on_change, fresh=False)
            assert (after.pins is pins, after.changed) == (True, ())


def test_what_another_process_has_seen_is_held_back_here_too() -> None:
    before, after = seen_of(tool()), seen_of(tool(description="d"))
    held = again(first_sight(before), after, "quarantine").pins
    here = again(held, before, "quarantine", fresh=False)
    assert (set(here.held), here.pins is held) == ({("tools", "t")}, True)
    assert again(held, before, "warn", fresh=False).held == frozenset()


def test_who_has_not_looked_again_does_not_take_an_approved_change_for_another() -> None:
    before, after = seen_of(tool()), seen_of(tool(description="d"))
    pins = first_sight(before)
    approved = again(pins, after, "quarantine").pins.approved(["tools/t"])
    stale = again(approved, before, "quarantine", fresh=False, former=pins.digests)
    assert (set(stale.held), stale.pins is approved) == (set(), True)
    assert again(approved, before, "quarantine", former=pins.digests).held == {("tools", "t")}
    other = again(approved, seen_of(tool(title="T")), "quarantine", fresh=False, former=pins.digests)
    assert other.held == {("tools", "t")}


def test_of_what_is_not_offered_any_more_only_so_much_is_remembered_and_resources_go_first() -> None:
    many = tuple({"uri": f"a://{number}"} for number in range(MOST_ABSENT))
    pins = first_sight(looked(Offer(tools=(tool(), tool("u")), resources=many), {}))
    left = again(pins, seen_of(tool("v")), "warn").pins
    assert len(left.digests) == MOST_ABSENT + 1
    assert {"tools/t", "tools/u", "tools/v"} <= left.digests.keys()


def test_of_a_whole_file_system_the_first_resources_are_pinned() -> None:
    many = tuple({"uri": f"a://{number}"} for number in range(MOST_RESOURCES + 7))
    assert len(looked(Offer(resources=many, templates=many[:1]), {})) == MOST_RESOURCES + 1


def test_pins_are_what_they_were_when_they_come_back_from_their_record() -> None:
    pins = again(first_sight(seen_of(tool(), tool("u"))), seen_of(tool(title="T")), "warn").pins
    config = msgspec.json.decode(msgspec.json.encode(pins.as_config()))
    back = Pins.of(config)
    assert back.same_as(pins)
    assert back.definitions() == pins.definitions() == {"tools/t": tool(), "tools/u": tool("u")}
    assert back.pending["tools/t"].definition == tool(title="T")
    assert back.as_config() == config


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"digests": {"tools/t": "short"}, "pending": {}, "definitions": ""},
        {"digests": {}, "pending": {"tools/t": {"since": 1}}, "definitions": ""},
        {"digests": [], "pending": {}, "definitions": ""},
    ],
)
def test_what_are_no_pins_is_said_to_be_none(config: Json) -> None:
    with pytest.raises(ValueError, match="these are no"):
        Pins.of(config)


def test_what_was_seen_while_nobody_could_be_told_is_kept_beside_what_holds() -> None:
    mine = first_sight(seen_of(tool(), tool("mine")))
    theirs = first_sight(seen_of(tool(title="T")))
    both = theirs.above(mine)
    assert both.digests == {**mine.digests, **theirs.digests}
    assert both.definitions() == {"tools/t": tool(title="T"), "tools/mine": tool("mine")}


@pytest.mark.parametrize("name", ["a\x00b\n", "x" * 5000, "\ud800"])
def test_any_name_makes_a_key_that_can_be_kept(name: str) -> None:
    key = key_of("tools", name)
    assert key.isprintable()
    assert len(key) < 512
    assert key.encode()


# --- differences ---------------------------------------------------------------------------------------


def test_differences_name_each_field() -> None:
    before = {"a": {"b": 1, "gone": 2}, "list": [{"x": 1}, 2], "same": [1]}
    after = {"a": {"b": True}, "list": [{"x": 2}], "same": [1], "new key": None}
    found = [(each.path, each.what, each.before, each.after) for each in differences(before, after)]
    assert found == [
        ("a.b", "changed", 1, True),
        ("a.gone", "removed", 2, None),
        ("list[0].x", "changed", 1, 2),
        ("list[1]", "removed", 2, None),
        ('"new key"', "added", None, None),
    ]


@given(JSON, JSON)
def test_values_differ_exactly_when_their_json_does(before: object, after: object) -> None:
    def text(value: object) -> bytes:
        return msgspec.json.encode(value, order="deterministic")

    assert bool(differences(before, after)) == (text(before) != text(after))


# --- characters ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ab\u202ec", "description: U+202E RIGHT-TO-LEFT OVERRIDE"),
        ("\U000e0041", "description: U+E0041 TAG LATIN CAPITAL LETTER A"),
        ("a\u200bb", "description: U+200B ZERO WIDTH SPACE"),
        ("\x1b[2J", "description: U+001B CONTROL"),
        ("\x00", "description: U+0000 CONTROL"),
        ("\x9b31m", "description: U+009B CONTROL"),
    ],
)
def test_characters_that_people_do_not_see_are_found(text: str, found: str) -> None:
    assert next(iter(seen_of(tool(description=text)).values())).odd == (found,)


@pytest.mark.parametrize("text", ["Zeile\n\tund\r\n", "👩‍💻 ünïcödé 日本語", "\\u001b \\b \\f \\u00e9", ""])
def test_ordinary_text_has_none(text: str) -> None:
    value = {"description": text}
    assert odd_text(value, msgspec.json.encode(value)) == ()


def test_names_of_members_are_looked_at_too() -> None:
    value = {"properties": {"a\u200bb": {"type": "string"}}}
    assert odd_text(value, msgspec.json.encode(value)) == ("properties: U+200B ZERO WIDTH SPACE",)


# --- names in dispute ----------------------------------------------------------------------------------


def reported(spec: ServerSpec, **offers: Offer) -> set[tuple[str, str, str, str, str]]:
    view = build_view(spec, offers)
    return {(e.kind, e.name, e.upstream, e.other, e.why) for e in conflicts("s", view, spec.separator)}


def test_names_that_another_upstream_has_or_seems_to_have_are_reported() -> None:
    one = Offer(tools=(tool("search"), tool("read")), prompts=({"name": "p"},), resources=({"uri": "a://x"},))
    two = Offer(
        tools=(tool("search"), tool("Read"), tool("one__read"), tool("sеаrch")),
        prompts=({"name": "p"},),
        resources=({"uri": "a://x"},),
    )
    assert reported(ServerSpec("s", ("one", "two")), one=one, two=two) == {
        ("tools", "search", "two", "one", "same"),
        ("tools", "Read", "two", "one", "similar"),
        ("tools", "sеаrch", "two", "one", "similar"),
        ("tools", "one__read", "two", "one", "mimics"),
        ("prompts", "p", "two", "one", "same"),
        ("resources", "a://x", "two", "one", "same"),
    }


def test_a_name_that_is_left_out_is_reported_as_that() -> None:
    both = Offer(tools=(tool("search"),))
    found = reported(ServerSpec("s", ("one", "two"), prefix="never"), one=both, two=both)
    assert found == {("tools", "search", "two", "one", "left_out")}


def test_names_of_one_upstream_among_themselves_are_its_own_affair() -> None:
    both = Offer(tools=(tool("search"), tool("Search"), tool("one__x")))
    assert reported(ServerSpec("s", ("one",)), one=both) == set()


@pytest.mark.parametrize("name", ["SEARCH", "ѕеаrсh", "ｓｅａｒｃｈ", "sea\u200brch", "sear\u00adch"])
def test_names_that_look_the_same_have_one_skeleton(name: str) -> None:
    assert skeleton(name) == "search"
