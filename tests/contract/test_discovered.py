"""Every installed plugin, whoever wrote it, is held to the contract."""

from __future__ import annotations

from typing import Any

import pytest

from portico._config.discovery import Plugin, discover
from portico.api import Factory
from portico.testing import check_plugin

PLUGINS = discover().records
FACTORIES = [
    pytest.param(plugin, kind, factory, id=f"{kind}-{factory.name}")
    for plugin in PLUGINS
    for kind, factories in plugin.factories.items()
    for factory in factories
]

CONFIGS: dict[tuple[str, str], dict[str, Any]] = {
    # A server of its own rather than the documented example, which is on the network.
    ("upstreams", "mcp"): {
        "command": ["python", "-m", "portico_examples.tables", "--help"],
        "start_grace": 0,
        "restarts": 0,
    },
}


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)
def test_an_installed_plugin_loads(plugin: Plugin) -> None:
    assert (plugin.state, plugin.reason) == ("loaded", "")


@pytest.mark.parametrize(("plugin", "kind", "factory"), FACTORIES)
async def test_a_factory_keeps_its_contract(plugin: Plugin, kind: str, factory: Factory[Any, Any]) -> None:
    await check_plugin(factory, CONFIGS.get((kind, factory.name)), kind=kind)


@pytest.mark.parametrize("plugin", [p for p in PLUGINS if not p.factories], ids=lambda plugin: plugin.name)
async def test_a_plugin_without_factories_keeps_its_contract(plugin: Plugin) -> None:
    await check_plugin(plugin)


def test_something_of_every_distribution_is_checked() -> None:
    known = {"portico", "portico-yaml", "portico-contextforge", "portico-clock", "portico-confirm"}
    assert known <= {p.distribution for p in PLUGINS}
