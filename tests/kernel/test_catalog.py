from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico._core.catalog.building import build_view
from portico._core.catalog.naming import Selection
from portico._core.catalog.union import has_tasks
from portico._core.catalog.view import ServerSpec, View
from portico._core.protocol.eras import TASKS_EXTENSION
from portico._core.protocol.jsonrpc import decode
from portico.api import INVALID_PARAMS, METHOD_NOT_FOUND, Era, Json, Offer, Refused, Target
from tests.kernel.doubles import offer, tool


def view(offers: dict[str, Offer], **spec: Any) -> View:
    return build_view(ServerSpec("default", tuple(offers), **spec), offers)


def listed(made: View, method: str = "tools/list") -> list[Json]:
    return [decode(raw) for _, raw in made.items[method]]


def refused(made: View, method: str, params: Json) -> Refused:
    with pytest.raises(Refused) as caught:
        made.route(method, params)
    return caught.value


# --- lists ---------------------------------------------------------------------------------------------


def test_definitions_pass_whole_in_config_order() -> None:
    definition = {
        "name": "t",
        "inputSchema": {"type": "object", "$defs": {"x": {"$ref": "https://x.example/"}}, "n": 10**30},
        "unknown": [None, {"deep": 1.5}],
        "_meta": {"k": "v"},
    }
    made = view({"b": offer("z", definition), "a": offer("y")})
    assert listed(made) == [tool("z"), definition, tool("y")]
    assert made.items["tools/list"][1][0] == "t"


def test_the_encoding_keeps_the_order_of_members() -> None:
    made = view({"a": offer({"z": 1, "name": "t", "a": 2, "inputSchema": {}})})
    assert made.items["tools/list"][0][1] == b'{"z":1,"name":"t","a":2,"inputSchema":{}}'


def test_the_same_offers_make_the_same_view() -> None:
    offers = {"a": offer("x", "y", resources=["m://x"]), "b": offer("x", resources=["m://x"])}
    assert view(offers).items == view(dict(offers)).items


def test_an_offer_that_lists_a_thing_twice_shows_it_once() -> None:
    made = view(
        {
            "a": offer(
                "x", "x", resources=["m://x", "m://x"], templates=["m://{v}", "m://{v}"], prompts=["p", "p"]
            )
        }
    )
    assert [len(items) for items in made.items.values()] == [1, 1, 1, 1]
    assert made.conflicts == []


def test_descriptions_are_overridden_by_either_name() -> None:
    describe = {"a/x": "full", "y": "own", "b__z": "shown", "m://r": "resource"}
    made = view(
        {"a": offer("x", "y", "z", resources=["m://r"]), "b": offer(tool("z", description="old"))},
        describe=describe,
    )
    told = {each["name"]: each.get("description") for each in listed(made)}
    assert told == {"x": "full", "y": "own", "a__z": None, "b__z": "shown"}
    assert listed(made, "resources/list")[0]["description"] == "resource"


def test_an_upstream_that_is_configured_but_not_there_is_left_out() -> None:
    made = build_view(ServerSpec("s", ("gone", "a")), {"a": offer("x")})
    assert [each["name"] for each in listed(made)] == ["x"]


def test_a_conflict_is_reported_with_both_upstreams() -> None:
    made = view({"a": offer("x", prompts=["p"]), "b": offer("x", prompts=["p"])}, prefix="never")
    assert made.conflicts == [("tools", "x", "a", "b"), ("prompts", "p", "a", "b")]
    assert made.route("tools/call", {"name": "x"}).upstream == "a"


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
FIELDS = st.sampled_from(["name", "uri", "uriTemplate", "inputSchema", "_meta", "ui", "description"])
DEFINITIONS = st.lists(
    st.dictionaries(FIELDS, ODD | st.fixed_dictionaries({"ui": ODD}), max_size=4), max_size=3
).map(tuple)
CAPABILITIES = st.dictionaries(
    st.sampled_from(["tools", "resources", "prompts", "extensions", "experimental", "logging"]), ODD
)


@given(st.builds(Offer, DEFINITIONS, DEFINITIONS, DEFINITIONS, DEFINITIONS, CAPABILITIES))
def test_nonsense_from_one_upstream_does_not_end_the_catalog_of_the_others(odd: Offer) -> None:
    made = view({"odd": odd, "good": offer("x", resources=["good://r"])})
    assert made.route("tools/call", {"name": "x"}).upstream in ("good", "odd")
    assert made.route("resources/read", {"uri": "good://r"}).upstream == "good"


# --- routing -------------------------------------------------------------------------------------------


def test_an_advertised_name_leads_to_the_upstreams_own() -> None:
    made = view({"a": offer("x"), "b": offer("x", prompts=["p"])})
    assert made.route("tools/call", {"name": "b__x"}) == Target("b", "x", tool("x"))
    assert made.route("prompts/get", {"name": "p"}) == Target("b", "p", {"name": "p"})


@pytest.mark.parametrize("name", ["x", "nope", "", None, 7, ["a__x"], {"a": 1}, "n" * 500])
def test_an_unknown_name_is_invalid_params(name: Any) -> None:
    made = view({"a": offer("x", prompts=["p"]), "b": offer("x")})
    assert refused(made, "tools/call", {"name": name}).code == INVALID_PARAMS
    assert refused(made, "prompts/get", {"name": name}).code == INVALID_PARAMS
    assert len(refused(made, "tools/call", {"name": name}).message) < 200


def test_a_hidden_tool_answers_like_an_unknown_one() -> None:
    made = view({"a": offer("x", "secret")}, tools=Selection(exclude=("secret",)))
    hidden = refused(made, "tools/call", {"name": "secret"})
    unknown = refused(made, "tools/call", {"name": "nothere"})
    assert hidden.code == unknown.code
    assert hidden.message.replace("secret", "nothere") == unknown.message


@pytest.mark.parametrize(
    "method",
    ["prompts/get", "prompts/list", "resources/read", "completion/complete", "logging/setLevel", "x/y"],
)
def test_a_method_without_its_capability_is_unknown(method: str) -> None:
    assert refused(view({"a": offer("x")}), method, {}).code == METHOD_NOT_FOUND


COMPLETES: Json = {"completions": {}}


def test_references_are_completed_where_the_thing_is() -> None:
    made = view(
        {"a": offer(prompts=["p"], capabilities=COMPLETES), "b": offer(prompts=["p"], templates=["m://{v}"])}
    )
    assert made.route("completion/complete", {"ref": {"type": "ref/prompt", "name": "b__p"}}).name == "p"
    by_template = made.route("completion/complete", {"ref": {"type": "ref/resource", "uri": "m://{v}"}})
    assert (by_template.upstream, by_template.name) == ("b", "m://{v}")
    by_uri = made.route("completion/complete", {"ref": {"type": "ref/resource", "uri": "m://7"}})
    assert (by_uri.upstream, by_uri.name) == ("b", "m://7")


@pytest.mark.parametrize(
    "ref",
    [
        None,
        [],
        "ref/prompt",
        {},
        {"type": "ref/tool", "name": "x"},
        {"type": ["ref/prompt"]},
        {"type": "ref/prompt", "name": "nope"},
        {"type": "ref/prompt", "name": {}},
        {"type": "ref/resource"},
        {"type": "ref/resource", "uri": []},
        {"type": "ref/resource", "uri": {}},
        {"type": "ref/resource", "uri": "zzz://"},
    ],
)
def test_a_reference_to_nothing_is_invalid_params(ref: Any) -> None:
    made = view(
        {
            "a": offer(prompts=["p"], resources=["m://x"], capabilities=COMPLETES),
            "b": offer(resources=["n://y"]),
        }
    )
    assert refused(made, "completion/complete", {"ref": ref}).code == INVALID_PARAMS


# --- URIs ----------------------------------------------------------------------------------------------


def test_uris_pass_unchanged_where_nobody_else_has_them() -> None:
    made = view({"a": offer(resources=["m://x"]), "b": offer(resources=["ui://page"])}, prefix="always")
    assert [each["uri"] for each in listed(made, "resources/list")] == ["m://x", "ui://page"]
    assert made.route_uri("ui://page") == Target("b", "ui://page", {"uri": "ui://page", "name": "ui://page"})


def test_a_collision_is_shown_as_something_else_and_leads_back() -> None:
    made = view({"a": offer(resources=["m://x"]), "b": offer(resources=["m://x"])})
    assert [each["uri"] for each in listed(made, "resources/list")] == ["m://x", "m://b~x"]
    for shown, upstream in (("m://x", "a"), ("m://b~x", "b")):
        target = made.route_uri(shown)
        assert (target.upstream, target.name) == (upstream, "m://x")
        assert made.advertised_uri(upstream, "m://x") == shown


def test_a_template_that_collides_leads_back_for_each_of_its_expansions() -> None:
    made = view({"a": offer(templates=["m://{v}"]), "b": offer(templates=["m://{v}"])})
    assert [each["uriTemplate"] for each in listed(made, "resources/templates/list")] == [
        "m://{v}",
        "m://b~{v}",
    ]
    for shown, upstream in (("m://7", "a"), ("m://b~7", "b")):
        target = made.route_uri(shown)
        assert (target.upstream, target.name) == (upstream, "m://7")
        assert made.advertised_uri(upstream, target.name) == shown
    only = view({"a": offer(resources=["m://{v}"]), "b": offer(templates=["m://{v}"])})
    assert (only.route_uri("m://b~7").upstream, only.route_uri("m://b~7").name) == ("b", "m://7")
    assert only.advertised_uri("b", "m://7") == "m://b~7"
    assert only.advertised_uri("b", "n://7") == "n://7"


def test_the_uri_a_collision_is_shown_as_may_itself_be_taken_and_then_nobody_loses_his() -> None:
    made = view({"a": offer(resources=["m://b~x", "m://x"]), "b": offer(resources=["m://x"])})
    assert made.route_uri("m://b~x") == Target("a", "m://b~x", {"uri": "m://b~x", "name": "m://b~x"})
    assert [each["uri"] for each in listed(made, "resources/list")] == ["m://b~x", "m://x"]
    assert made.conflicts == [("resources", "m://b~x", "a", "b")]


def test_links_in_definitions_are_rewritten_with_the_resource() -> None:
    ui = tool("t", _meta={"ui": {"resourceUri": "ui://p"}})
    made = view({"a": offer(resources=["ui://p"]), "b": offer(ui, resources=["ui://p"])})
    assert listed(made)[0]["_meta"]["ui"]["resourceUri"] == "ui://b~p"


def test_an_alias_renames_a_resource_and_leads_back() -> None:
    made = view({"a": offer(resources=["m://x"])}, resources=Selection(rename={"m://x": "n://mine"}))
    assert made.route_uri("n://mine").name == "m://x"
    assert made.advertised_uri("a", "m://x") == "n://mine"


def test_unlisted_resources_are_read_from_the_only_upstream_that_can_have_them() -> None:
    made = view(
        {
            "a": offer(tool("t", _meta={"ui": {"resourceUri": "ui://page"}}), resources=["m://x"]),
            "b": offer(resources=["n://y"]),
        }
    )
    assert made.route_uri("m://unlisted") == Target("a", "m://unlisted")
    assert made.route_uri("UI://other") == Target("a", "UI://other")
    refusal = refused(made, "resources/read", {"uri": "zzz://what"})
    assert (refusal.code, refusal.data) == (INVALID_PARAMS, {"uri": "zzz://what"})


def test_a_scheme_that_two_upstreams_use_says_nothing() -> None:
    made = view({"a": offer(resources=["m://x"]), "b": offer(resources=["m://y"])})
    assert refused(made, "resources/read", {"uri": "m://unlisted"}).code == INVALID_PARAMS


def test_the_only_upstream_with_resources_is_asked_for_any() -> None:
    made = view({"a": offer("x"), "b": offer(resources=["m://x"])})
    assert made.route_uri("anything").upstream == "b"


@pytest.mark.parametrize("uri", [None, "", 7, [], {}])
def test_a_uri_that_is_no_text_is_invalid_params(uri: Any) -> None:
    assert (
        refused(view({"a": offer(resources=["m://x"])}), "resources/read", {"uri": uri}).code
        == INVALID_PARAMS
    )


@pytest.mark.parametrize(
    ("selection", "templates"),
    [
        (Selection(exclude=("m://secret*",)), []),
        (Selection(exclude=("m://secret*",)), ["m://{v}"]),
        (Selection(exclude=("a/m://secret*",)), ["m://{v}"]),
        (Selection(include=("m://x",)), ["m://{v}"]),
    ],
)
def test_a_hidden_resource_cannot_be_read_by_any_way_round(
    selection: Selection, templates: list[str]
) -> None:
    made = view(
        {"a": offer(resources=["m://x", "m://secret"], templates=templates, capabilities=COMPLETES)},
        resources=selection,
    )
    assert [each["uri"] for each in listed(made, "resources/list")] == ["m://x"]
    for uri in ("m://secret", "m://secret2"):
        assert refused(made, "resources/read", {"uri": uri}).message == "Resource not found"
        ref = {"type": "ref/resource", "uri": uri}
        assert refused(made, "completion/complete", {"ref": ref}).code == INVALID_PARAMS


def test_a_hidden_resource_takes_no_uri_from_another() -> None:
    made = view(
        {"a": offer(resources=["m://x"]), "b": offer(resources=["m://x"])},
        resources=Selection(exclude=("a/*",)),
    )
    assert [each["uri"] for each in listed(made, "resources/list")] == ["m://x"]
    assert made.route_uri("m://x").upstream == "b"


# --- capabilities and the rest -------------------------------------------------------------------------


def test_capabilities_are_the_union_of_what_can_be_honoured() -> None:
    made = view(
        {
            "a": offer("x", capabilities={"tools": {"listChanged": False}, "tasks": {"list": {}}, "odd": {}}),
            "b": offer(
                resources=["m://x"], capabilities={"resources": {}, "logging": {}, "completions": {"n": 1}}
            ),
        }
    )
    assert made.capabilities == {
        "tools": {"listChanged": True},
        "resources": {"listChanged": True},
        "logging": {},
        "completions": {},
    }


def test_subscriptions_are_promised_when_one_upstream_has_them() -> None:
    made = view(
        {"a": offer(resources=["m://x"]), "b": offer(resources=["n://x"], capabilities={"resources": {}})}
    )
    assert made.capabilities["resources"] == {"listChanged": True, "subscribe": True}


def test_extensions_are_merged_and_the_first_upstreams_word_counts() -> None:
    made = view(
        {
            "a": offer(capabilities={"extensions": {"x/ui": {"v": 1}}, "experimental": {"e": {}}}),
            "b": offer(capabilities={"extensions": {"x/ui": {"v": 2}, "x/other": {}}}),
        }
    )
    assert made.capabilities["extensions"] == {"x/ui": {"v": 1}, "x/other": {}}
    assert made.capabilities["experimental"] == {"e": {}}


def test_an_upstream_that_never_answered_may_have_tools() -> None:
    assert view({"a": Offer()}).capabilities == {"tools": {"listChanged": True}}
    assert view({"a": Offer(eras=frozenset({Era.LEGACY}))}).capabilities == {}


@pytest.mark.parametrize(
    ("capabilities", "has"),
    [
        ({"extensions": {TASKS_EXTENSION: {}}}, True),
        ({"extensions": {}}, False),
        ({"extensions": []}, False),
        ({}, False),
    ],
)
def test_the_tasks_extension_is_found_in_either_sides_capabilities(capabilities: Json, has: bool) -> None:
    assert has_tasks(capabilities) is has


def test_lists_may_be_kept_as_long_as_the_strictest_upstream_says() -> None:
    patient = offer("x", ttl_ms=60_000, public=True)
    strict = attrs.evolve(offer("y", ttl_ms=1000), public=False)
    assert (view({"a": patient}).ttl_ms, view({"a": patient}).public) == (60_000, True)
    assert (view({"a": patient, "b": strict}).ttl_ms, view({"a": patient, "b": strict}).public) == (
        1000,
        False,
    )
    assert (view({}).ttl_ms, view({}).public) == (0, False)


def test_instructions_are_told_apart_when_there_are_several_upstreams() -> None:
    said = offer("x", instructions=" Be kind. ")
    assert view({"a": said}).instructions == "Be kind."
    assert view({"a": said, "b": offer("y")}).instructions == "[a] Be kind."
    assert view({"a": said, "b": said}).instructions == "[a] Be kind.\n\n[b] Be kind."


def test_header_annotations_are_kept_under_the_advertised_name() -> None:
    annotated = tool("t", inputSchema={"properties": {"r": {"type": "string", "x-mcp-header": "R"}}})
    made = view({"a": offer(annotated), "b": offer("t")}, prefix="always")
    assert made.headers == {"a__t": {("r",): "R"}}
