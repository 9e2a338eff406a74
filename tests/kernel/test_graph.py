from __future__ import annotations

from itertools import pairwise
from typing import Any

import attrs
import pytest

from portico._config import graph
from portico._config.components import Component, refs, resolve
from portico._config.wording import dotted
from portico.api import AuthScheme, ConfigError, Factory, Ref, Registry, Store, Upstream, doc


@attrs.frozen
class Inner:
    store: Ref[Store] | None = None


@attrs.frozen
class Config:
    registry: Ref[Registry] | None = None
    auth: tuple[Ref[AuthScheme], ...] = ()
    upstream: Ref[Upstream] | None = None
    inner: Inner = attrs.field(factory=Inner)
    by_name: dict[str, Inner] = attrs.field(factory=dict)


@attrs.frozen
class Defaulted:
    registry: Ref[Registry] = attrs.field(default=Ref("main"))


def component(key: str, config: Any = None) -> tuple[tuple[str, str], Component]:
    kind, name = key.split(".")
    config = config or Config()
    unused: Any = None
    factory: Factory[Any, Any] = Factory(name="x", summary="", config=type(config), create=unused)
    return (kind, name), Component(kind, name, "x", config, factory, "p")


@attrs.frozen
class Open:
    url: str = attrs.field(default="", metadata=doc("Where.", needed=True))
    more: str = ""


@attrs.frozen
class Giving:
    store: Ref[Store] | None = attrs.field(default=None, metadata=doc("Which.", gives=("url",)))


@attrs.frozen
class Outer:
    by_name: dict[str, Giving | Inner] = attrs.field(factory=dict)
    several: tuple[Inner, ...] = ()


def order(*components: tuple[tuple[str, str], Component]) -> list[str]:
    return ["+".join(".".join(key) for key in stage) for stage in graph.stages(dict(components))]


def test_without_references_kinds_start_in_their_order_and_instances_in_the_configs() -> None:
    names = (
        "listeners.http",
        "policies.b",
        "policies.a",
        "auth.x",
        "registries.r",
        "transports.t",
        "stores.s",
    )
    assert order(*map(component, names)) == [
        "registries.r",
        "stores.s",
        "auth.x",
        "policies.b",
        "policies.a",
        "transports.t",
        "listeners.http",
    ]


def test_a_reference_overrules_the_order_of_kinds() -> None:
    registry = component("registries.main", Config(inner=Inner(Ref("kv"))))
    assert order(registry, component("stores.kv")) == ["stores.kv", "registries.main"]


def test_upstreams_start_together_unless_one_needs_another() -> None:
    needing = component("upstreams.b", Config(upstream=Ref("a")))
    assert order(component("upstreams.a"), component("upstreams.c"), component("policies.p")) == [
        "upstreams.a+upstreams.c",
        "policies.p",
    ]
    assert order(component("upstreams.a"), needing, component("upstreams.c")) == [
        "upstreams.a",
        "upstreams.b+upstreams.c",
    ]


def test_references_are_found_in_nested_tables_arrays_and_defaults() -> None:
    config = Config(
        registry=Ref("main"),
        auth=(Ref("x"), Ref("y")),
        inner=Inner(Ref("a")),
        by_name={"one": Inner(Ref("b"))},
    )
    found = [(dotted(place), kind, ref.name) for place, kind, ref in refs(config)]
    assert found == [
        ("registry", "registries", "main"),
        ("auth[0]", "auth", "x"),
        ("auth[1]", "auth", "y"),
        ("inner.store", "stores", "a"),
        ("by_name.one.store", "stores", "b"),
    ]
    assert [ref.name for _, _, ref in refs(Defaulted())] == ["main"]


def test_components_that_need_each_other_are_named_in_a_circle() -> None:
    needs = {"a": "b", "b": "c", "c": "a"}
    circle = dict(component(f"upstreams.{one}", Config(upstream=Ref(other))) for one, other in needs.items())
    with pytest.raises(ConfigError, match="these need each other"):
        graph.stages(circle)
    [(path, message)] = graph.cycle(circle)
    named = message.removeprefix("these need each other: ").replace("upstreams.", "").split(" -> ")
    assert path == f"upstreams.{named[0]}"
    assert len(named) == 4
    assert all(needs[one] == other for one, other in pairwise(named))


def test_a_component_that_needs_itself_is_a_circle() -> None:
    assert graph.cycle(dict([component("upstreams.a", Config(upstream=Ref("a")))])) == [
        ("upstreams.a", "these need each other: upstreams.a -> upstreams.a")
    ]


def test_a_reference_to_nothing_says_where_and_what_there_is() -> None:
    components = dict([component("policies.p", Config(registry=Ref("mian"), inner=Inner(Ref("kv"))))])
    assert graph.dangling(components, {"registries": ("main",), "policies": ("p",)}) == [
        ("policies.p.registry", "no registry 'mian' is configured; did you mean 'main'?"),
        ("policies.p.inner.store", "no store 'kv' is configured; configured: none"),
    ]


def test_a_reference_is_resolved_to_the_kind_of_its_field() -> None:
    config = Config(registry=Ref("main"), inner=Inner(Ref("main")))
    assert config.registry is not None
    assert config.inner.store is not None
    assert resolve(config, config.registry) == ("registries", "main")
    assert resolve(config, config.inner.store) == ("stores", "main")
    assert resolve(Config(registry=Ref("a")), Ref("a")) == ("registries", "a")
    with pytest.raises(LookupError, match="not a field"):
        resolve(config, Ref("other"))


def test_a_reference_without_a_kind_is_the_plugins_mistake() -> None:
    @attrs.frozen
    class Loose:
        thing: Any = attrs.field(factory=lambda: Ref("a"))

    with pytest.raises(TypeError, match="thing must be typed Ref"):
        list(refs(Loose()))


def test_what_a_component_lacks_is_a_problem_of_every_field_that_does_not_give_it() -> None:
    to = Ref[Store]("s")
    outer = Outer({"a": Giving(to), "b.c": Inner(to)}, (Inner(), Inner(to)))
    found = [component("upstreams.u", outer), component("upstreams.v", Inner(Ref("fine")))]
    found += [component("stores.s", Open()), component("stores.fine", Open(url="x"))]
    said = "store 's' has no `url`, which nothing else says here: set stores.s.url"
    assert graph.lacking(dict(found)) == [
        ('upstreams.u.by_name."b.c".store', said),
        ("upstreams.u.several[1].store", said),
    ]
    assert graph.lacking(dict(found[:2])) == []
