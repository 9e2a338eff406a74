"""Settings out of the file and records: what was made before is used again, and makes no difference."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portico._config.discovery import discover
from portico._config.memo import Memo
from portico._config.settings import Document, load
from portico._config.sources import LookUp
from portico._host.managed.composed import Composed, Key, Known, by_content, compose
from portico.api import About, Json, Record

PLUGINS = discover()
FILE: Json = {
    "upstreams": {"held": {"use": "mcp", "url": "http://file/mcp"}},
    "auth": {"people": {"use": "token", "tokens": {"alice": "a-token-of-16-letters"}}},
}
URLS = st.sampled_from(["http://a/mcp", "http://b/mcp", "ftp://c", "http://${secret:s}/mcp", "$${x}", 7])
UPSTREAMS = st.fixed_dictionaries(
    {"use": st.sampled_from(["mcp", "nothing", 1])},
    optional={
        "url": URLS,
        "shared": st.sampled_from([True, 1, "true"]),
        "connect_timeout": st.sampled_from([1, 1.0, True, -1]),
        "command": st.just(["sh"]),
        "credential": st.just("nobody"),
        "headers": st.just({"a": "${secret:s}"}),
    },
)
SERVERS = st.fixed_dictionaries(
    {},
    optional={"upstreams": st.lists(st.sampled_from(["a", "b", "held", "*"])), "auth": st.just(["people"])},
)
OVERRIDES = st.fixed_dictionaries(
    {},
    optional={
        "enabled": st.sampled_from([True, 1, False]),
        "name": st.sampled_from(["shown", "not a name"]),
        "tags": st.just(["x"]),
    },
)


def records(kind: str, names: list[str], configs: st.SearchStrategy[Any]) -> st.SearchStrategy[Record]:
    abouts = st.builds(About, enabled=st.sampled_from([True, True, False]))
    return st.builds(Record, st.just(kind), st.sampled_from(names), configs, abouts)


CHANGES = st.tuples(
    st.one_of(
        records("upstreams", ["a", "b", "held", "no good name!"], UPSTREAMS),
        records("servers", ["a", "default"], SERVERS),
        records("overrides", ["a/tools/t", "b/resources/u:x", "nonsense"], OVERRIDES),
        records("prompts", ["p"], st.sampled_from([{"template": "x"}, {"tempalte": "x"}])),
    ),
    st.sampled_from(["put", "put", "put", "delete"]),
    st.sampled_from(["s", "t", None]),
)


def look_up(secret: str | None) -> LookUp:
    def found(scheme: str, rest: str, place: Any) -> str:
        if secret is None:
            raise LookupError("there is no secret 's'")
        return secret

    return found


def same(one: Composed, other: Composed) -> bool:
    return (one.settings, one.overrides, one.problems) == (other.settings, other.overrides, other.problems)


@settings(max_examples=120)
@given(st.lists(CHANGES, min_size=1, max_size=10))
def test_what_is_made_with_what_was_made_before_is_what_is_made_anew(
    changes: list[tuple[Record, str, str | None]],
) -> None:
    followed = load(Document(FILE), PLUGINS)
    known: Known = Memo()
    now: dict[Key, Record] = {}
    for record, action, secret in changes:
        if action == "delete":
            now.pop((record.kind, record.name), None)
        else:
            now[record.kind, record.name] = record
        again = compose(followed, now.values(), look_up(secret), known=known)
        anew = compose(load(Document(FILE), PLUGINS), now.values(), look_up(secret))
        assert same(again, anew)


def test_what_has_not_changed_is_not_made_again() -> None:
    file = load(Document(FILE), PLUGINS)
    known: Known = Memo()

    def composed(**urls: str) -> Composed:
        made = [Record("upstreams", name, {"use": "mcp", "url": url}) for name, url in urls.items()]
        made.append(Record("overrides", "a/tools/t", {"tags": ["x"]}))
        return compose(file, made, look_up("s"), known=known)

    before = composed(a="http://one/mcp", b="http://two/mcp")
    after = composed(a="http://one/mcp", b="http://other/mcp")
    key = ("upstreams", "a")
    assert before.settings.components[key] is after.settings.components[key]
    assert before.settings.components["upstreams", "b"] != after.settings.components["upstreams", "b"]
    override = ("a", "tools", "t")
    assert before.overrides[override] is after.overrides[override]


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, 1.0), ("1", 1), ([1], {"a": 1}), ({}, None)])
def test_data_of_another_type_is_other_data(one: Any, other: Any) -> None:
    memo: Memo[str, list[Any]] = Memo()
    assert memo.made("k", {"x": one}, lambda: [one]) == [one]
    assert memo.made("k", {"x": other}, lambda: [other]) == [other]


def test_what_failed_and_what_has_gone_is_not_kept() -> None:
    memo: Memo[str, object] = Memo()

    def fails() -> object:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        memo.made("k", 1, fails)
    first = memo.made("k", 1, object)
    assert memo.made("k", 1, object) is first
    memo.forget_all_but(())
    assert memo.made("k", 1, object) is not first


def test_a_resource_changes_when_its_content_does_not_when_something_is_said_of_it() -> None:
    dates: Memo[Key, float] = Memo()
    key = ("resources", "one")

    def at(config: Json, updated: float) -> float:
        return by_content({key: Record(*key, config, updated=updated)}, dates)[key].updated

    assert at({"text": "a"}, 1.0) == 1.0
    assert at({"text": "a"}, 2.0) == 1.0
    assert at({"text": "b"}, 3.0) == 3.0
    assert by_content({}, dates) == {}
    assert at({"text": "b"}, 4.0) == 4.0
    server = Record("servers", "s", {}, updated=5.0)
    assert by_content({("servers", "s"): server}, dates)["servers", "s"] is server
