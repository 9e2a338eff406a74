"""What a virtual server holds back is not listed, keeps its name, and is answered 40900."""

from __future__ import annotations

from typing import Any

import pytest

from portico._core.catalog.building import build_view
from portico._core.catalog.held import HeldOf
from portico._core.catalog.naming import Selection
from portico._core.catalog.view import ServerSpec, View
from portico._core.contracts.exchange import Era
from portico._core.contracts.json import Json
from portico._core.contracts.upstreams import Offer
from portico._core.errors import INVALID_PARAMS, TOOL_DEFINITION_CHANGED, Refused

A = Offer(
    tools=({"name": "search"}, {"name": "read"}),
    prompts=({"name": "p"},),
    resources=({"uri": "a://one"}, {"uri": "a://two"}),
    templates=({"uriTemplate": "a://by/{x}"}, {"uriTemplate": "a://of/{x}"}),
    capabilities={"tools": {}, "prompts": {}, "resources": {}, "completions": {}},
    instructions="Obey.",
    eras=frozenset({Era.MODERN}),
)


def view(held: HeldOf, spec: ServerSpec | None = None, **offers: Offer) -> View:
    return build_view(spec or ServerSpec("s", ("a", *offers)), {"a": A, **offers}, held=held)


def of_a(*things: tuple[str, str]) -> HeldOf:
    return {"a": frozenset(things)}


def code(made: View, method: str, params: Json) -> Any:
    """The code of the refusal, or where the request goes."""
    try:
        return made.route(method, params, "r1").name
    except Refused as refusal:
        return refusal.code


def test_the_refusal_says_which_upstream_changed_and_that_trying_again_is_no_use() -> None:
    with pytest.raises(Refused) as refused:
        view(of_a(("tools", "search"))).route("tools/call", {"name": "search"}, "r1")
    assert refused.value.data["gateway"] == {
        "reason": "definition_changed", "upstream": "a", "request_id": "r1", "retryable": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("thing", "listing", "method", "params"),
    [
        (("tools", "search"), "tools/list", "tools/call", {"name": "search"}),
        (("prompts", "p"), "prompts/list", "prompts/get", {"name": "p"}),
        (
            ("prompts", "p"),
            "prompts/list",
            "completion/complete",
            {"ref": {"type": "ref/prompt", "name": "p"}},
        ),
        (("resources", "a://one"), "resources/list", "resources/read", {"uri": "a://one"}),
        (("templates", "a://by/{x}"), "resources/templates/list", "resources/read", {"uri": "a://by/7"}),
        (
            ("templates", "a://by/{x}"),
            "resources/templates/list",
            "completion/complete",
            {"ref": {"type": "ref/resource", "uri": "a://by/{x}"}},
        ),
    ],
)  # fmt: skip
def test_what_is_held_back_is_not_listed_and_answered_40900(
    thing: tuple[str, str], listing: str, method: str, params: Json
) -> None:
    before, after = view({}), view(of_a(thing))
    assert before.held is None
    assert code(before, method, params) != TOOL_DEFINITION_CHANGED
    assert code(after, method, params) == TOOL_DEFINITION_CHANGED
    assert len(after.items[listing]) == len(before.items[listing]) - 1
    others = [name for name in before.items if name != listing]
    assert all(after.items[name] == before.items[name] for name in others)
    assert after.capabilities == before.capabilities


def test_what_is_not_held_back_answers_as_before() -> None:
    made = view(of_a(("tools", "search"), ("templates", "a://by/{x}"), ("resources", "a://one")))
    assert code(made, "tools/call", {"name": "read"}) == "read"
    assert code(made, "resources/read", {"uri": "a://two"}) == "a://two"
    assert code(made, "resources/read", {"uri": "a://of/7"}) == "a://of/7"
    assert code(made, "resources/read", {"uri": "a://else"}) == "a://else"
    assert code(made, "tools/call", {"name": "nope"}) == INVALID_PARAMS


def test_nobody_takes_the_name_of_what_is_held_back() -> None:
    b = Offer(tools=({"name": "search"},))
    before, after = view({}, b=b), view(of_a(("tools", "search")), b=b)
    assert set(before.tools) == {"a__search", "read", "b__search"}
    assert set(after.tools) == {"read", "b__search"}
    assert code(after, "tools/call", {"name": "a__search"}) == TOOL_DEFINITION_CHANGED
    assert code(after, "tools/call", {"name": "search"}) == INVALID_PARAMS


def test_a_resource_that_is_held_back_is_not_read_under_its_own_uri_either() -> None:
    spec = ServerSpec("s", ("a",), resources=Selection(rename={"a/a://one": "b://other"}))
    made = view(of_a(("resources", "a://one"), ("templates", "a://by/{x}")), spec)
    assert code(made, "resources/read", {"uri": "b://other"}) == TOOL_DEFINITION_CHANGED
    assert code(made, "resources/read", {"uri": "a://one"}) == TOOL_DEFINITION_CHANGED
    with pytest.raises(Refused) as refused:
        made.route_uri("a://by/1")
    assert refused.value.code == TOOL_DEFINITION_CHANGED


def test_instructions_that_are_held_back_are_not_passed_on() -> None:
    b = Offer(instructions="Be kind.", eras=frozenset({Era.MODERN}))
    held = {"a": frozenset({("instructions", "")})}
    assert view({}, b=b).instructions == "[a] Obey.\n\n[b] Be kind."
    assert view(held, b=b).instructions == "[b] Be kind."
    assert view(held).instructions == ""


@pytest.mark.parametrize(
    ("thing", "narrowed"),
    [(("tools", "search"), {"a"}), (("prompts", "p"), set()), (("instructions", ""), set())],
)
def test_an_upstream_of_which_tools_are_held_back_is_narrowed(
    thing: tuple[str, str], narrowed: set[str]
) -> None:
    assert view(of_a(thing)).narrowed == narrowed
