from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from portico._config.strict import structured
from portico._config.wording import Wrong
from portico._core.catalog.building import build_view
from portico._core.catalog.naming import Selection
from portico._core.catalog.overrides import Key, Override, key_of, problems
from portico._core.catalog.view import ServerSpec, View
from portico._core.protocol.jsonrpc import decode
from portico.api import HEADER_MISMATCH, INVALID_PARAMS, Json, Offer, Refused
from tests.kernel.doubles import StubUpstream, World, jumping, offer, settle, tool

SCHEMA: Json = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "units": {"type": "string", "x-mcp-header": "Units"},
        "key": {"type": "string", "x-mcp-header": "Key"},
    },
    "required": ["city", "units", "key"],
    "additionalProperties": False,
}
WEATHER = tool("weather", inputSchema=SCHEMA, description="old")
PROMPT: Json = {
    "name": "greet",
    "arguments": [{"name": "who", "required": True}, {"name": "tone", "required": True}, {"name": "id"}],
}


def view(offers: dict[str, Offer], overrides: dict[Key, Override], **spec: Any) -> View:
    return build_view(ServerSpec("default", tuple(offers), **spec), offers, overrides)


def listed(made: View, method: str = "tools/list") -> list[Json]:
    return [decode(raw) for _, raw in made.items[method]]


def refused(made: View, method: str, params: Json) -> Refused:
    with pytest.raises(Refused) as caught:
        made.route(method, params)
    return caught.value


# --- reading them --------------------------------------------------------------------------------------


def test_an_override_is_read_strictly() -> None:
    read = structured(
        {"enabled": False, "tags": ["a"], "defaults": {"n": 1}, "hidden": ["n"]}, Override, Path("/")
    )
    assert read == Override(enabled=False, tags=("a",), defaults={"n": 1}, hidden=("n",))
    with pytest.raises(Wrong):
        structured({"enabled": "false"}, Override, Path("/"))
    with pytest.raises(Wrong):
        structured({"rename": "x"}, Override, Path("/"))


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("up/tools/t", ("up", "tools", "t")),
        ("up/prompts/a/b", ("up", "prompts", "a/b")),
        ("up/resources/file:///a/b", ("up", "resources", "file:///a/b")),
        ("up/templates/x", None),
        ("up/tools/", None),
        ("/tools/x", None),
        ("up", None),
    ],
)
def test_the_name_of_a_record_says_what_is_overridden(name: str, key: Key | None) -> None:
    assert key_of(name) == key


@pytest.mark.parametrize(
    ("key", "override", "paths"),
    [
        (("a", "tools", "t"), Override(name="new-name_2", defaults={"n": 1}), []),
        (("a", "tools", "t"), Override(name="new name"), ["name"]),
        (("a", "tools", "t"), Override(name=""), ["name"]),
        (("a", "prompts", "p"), Override(name="x" * 65, defaults={"n": 1}), ["name", "defaults.n"]),
        (("a", "resources", "m://x"), Override(name="n://y"), []),
        (("a", "resources", "m://x"), Override(name="no uri"), ["name"]),
        (("a", "resources", "m://{x}"), Override(name="n://y"), ["name"]),
        (("a", "resources", "m://x"), Override(defaults={"n": "1"}, hidden=("n",)), ["defaults", "hidden"]),
    ],
)
def test_what_does_not_fit_the_thing_is_found(key: Key, override: Override, paths: list[str]) -> None:
    assert [path for path, _ in problems(key, override)] == paths


# --- lists ---------------------------------------------------------------------------------------------


def test_words_annotations_and_tags_are_shown_and_the_rest_stays() -> None:
    own = tool("t", annotations={"readOnlyHint": True, "title": "x"}, _meta={"k": 1}, more=[1])
    override = Override(
        title="T", description="new", annotations={"readOnlyHint": False}, tags=("fast", "b"), name="u"
    )
    made = view({"a": offer(own)}, {("a", "tools", "t"): override})
    assert listed(made) == [
        {
            **own,
            "name": "u",
            "title": "T",
            "description": "new",
            "annotations": {"readOnlyHint": False, "title": "x"},
            "_meta": {"k": 1, "portico/tags": ["fast", "b"]},
        }
    ]
    target = made.route("tools/call", {"name": "u"})
    assert (target.name, target.definition) == ("t", own)
    assert refused(made, "tools/call", {"name": "t"}).code == INVALID_PARAMS


def test_the_servers_own_description_comes_before_the_override() -> None:
    made = view({"a": offer(WEATHER)}, {("a", "tools", "weather"): Override(description="override")},
                describe={"weather": "server"})  # fmt: skip
    assert listed(made)[0]["description"] == "server"


def test_an_override_concerns_one_upstream_and_kind_only() -> None:
    offers = {"a": offer("x", prompts=["x"]), "b": offer("y", prompts=["y"])}
    made = view(offers, {("a", "tools", "x"): Override(title="T"), ("b", "tools", "x"): Override(title="U"),
                         ("gone", "tools", "x"): Override(enabled=False)})  # fmt: skip
    assert [each.get("title") for each in listed(made)] == ["T", None]
    assert [each.get("title") for each in listed(made, "prompts/list")] == [None, None]


def test_nonsense_that_is_overridden_does_not_end_the_catalog() -> None:
    odd = Offer(
        tools=({"name": ["t"], "inputSchema": 3}, {"name": "t", "inputSchema": [], "_meta": 1}),
        prompts=({"name": "p", "arguments": [1, {"name": "x"}]},),
        capabilities={"tools": {}, "prompts": {}},
    )
    everything = Override(tags=("t",), annotations={"a": 1}, defaults={"x": "1"}, hidden=("y",))
    made = view(
        {"a": odd, "b": offer("u")},
        {("a", "tools", "t"): everything, ("a", "prompts", "p"): everything,
         ("a", "tools", "z"): Override(enabled=False)},
    )  # fmt: skip
    assert "u" in made.tools


# --- disabled ------------------------------------------------------------------------------------------


def test_what_is_disabled_is_neither_listed_nor_known() -> None:
    off = Override(enabled=False)
    offers = {"a": offer("t", "u", prompts=["p", "q"])}
    made = view(offers, {("a", "tools", "t"): off, ("a", "prompts", "p"): off})
    assert [each["name"] for each in listed(made)] == ["u"]
    assert [each["name"] for each in listed(made, "prompts/list")] == ["q"]
    unknown = refused(made, "tools/call", {"name": "v"}).message.replace("'v'", "'t'")
    assert refused(made, "tools/call", {"name": "t"}).message == unknown
    assert refused(made, "prompts/get", {"name": "p"}).code == INVALID_PARAMS


def test_what_is_disabled_takes_no_name_from_another() -> None:
    made = view({"a": offer("t"), "b": offer("t")}, {("a", "tools", "t"): Override(enabled=False)})
    assert made.route("tools/call", {"name": "t"}).upstream == "b"


def test_a_disabled_resource_cannot_be_read_by_any_way_round() -> None:
    off = {("a", "resources", "m://secret"): Override(enabled=False)}
    for templates in ([], ["m://{v}"]):
        made = view({"a": offer(resources=["m://x", "m://secret"], templates=templates)}, off)
        assert made.route("resources/read", {"uri": "m://x"}).name == "m://x"
        assert made.route("resources/read", {"uri": "m://unlisted"}).name == "m://unlisted"
        assert refused(made, "resources/read", {"uri": "m://secret"}).data == {"uri": "m://secret"}


def test_a_disabled_template_leads_nowhere_but_to_what_is_listed() -> None:
    offers = {"a": offer(resources=["m://x"], templates=["m://{v}", "n://{v}"],
                         capabilities={"completions": {}})}  # fmt: skip
    made = view(offers, {("a", "resources", "m://{v}"): Override(enabled=False)})
    assert [each["uriTemplate"] for each in listed(made, "resources/templates/list")] == ["n://{v}"]
    assert made.route("resources/read", {"uri": "m://x"}).name == "m://x"
    assert made.route("resources/read", {"uri": "n://y"}).name == "n://y"
    assert refused(made, "resources/read", {"uri": "m://y"}).code == INVALID_PARAMS
    ref = {"type": "ref/resource", "uri": "m://{v}"}
    assert refused(made, "completion/complete", {"ref": ref}).code == INVALID_PARAMS


# --- names ---------------------------------------------------------------------------------------------


def test_two_overrides_that_give_one_name_are_a_reported_conflict() -> None:
    renames = {("a", "tools", "x"): Override(name="z"), ("b", "tools", "y"): Override(name="z")}
    made = view({"a": offer("x"), "b": offer("y")}, renames)
    assert made.route("tools/call", {"name": "z"}).upstream == "a"
    assert made.conflicts == [("tools", "z", "a", "b")]


def test_an_override_gives_its_name_before_the_name_of_another_counts() -> None:
    made = view({"a": offer("x"), "b": offer("y")}, {("b", "tools", "y"): Override(name="x")})
    assert made.route("tools/call", {"name": "x"}).upstream == "b"
    assert made.route("tools/call", {"name": "a__x"}).upstream == "a"
    assert made.conflicts == []


def test_an_alias_of_the_server_comes_before_the_override_of_the_same_thing() -> None:
    made = view({"a": offer("x")}, {("a", "tools", "x"): Override(name="by-override")},
                tools=Selection(rename={"x": "by-server"}))  # fmt: skip
    assert list(made.tools) == ["by-server"]


def test_an_alias_of_the_server_comes_before_another_things_override() -> None:
    made = view({"a": offer("x"), "b": offer("y")}, {("a", "tools", "x"): Override(name="z")},
                tools=Selection(rename={"b/y": "z"}))  # fmt: skip
    assert made.route("tools/call", {"name": "z"}).upstream == "b"
    assert made.conflicts == [("tools", "z", "b", "a")]


def test_a_name_given_twice_in_dispute_needs_no_prefix_once_one_is_renamed() -> None:
    made = view({"a": offer("x"), "b": offer("x")}, {("b", "tools", "x"): Override(name="y")})
    assert list(made.tools) == ["x", "y"]


def test_a_resource_is_renamed_and_leads_back() -> None:
    offers = {"a": offer(resources=["m://x"]), "b": offer(resources=["n://mine"])}
    made = view(offers, {("a", "resources", "m://x"): Override(name="n://mine", title="Mine")})
    assert [(each["uri"], each.get("title")) for each in listed(made, "resources/list")] == [
        ("n://mine", "Mine"),
        ("n://b~mine", None),
    ]
    assert made.route("resources/read", {"uri": "n://mine"}).name == "m://x"
    assert made.advertised_uri("a", "m://x") == "n://mine"


# --- arguments -----------------------------------------------------------------------------------------

ARGUMENTS = Override(defaults={"units": "metric", "key": "k1"}, hidden=("key",))


def test_the_schema_is_shown_without_hidden_arguments_and_with_defaults() -> None:
    made = view({"a": offer(WEATHER)}, {("a", "tools", "weather"): ARGUMENTS})
    assert listed(made)[0]["inputSchema"] == {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "units": {"type": "string", "x-mcp-header": "Units", "default": "metric"},
        },
        "required": ["city"],
        "additionalProperties": False,
    }
    assert WEATHER["inputSchema"] is SCHEMA
    assert SCHEMA["required"] == ["city", "units", "key"]


def test_headers_mirror_what_is_shown() -> None:
    made = view({"a": offer(WEATHER)}, {("a", "tools", "weather"): ARGUMENTS})
    assert made.headers == {"weather": {("units",): "Units"}}


def test_a_schema_that_requires_nothing_more_says_nothing_of_it() -> None:
    only = tool("t", inputSchema={"type": "object", "properties": {"n": True}, "required": ["n"]})
    made = view({"a": offer(only)}, {("a", "tools", "t"): Override(defaults={"n": 1})})
    assert listed(made)[0]["inputSchema"] == {"type": "object", "properties": {"n": True}}


def test_a_prompt_is_shown_without_hidden_arguments_and_requires_no_defaulted_one() -> None:
    override = Override(defaults={"tone": "warm", "id": "7"}, hidden=("id",))
    made = view({"a": offer(prompts=[PROMPT])}, {("a", "prompts", "greet"): override})
    assert listed(made, "prompts/list")[0]["arguments"] == [
        {"name": "who", "required": True},
        {"name": "tone", "required": False},
    ]


async def called(world: World, params: Json, method: str = "tools/call") -> Json:
    await world.modern(method, params)
    up = world.plane.upstreams["a"]
    assert isinstance(up, StubUpstream)
    return up.sent[-1][1]


@jumping
async def test_a_call_gets_the_arguments_it_does_not_give() -> None:
    world = World({"a": StubUpstream(offer(WEATHER, "other"))})
    world.plane.overrides = {("a", "tools", "weather"): named("w")}
    await settle()
    params = await called(world, {"name": "w", "arguments": {"city": "Ulm", "units": "imperial"}})
    assert (params["name"], params["arguments"]) == (
        "weather",
        {"city": "Ulm", "units": "imperial", "key": "k1"},
    )
    assert (await called(world, {"name": "w"}))["arguments"] == {"units": "metric", "key": "k1"}
    assert "arguments" not in await called(world, {"name": "other"})


def named(name: str) -> Override:
    return Override(name=name, defaults=ARGUMENTS.defaults, hidden=ARGUMENTS.hidden)


@jumping
async def test_a_hidden_argument_is_refused_whatever_its_value() -> None:
    world = World({"a": StubUpstream(offer(WEATHER))})
    world.plane.overrides = {("a", "tools", "weather"): ARGUMENTS}
    await settle()
    for value in ("k1", "k2", None):
        with pytest.raises(Refused) as caught:
            await world.modern("tools/call", {"name": "weather", "arguments": {"key": value}})
        assert (caught.value.code, "'key'" in caught.value.message) == (INVALID_PARAMS, True)
    assert world.plane.upstreams["a"].sent == []  # type: ignore[attr-defined]


@jumping
async def test_prompts_get_their_arguments_and_hidden_ones_are_not_completed() -> None:
    world = World({"a": StubUpstream(offer(prompts=[PROMPT], capabilities={"completions": {}}))})
    world.plane.overrides = {("a", "prompts", "greet"): Override(defaults={"id": "7"}, hidden=("id",))}
    await settle()
    params = await called(world, {"name": "greet", "arguments": {"who": "Ada"}}, "prompts/get")
    assert params["arguments"] == {"who": "Ada", "id": "7"}
    ref = {"type": "ref/prompt", "name": "greet"}
    assert await called(world, {"ref": ref, "argument": {"name": "who", "value": ""}}, "completion/complete")
    with pytest.raises(Refused, match="unknown argument 'id'"):
        await world.modern("completion/complete", {"ref": ref, "argument": {"name": "id", "value": ""}})


@jumping
async def test_a_call_without_overrides_is_sent_as_it_came() -> None:
    world = World({"a": StubUpstream(offer(WEATHER))})
    call = world.begin("tools/call", {"name": "weather", "arguments": {"city": "Ulm"}})
    await world.finish(call)
    up = world.plane.upstreams["a"]
    assert isinstance(up, StubUpstream)
    assert up.sent[0][1] is up.exchanges[0].params
    assert world.endpoint.view.fills == {}


# --- at run time ---------------------------------------------------------------------------------------


@jumping
async def test_overrides_take_effect_soon_and_clients_hear_of_the_lists_that_changed() -> None:
    world = World({"a": StubUpstream(offer("t", prompts=["p"])), "b": StubUpstream(offer("u"))})
    narrow = world.legacy(endpoint=world.add("narrow", ("b",))).open()
    wide = world.legacy().open()
    world.plane.overrides = {("a", "tools", "t"): Override(name="new")}
    assert list(world.endpoint.view.tools) == ["t", "u"]
    await settle()
    assert list(world.endpoint.view.tools) == ["new", "u"]
    assert [frame["method"] for frame in wide.heard()] == ["notifications/tools/list_changed"]
    world.plane.overrides = {("a", "tools", "t"): Override(name="new")}
    await settle()
    assert len(wide.heard()) == 1
    world.plane.overrides = {}
    await settle()
    assert list(world.endpoint.view.tools) == ["t", "u"]
    assert len(wide.heard()) == 2
    assert narrow.heard() == []


@jumping
async def test_overrides_outlive_a_new_offer_of_the_upstream() -> None:
    up = StubUpstream(offer("t"))
    world = World({"a": up})
    world.plane.overrides = {("a", "tools", "t"): Override(enabled=False)}
    up.offer = offer("t", "u")
    world.plane.offer_changed("a")
    await settle()
    assert list(world.endpoint.view.tools) == ["u"]


@jumping
async def test_a_client_mirrors_no_header_of_a_hidden_argument() -> None:
    world = World({"a": StubUpstream(offer(WEATHER))})
    world.plane.overrides = {("a", "tools", "weather"): ARGUMENTS}
    await settle()
    params: Json = {"name": "weather", "arguments": {"units": "metric"}}
    world.endpoint.check_params(params, [("mcp-param-units", "metric")])
    world.endpoint.check_params({"name": "weather", "arguments": {}}, [])
    with pytest.raises(Refused) as caught:
        world.endpoint.check_params(params, [])
    assert caught.value.code == HEADER_MISMATCH


@pytest.mark.parametrize(
    ("key", "override", "narrowed"),
    [
        (("a", "tools", "t"), Override(enabled=False), {"a"}),
        (("a", "tools", "t"), Override(hidden=("n",), defaults={"n": 1}), {"a"}),
        (("a", "tools", "t"), Override(name="u", description="words", defaults={"n": 1}), set()),
        (("a", "prompts", "p"), Override(enabled=False), set()),
    ],
)
def test_an_upstream_of_which_tools_or_arguments_are_hidden_is_narrowed(
    key: Key, override: Override, narrowed: set[str]
) -> None:
    assert view({"a": offer("t"), "b": offer("t")}, {key: override}).narrowed == narrowed
