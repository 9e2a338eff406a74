from __future__ import annotations

import base64
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico._core.seal import Seal, Unsealable, digest
from portico.api import Principal
from portico.testing import FakeClock
from tests.kernel.doubles import ALICE, BOB, KEY


def seal(node: str = "node-1", key: bytes = KEY, clock: FakeClock | None = None) -> Seal:
    return Seal(key, node, clock or FakeClock())


def test_a_handle_opens_to_what_was_sealed_and_says_who_minted_it() -> None:
    handle = seal().close("task", ALICE, ["up", {"id": 7}], 60)
    assert seal(node="node-2").open("task", ALICE, handle) == ("node-1", ["up", {"id": 7}])


def test_a_handle_is_url_safe_and_shows_nothing() -> None:
    handle = seal().close("task", ALICE, ["secret-upstream"], 60)
    assert handle.isascii()
    assert handle.replace("-", "").replace("_", "").isalnum()
    raw = base64.urlsafe_b64decode(handle + "=" * (-len(handle) % 4))
    assert b"secret" not in raw
    assert b"node-1" not in raw


def test_no_two_handles_are_the_same() -> None:
    one = seal()
    assert len({one.close("task", ALICE, "x", 60) for _ in range(50)}) == 50


@pytest.mark.parametrize(
    ("field", "value"),
    [("subject", "bob"), ("source", "robots"), ("client", "key-2"), ("tenant", "other")],
)
def test_a_handle_is_worth_nothing_to_anybody_else(field: str, value: str) -> None:
    change: Any = {field: value}
    principal = attrs.evolve(ALICE, **change)
    handle = seal().close("task", ALICE, "x", 60)
    with pytest.raises(Unsealable):
        seal().open("task", principal, handle)


def test_identities_that_only_look_alike_when_joined_stay_apart() -> None:
    handle = seal().close("task", Principal('a","b', "s"), "x", 60)
    with pytest.raises(Unsealable):
        seal().open("task", Principal("a", "s", client="b"), handle)


def test_a_change_of_scopes_keeps_handles_valid() -> None:
    handle = seal().close("task", ALICE, "x", 60)
    assert seal().open("task", attrs.evolve(ALICE, scopes=frozenset({"new"})), handle)[1] == "x"


def test_a_handle_of_one_kind_is_none_of_another() -> None:
    handle = seal().close("task", ALICE, "x", 60)
    with pytest.raises(Unsealable):
        seal().open("cursor", ALICE, handle)


def test_a_handle_of_another_key_is_not_ours() -> None:
    handle = seal(key=b"k" * 32).close("task", ALICE, "x", 60)
    with pytest.raises(Unsealable):
        seal().open("task", ALICE, handle)


def test_a_handle_expires() -> None:
    clock = FakeClock()
    one = seal(clock=clock)
    handle = one.close("task", ALICE, "x", 60)
    clock.advance(60)
    assert one.open("task", ALICE, handle)[1] == "x"
    clock.advance(0.01)
    with pytest.raises(Unsealable, match="expired"):
        one.open("task", ALICE, handle)


@given(st.data())
def test_a_handle_with_any_bit_changed_is_refused(data: st.DataObject) -> None:
    one = seal()
    handle = one.close("task", ALICE, ["x"], 60)
    raw = bytearray(base64.urlsafe_b64decode(handle + "=" * (-len(handle) % 4)))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Unsealable):
        one.open("task", ALICE, base64.urlsafe_b64encode(raw).decode().rstrip("="))


@given(st.none() | st.integers() | st.text() | st.binary() | st.lists(st.text()))
def test_nothing_made_up_opens(handle: Any) -> None:
    with pytest.raises(Unsealable):
        seal().open("task", BOB, handle)


@pytest.mark.parametrize("cut", [0, 1, 10, 16, 27, 40])
def test_a_cut_handle_is_refused(cut: int) -> None:
    one = seal()
    with pytest.raises(Unsealable):
        one.open("task", ALICE, one.close("task", ALICE, ["x"], 60)[:cut])


def test_a_key_is_of_the_secret_or_random() -> None:
    assert Seal.key_from("s" * 32) == Seal.key_from("s" * 32)
    assert Seal.key_from("s" * 32) != Seal.key_from("t" * 32)
    assert Seal.key_from(None) != Seal.key_from(None)
    assert len(Seal.key_from(None)) == len(Seal.key_from("x")) == 32


def test_a_digest_does_not_depend_on_the_order_of_members_but_on_everything_else() -> None:
    assert digest({"a": 1, "b": [1, {"c": 2, "d": 3}]}) == digest({"b": [1, {"d": 3, "c": 2}], "a": 1})
    values: list[Any] = [
        {"a": 1},
        {"a": "1"},
        {"a": 1.5},
        {"a": [1]},
        {"a": None},
        {},
        [],
        {"b": 1},
        {"a": True},
    ]
    assert len({digest(value) for value in values}) == len(values)


def test_a_digest_can_be_made_of_very_big_integers() -> None:
    assert digest({"a": 10**30}) != digest({"a": 10**30 + 1})


def test_a_key_for_one_purpose_is_always_the_same_and_tells_nothing_of_others() -> None:
    made = {seal().derived("upstreams/a/x"), seal(node="node-2").derived("upstreams/a/x")}
    assert len(made) == 1
    assert (
        len({*made, seal().derived("upstreams/a/y"), seal(key=bytes(32)).derived("upstreams/a/x"), KEY}) == 4
    )
    assert {len(key) for key in made} == {32}
