"""What is written for a record reads as that record, whatever it is called and holds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.api import About, Change, ConfigError, Record
from portico_plugins.registries.file.names import name_of, stem_of
from portico_plugins.registries.file.text import DEEPEST, read, written
from portico_plugins.registries.writing import same

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
KEY = TEXT | st.sampled_from(["$null", "$$null", "$$$null", "name", "config"])
LEAF = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUE = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEY, inner, max_size=3)
)
ABOUT = st.builds(
    About,
    enabled=st.booleans(),
    description=TEXT,
    tags=st.lists(TEXT, max_size=3).map(tuple),
    owner=TEXT,
    team=TEXT,
    visibility=st.sampled_from(["private", "team", "public"]),
)
NAME = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=300)


@given(NAME, st.dictionaries(KEY, VALUE, max_size=4), ABOUT)
def test_a_file_reads_as_what_it_was_written_for(name: str, config: dict[str, Any], about: About) -> None:
    change = Change("upstreams", name, config, about)
    found = read(written(change, stem_of(name)), "upstreams", stem_of(name))
    assert found.name == name
    assert (found.config, found.about) == (config, about)
    # `1`, `1.0` and `true` are three things.
    assert repr(_sorted(found.config)) == repr(_sorted(config))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(each) for each in value] if isinstance(value, list) else value


@given(NAME)
def test_a_file_can_have_the_name_it_is_given(name: str) -> None:
    stem = stem_of(name)
    assert stem == stem.lower()
    assert stem.isascii()
    assert 0 < len(stem) <= 200
    assert not stem.startswith(".")
    assert not set(stem) & set('/\\:*?"<>| \0')
    assert name_of(stem) in (name, None) or "~" in stem


@given(NAME, NAME)
def test_names_that_differ_have_files_that_differ(one: str, other: str) -> None:
    assert (stem_of(one) == stem_of(other)) == (one == other)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("search", "search"),
        ("search/tools/find_all", "search%2ftools%2ffind_all"),
        ("GitHub", "%47it%48ub"),
        ("..", "%2e."),
        ("a ", "a%20"),
        ("é", "%c3%a9"),
        ("con.x", "%63on.x"),
        ("console", "console"),
        ("a~b", "a%7eb"),
    ],
)
def test_names_stay_legible(name: str, stem: str) -> None:
    assert (stem_of(name), name_of(stem)) == (stem, name)


def test_a_file_is_made_for_people() -> None:
    about = About(description="Finds things", tags=("docs",))
    change = Change(
        "upstreams", "search", {"url": "https://x", "use": "mcp", "cwd": None, "n": {"b": 1}}, about
    )
    assert written(change, "search").decode() == (
        '[about]\ndescription = "Finds things"\ntags = ["docs"]\n\n'
        '[config]\nurl = "https://x"\nuse = "mcp"\n\n[config.cwd]\n"$null" = true\n\n[config.n]\nb = 1\n'
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "config: missing"),
        ("use = 'mcp'", "use: unknown key"),
        ("[config", "not TOML"),
        ("config = 1", "config: expected a table"),
        ("[config]\nn = nan", "nan is no value of JSON"),
        ("[config]\nat = 2020-01-01", "a date is no value of JSON"),
        ("[config]\n[about]\nenable = true", "about.enable: unknown key"),
        ("[config]\n[about]\nenabled = 1", "Expected `bool`"),
        ("name = ''\n[config]", "expected a name"),
        ("name = 1\n[config]", "name: expected a string"),
        (f"[config]\na = {'[' * (DEEPEST + 2)}{']' * (DEEPEST + 2)}", "deep"),
    ],
)
def test_a_file_that_is_no_record_says_why(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        read(text.encode(), "upstreams", "x")
    assert problem in "; ".join(": ".join(filter(None, each)) for each in wrong.value.problems)


def test_what_people_write_differently_is_the_same() -> None:
    text = '\ufeff# ours\r\nconfig.use = "mcp" # or not\r\nconfig.urls = [\r\n "a",\r\n]\r\n'
    found = read(text.encode(), "upstreams", "x")
    assert found == Change("upstreams", "x", {"use": "mcp", "urls": ["a"]})
    assert same(Record("upstreams", "x", {"urls": ["a"], "use": "mcp"}), found)


def test_what_toml_cannot_hold_is_refused() -> None:
    deep: Any = 1
    for _ in range(DEEPEST + 1):
        deep = [deep]
    with pytest.raises(ConfigError, match="deep"):
        written(Change("upstreams", "x", {"a": deep}), "x")
