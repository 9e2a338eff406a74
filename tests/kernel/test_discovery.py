from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import attrs
import pytest

from portico._config.discovery import GROUP, Choice, Plugins, discover, parse_selection
from portico._config.settings import component
from portico._config.strict import Wrong
from portico._config.wording import nearest
from portico.api import API_VERSION, ConfigError, Factory, Later, hookimpl

Install = Callable[..., EntryPoint]


@attrs.frozen
class Empty:
    """No keys."""


@asynccontextmanager
async def create(config: Any, host: Any) -> Any:
    yield object()


def factory(name: str) -> Factory[Any, Any]:
    return Factory(name=name, summary="A test.", config=Empty, create=create)


@pytest.fixture
def install(request: pytest.FixtureRequest) -> Iterator[Install]:
    """Make a module importable and give its entry point."""
    made: list[str] = []

    def add(name: str, **members: Any) -> EntryPoint:
        module = types.ModuleType(f"plugin_{name}_{id(request)}")
        vars(module).update(members)
        sys.modules[module.__name__] = module
        made.append(module.__name__)
        return EntryPoint(name, module.__name__, GROUP)

    yield add
    for name in made:
        del sys.modules[name]


def policies(*names: str) -> Callable[[], Sequence[Any]]:
    @hookimpl
    def gateway_policies() -> Sequence[Any]:
        return [factory(name) for name in names]

    return gateway_policies


def states(plugins: Plugins) -> dict[str, str]:
    return {plugin.name: plugin.state for plugin in plugins.records}


def test_a_plugin_offers_its_factories_by_config_table(install: Install) -> None:
    @hookimpl
    def gateway_servers() -> Sequence[Any]:
        return (factory("web"),)

    both = install("both", gateway_policies=policies("limit"), gateway_servers=gateway_servers)
    plugins = discover(entry_points=[both])
    [record] = plugins.records
    assert {kind: [f.name for f in found] for kind, found in record.factories.items()} == {
        "policies": ["limit"],
        "listeners": ["web"],
    }
    assert plugins.factory("policies", "limit")[1] is record


def test_a_plugin_that_cannot_be_imported_leaves_the_others_alone(install: Install) -> None:
    good = install("good", gateway_policies=policies("limit"))
    plugins = discover(entry_points=[EntryPoint("bad", "no_such_module_at_all", GROUP), good])
    assert states(plugins) == {"bad": "failed", "good": "loaded"}
    assert "no_such_module_at_all" in plugins.records[0].reason
    with pytest.raises(LookupError, match="the plugin 'bad' failed to load: ModuleNotFoundError"):
        plugins.factory("policies", "bad")


def late(get: Callable[[], Any]) -> Callable[[], Sequence[Any]]:
    @hookimpl
    def gateway_policies() -> Sequence[Any]:
        return [Factory(name="late", summary="A test.", config=Later(get), create=create), factory("limit")]

    return gateway_policies


def test_a_config_that_comes_later_is_not_had_before_a_table_names_it(install: Install) -> None:
    had: list[int] = []

    def get() -> type[Empty]:
        had.append(1)
        return Empty

    plugins = discover(entry_points=[install("one", gateway_policies=late(get))])
    assert plugins.names("policies") == ["late", "limit"]
    component("policies", "limit", {}, plugins, Path())
    assert had == []
    made = component("policies", "mine", {"use": "late"}, plugins, Path())
    assert (type(made.config), bool(had)) == (Empty, True)


def test_a_config_that_cannot_be_had_refuses_only_who_names_it(install: Install) -> None:
    def get() -> Any:
        from no_such_module_at_all import Config

        return Config

    plugins = discover(entry_points=[install("one", gateway_policies=late(get))])
    assert states(plugins) == {"one": "loaded"}
    component("policies", "limit", {}, plugins, Path())
    with pytest.raises(Wrong) as caught:
        component("policies", "late", {}, plugins, Path())
    assert caught.value.problems == [
        ((), "the plugin 'one' failed to load: ModuleNotFoundError: No module named 'no_such_module_at_all'")
    ]


@pytest.mark.parametrize(
    "config", [dict, Later(lambda: dict), "text", None], ids=["class", "later", "text", "none"]
)
def test_a_config_that_is_no_attrs_class_is_named(config: Any) -> None:
    with pytest.raises(TypeError, match="the config of factory 'x' must be an attrs class, not"):
        _ = Factory(name="x", summary="A test.", config=config, create=create).config


def test_a_factory_evolves_whether_its_config_is_there_or_comes_later() -> None:
    for config in (Empty, Later(lambda: Empty)):
        made = Factory(name="x", summary="A test.", config=config, create=create)
        assert attrs.evolve(made, name="y").config is Empty


def test_a_plugin_that_ends_the_process_is_only_broken(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, install: Install
) -> None:
    (tmp_path / "quitting_plugin.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    good = install("good", gateway_policies=policies("limit"))
    assert states(discover(entry_points=[EntryPoint("bad", "quitting_plugin", GROUP), good])) == {
        "bad": "failed",
        "good": "loaded",
    }


def test_a_hook_that_raises_fails_its_own_plugin_only(install: Install) -> None:
    @hookimpl
    def gateway_policies() -> Sequence[Any]:
        raise RuntimeError("no luck\nat all")

    bad = install("bad", gateway_policies=gateway_policies)
    plugins = discover(entry_points=[bad, install("good", gateway_policies=policies("limit"))])
    assert states(plugins) == {"bad": "failed", "good": "loaded"}
    assert plugins.records[0].reason == "RuntimeError: no luck at all"


def test_a_misspelt_hook_is_named_with_the_right_one(install: Install) -> None:
    @hookimpl
    def gateway_policys() -> Sequence[Any]:
        return ()

    [record] = discover(entry_points=[install("typo", gateway_policys=gateway_policys)]).records
    assert record.state == "failed"
    assert "no hook 'gateway_policys'; did you mean 'gateway_policies'?" in record.reason


@pytest.mark.parametrize("returned", [None, factory("x"), [object()], {"x": factory("x")}, iter(())])
def test_a_hook_must_return_a_sequence_of_factories(install: Install, returned: Any) -> None:
    @hookimpl
    def gateway_policies() -> Any:
        return returned

    [record] = discover(entry_points=[install("odd", gateway_policies=gateway_policies)]).records
    assert record.state == "failed"
    assert "must return a sequence of Factory" in record.reason


def test_a_config_that_is_no_attrs_class_is_refused(install: Install) -> None:
    @hookimpl
    def gateway_policies() -> Any:
        return (Factory(name="x", summary="", config=dict, create=create),)

    [record] = discover(entry_points=[install("odd", gateway_policies=gateway_policies)]).records
    assert "must be an attrs class" in record.reason


@pytest.mark.parametrize(
    ("version", "state", "words"),
    [
        (API_VERSION, "loaded", ""),
        ((API_VERSION[0], API_VERSION[1] + 1), "refused", "upgrade portico"),
        ((API_VERSION[0] + 1, 0), "refused", "needs plugin API 2.0, this Portico has 1.0"),
        ((API_VERSION[0] - 1, 9), "refused", "upgrade the plugin"),
        ("1.0", "failed", "gateway_api must be (major, minor)"),
    ],
)
def test_the_api_version_of_a_plugin_is_checked(
    install: Install, version: Any, state: str, words: str
) -> None:
    point = install("p", gateway_api=version, gateway_policies=policies("limit"))
    [record] = discover(entry_points=[point]).records
    assert record.state == state
    assert words in record.reason
    assert bool(record.factories) is (state == "loaded")


def test_a_factory_name_two_plugins_claim_belongs_to_neither(install: Install) -> None:
    one = install("one", gateway_policies=policies("limit", "mine"))
    two = install("two", gateway_policies=policies("limit"))
    plugins = discover(entry_points=[two, one])
    assert [p.name for p in plugins.collisions["policies", "limit"]] == ["one", "two"]
    assert set(plugins.collisions) == {("policies", "limit")}
    with pytest.raises(LookupError, match="'limit' is offered by the plugins 'one' and 'two'"):
        plugins.factory("policies", "limit")
    assert plugins.factory("policies", "mine")[0].name == "mine"


def test_the_same_name_in_two_kinds_is_no_collision(install: Install) -> None:
    @hookimpl
    def gateway_caches() -> Sequence[Any]:
        return (factory("memory"),)

    @hookimpl
    def gateway_stores() -> Sequence[Any]:
        return (factory("memory"),)

    point = install("memory", gateway_caches=gateway_caches, gateway_stores=gateway_stores)
    assert discover(entry_points=[point]).collisions == {}


def test_an_unknown_factory_is_answered_with_the_nearest_name(install: Install) -> None:
    plugins = discover(entry_points=[install("p", gateway_policies=policies("rate_limit"))])
    with pytest.raises(
        LookupError, match=r"no policy plugin offers 'rate_limt'; did you mean 'rate_limit'\?"
    ):
        plugins.factory("policies", "rate_limt")
    with pytest.raises(LookupError, match="no upstream plugin offers 'mcp'; installed: none"):
        plugins.factory("upstreams", "mcp")


def test_a_disabled_plugin_is_listed_but_not_imported(install: Install) -> None:
    good = install("good", gateway_policies=policies("limit"))
    plugins = discover(
        Choice(only=frozenset({"good"})), [good, EntryPoint("bad", "no_such_module_at_all", GROUP)]
    )
    assert states(plugins) == {"bad": "disabled", "good": "loaded"}
    with pytest.raises(LookupError, match="'bad' is disabled: left out by --plugins"):
        plugins.factory("policies", "bad")


@pytest.mark.parametrize(
    ("text", "taken"),
    [("", "abc"), ("a,b", "ab"), (" a , ", "a"), ("no:a", "bc"), ("no:a,no:b", "c")],
)
def test_a_selection_is_all_some_or_all_but_some(text: str, taken: str) -> None:
    choice = parse_selection(text)
    assert "".join(name for name in "abc" if choice.takes(name)) == taken


def test_a_selection_cannot_be_both(install: Install) -> None:
    with pytest.raises(ConfigError, match="not both"):
        parse_selection("a,no:b")


def test_a_selection_of_something_not_installed_is_refused(install: Install) -> None:
    with pytest.raises(ConfigError, match=r"no plugin 'lmit' is installed; did you mean 'limit'\?"):
        discover(parse_selection("no:lmit"), [install("limit", gateway_policies=policies("limit"))])


def test_two_discoveries_share_nothing(install: Install) -> None:
    point = install("p", gateway_policies=policies("limit"))
    first, second = discover(entry_points=[point]), discover(entry_points=[point])
    assert states(first) == states(second) == {"p": "loaded"}


def test_the_built_in_loaders_are_found_with_their_distribution() -> None:
    record = next(p for p in discover(parse_selection("toml")).records if p.name == "toml")
    assert (record.state, record.distribution, record.module) == (
        "loaded",
        "portico",
        "portico_plugins.loaders.toml",
    )
    assert record.version


def test_an_unknown_suffix_is_answered_with_what_is_installed() -> None:
    plugins = discover(parse_selection("toml,json"))
    assert plugins.loader(".toml").name == "toml"
    with pytest.raises(LookupError, match=r"no plugin reads \.ini \(installed: \.json, \.toml\)"):
        plugins.loader(".ini")
    with pytest.raises(LookupError, match=r"no plugin reads \.json; 'json' .* is disabled"):
        discover(parse_selection("toml")).loader(".json")


def test_nearest_names_one_lists_all_or_stays_silent() -> None:
    assert nearest("registrys", ["registries", "stores"]) == "; did you mean 'registries'?"
    assert nearest("zzz", ["b", "a"], "known") == "; known: a, b"
    assert nearest("zzz", ["a"]) == ""
