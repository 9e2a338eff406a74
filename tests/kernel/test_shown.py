"""A view that is made out of the last one is the view that would be made anew; and it is made in moments."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from portico._core.catalog.building import build_view, view_steps
from portico._core.catalog.naming import Selection
from portico._core.catalog.overrides import Override
from portico._core.catalog.shown import Shown
from portico._core.catalog.view import ServerSpec, View
from portico._core.steps import finished, unhurried
from portico.api import Era, Json, Offer
from tests.kernel.doubles import StubUpstream, World, jumping, offer

NAMES = ["a", "b", "c"]
SCHEMAS: list[Json] = [
    {"type": "object"},
    {"type": "object", "properties": {"x": {"type": "string", "x-mcp-header": "X"}}},
    {"type": "object", "properties": {"x": {"type": "integer", "default": 1}}},
    {"type": "object", "properties": {"x": {"type": "integer", "default": True}}},
]
TOOLS = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["t", "u", "two words"]), "inputSchema": st.sampled_from(SCHEMAS)},
        optional={"description": st.text(max_size=2), "_meta": st.just({"ui": {"resourceUri": "ui://page"}})},
    ),
    max_size=3,
)
RESOURCES = st.lists(st.builds(lambda uri: {"uri": uri}, st.sampled_from(["m://1", "ui://page"])), max_size=2)
OFFERS = st.builds(
    lambda tools, prompts, resources: Offer(
        tools=tuple(tools),
        prompts=tuple({"name": each["name"]} for each in prompts),
        resources=tuple(resources),
        eras=frozenset({Era.MODERN}),
    ),
    TOOLS,
    TOOLS,
    RESOURCES,
)
OVERRIDES = st.builds(
    Override,
    enabled=st.sampled_from([True, True, False]),
    name=st.sampled_from([None, "t", "other"]),
    defaults=st.sampled_from([{}, {"x": 1}, {"x": True}]),
    hidden=st.sampled_from([(), ("x",)]),
)
SPECS = st.builds(
    ServerSpec,
    st.just("default"),
    st.permutations(NAMES).map(tuple),
    prefix=st.sampled_from(["never", "conflict", "always"]),
    tools=st.sampled_from(
        [
            Selection(),
            Selection(exclude=("u",)),
            Selection(rename={"a/t": "shown"}),
            Selection(include=("b/*",)),
        ]
    ),
    describe=st.sampled_from([{}, {"t": "said"}, {"a/u": "said"}]),
)
KEYS = st.tuples(
    st.sampled_from(NAMES), st.sampled_from(["tools", "resources"]), st.sampled_from(["t", "m://1"])
)
STEPS = st.one_of(
    st.tuples(st.just("offer"), st.sampled_from(NAMES), OFFERS),
    st.tuples(st.just("gone"), st.sampled_from(NAMES), st.none()),
    st.tuples(st.just("override"), KEYS, OVERRIDES | st.none()),
    st.tuples(st.just("spec"), st.none(), SPECS),
)


def facts(view: View) -> Any:
    said = attrs.asdict(view, recurse=False)
    said["templates"] = [target for _, target in view.templates]
    said["closed_templates"] = [upstream for upstream, _ in view.closed_templates]
    return said


@settings(max_examples=200)
@given(st.lists(STEPS, min_size=1, max_size=12))
def test_a_view_made_out_of_the_last_is_the_one_made_anew(changes: list[Any]) -> None:
    spec, known = ServerSpec("default", tuple(NAMES)), Shown()
    offers: dict[str, Any] = {}
    overrides: dict[tuple[str, str, str], Override] = {}
    for what, key, value in changes:
        if what == "spec":
            spec = value
        elif what == "override" and value is not None:
            overrides = {**overrides, key: value}
        elif what == "override":
            overrides = {each: found for each, found in overrides.items() if each != key}
        elif what == "offer":
            offers[key] = value
        else:
            offers.pop(key, None)
        again = finished(view_steps(spec, offers, overrides, known))
        assert facts(again) == facts(build_view(spec, offers, overrides))


def many(upstreams: int, tools: int) -> dict[str, Offer]:
    made = {f"u{number}": offer(*(f"t{each}" for each in range(tools))) for number in range(upstreams)}
    assert len({id(each) for each in made.values()}) == upstreams
    return made


def test_what_an_unchanged_upstream_shows_is_not_made_again() -> None:
    offers = many(30, 5)
    spec, known = ServerSpec("default", tuple(offers)), Shown()
    before = finished(view_steps(spec, offers, {}, known))
    offers["u7"] = offer("t0", "new")
    after = finished(view_steps(spec, offers, {}, known))
    shown = dict(before.items["tools/list"])
    made = [name for name, raw in after.items["tools/list"] if shown.get(name) is not raw]
    assert made == ["u7__t0", "new"]


async def test_a_large_view_is_built_while_everything_else_goes_on() -> None:
    offers = many(300, 20)
    steps = view_steps(ServerSpec("default", tuple(offers)), offers, {}, Shown())
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    view = await unhurried(steps)
    counting.cancel()
    assert len(view.tools) == 6000
    assert turns > 3


@jumping
async def test_whoever_waits_for_the_catalog_sees_all_that_was_said_before() -> None:
    ups = {name: StubUpstream(each) for name, each in many(200, 20).items()}
    world = World(ups)
    for number in (3, 4):
        ups[f"u{number}"].offer = offer(f"fresh{number}")
        world.plane.offer_changed(f"u{number}")
        await asyncio.sleep(0)  # the look for the first has begun when the second comes
    waiting = [asyncio.create_task(world.plane.looked()) for _ in range(3)]
    await asyncio.wait(waiting)
    assert {"fresh3", "fresh4"} <= set(world.endpoint.view.tools)
    await world.plane.looked()  # nothing is due: at once


@jumping
async def test_a_server_taken_down_while_its_view_is_built_is_left_alone() -> None:
    ups = {name: StubUpstream(each) for name, each in many(200, 20).items()}
    world = World(ups)
    world.add("narrow", tuple(ups))
    for up in ups.values():
        up.offer = attrs.evolve(up.offer, tools=tuple(dict(each) for each in up.offer.tools))
    ups["u0"].offer = offer("fresh")
    world.plane.offer_changed("u0")
    await asyncio.sleep(0)
    world.plane.remove("narrow")
    await world.plane.looked()
    assert "fresh" in world.endpoint.view.tools
    assert list(world.plane.endpoints) == ["default"]


@jumping
async def test_a_look_at_the_catalog_that_breaks_is_made_again_and_breaks_no_other() -> None:
    up, other = StubUpstream(offer("t")), StubUpstream(offer("v"))
    world = World({"a": up, "b": other})
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    nonsense: Any = (42,)  # what upstreams send is looked at before it comes here
    up.offer = attrs.evolve(up.offer, tools=nonsense)
    world.plane.offer_changed("a")
    await world.plane.looked()
    assert [type(each) for each in told] == [AttributeError]
    assert list(world.endpoint.view.tools) == ["t", "v"]
    up.offer = offer("t", "u")  # nobody says so
    await asyncio.sleep(10)
    assert list(world.endpoint.view.tools) == ["t", "u", "v"]
    assert len(told) == 1
