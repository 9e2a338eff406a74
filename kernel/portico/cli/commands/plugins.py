"""`gateway plugins`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs
import click

from portico.cli.failures import Misuse

if TYPE_CHECKING:
    from portico._config.discovery import Plugin, Plugins
    from portico._core.contracts.factory import Factory


@click.group("plugins")
def command() -> None:
    """Show what is installed."""


@command.command("list")
@click.option("--json", "raw", is_flag=True, help="For machines.")
def list_(raw: bool) -> None:
    """List the installed plugins and what they offer; those that did not load too, with the reason."""
    from portico._config.discovery import discover

    plugins = discover()
    if raw:
        click.echo(json.dumps({"plugins": [_facts(plugin) for plugin in plugins.records]}, indent=2))
        return
    from portico.cli.show import line, table

    rows = []
    for plugin in plugins.records:
        offers = _offers(plugin) or [("-", "")]
        for index, (what, summary) in enumerate(offers):
            first = [plugin.name, plugin.version, plugin.state] if not index else ["", "", ""]
            rows.append([*first, what, line(plugin.reason or summary)])
    click.echo("\n".join(table(["PLUGIN", "VERSION", "STATE", "OFFERS", ""], rows)))
    for (kind, name), owners in plugins.collisions.items():
        click.echo(f"{kind} {name!r} is offered by several: {', '.join(p.label for p in owners)}", err=True)


@command.command("show")
@click.argument("name")
@click.option("--json", "raw", is_flag=True, help="For machines.")
def show(name: str, raw: bool) -> None:
    """Show one plugin, or whatever offers `use = "NAME"`: its state, and every config key."""
    from portico._config.discovery import discover

    plugins = discover()
    found = _find(plugins, name)
    if raw:
        click.echo(json.dumps([_facts(plugin, keys=True) for plugin in found], indent=2))
        return
    for plugin in found:
        click.echo("\n".join(_page(plugin)))


def _find(plugins: Plugins, name: str) -> list[Plugin]:
    """By its own name, else by what it offers.

    Raises:
        Misuse: Nothing has that name; names the nearest.
    """
    from portico._config.wording import nearest

    offering = {p.name: p for p in plugins.records if name in _factory_names(p)}
    found = [plugin for plugin in plugins.records if plugin.name == name] or list(offering.values())
    if not found:
        known = {n for p in plugins.records for n in (p.name, *_factory_names(p))}
        raise Misuse(f"no plugin {name!r} is installed{nearest(name, known, 'installed')}")
    return found


def _factory_names(plugin: Plugin) -> list[str]:
    return [factory.name for factories in plugin.factories.values() for factory in factories]


def _offers(plugin: Plugin) -> list[tuple[str, str]]:
    from portico._core.specs import KINDS

    offers = [
        (f"{KINDS[kind].noun} {factory.name}", factory.summary)
        for kind, factories in plugin.factories.items()
        for factory in factories
    ]
    offers += [(f"config loader {' '.join(loader.suffixes)}", "") for loader in plugin.loaders]
    offers += [(f"page {page.path}", page.title) for page in plugin.pages]
    offers += [(f"command {each.name}", each.summary) for each in plugin.commands]
    return offers


def _facts(plugin: Plugin, *, keys: bool = False) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "module": plugin.module,
        "state": plugin.state,
        "reason": plugin.reason,
        "factories": [
            _factory(kind, factory, keys)
            for kind, factories in plugin.factories.items()
            for factory in factories
        ],
        "loaders": [suffix for loader in plugin.loaders for suffix in loader.suffixes],
        "pages": [page.path for page in plugin.pages],
        "commands": [each.name for each in plugin.commands],
    }


def _factory(kind: str, factory: Factory[Any, Any], keys: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "kind": kind,
        "name": factory.name,
        "summary": factory.summary,
        "posture": factory.posture,
    }
    if keys:
        from portico._config.describe import rows
        from portico._config.discovery import config_of

        try:
            facts["config"] = [attrs.asdict(row) for row in rows(config_of(factory))]
        except LookupError as exc:
            facts["config"], facts["failed"] = [], str(exc)
    return facts


def _page(plugin: Plugin) -> list[str]:
    from portico._config.describe import rows
    from portico._config.discovery import config_of
    from portico._core.specs import KINDS

    lines = [f"{plugin.name}  ({plugin.distribution} {plugin.version}, {plugin.module})"]
    lines.append(f"state: {plugin.state}" + (f": {plugin.reason}" if plugin.reason else ""))
    for kind, factories in plugin.factories.items():
        for factory in factories:
            lines += ["", f"{KINDS[kind].noun} {factory.name}: {factory.summary}"]
            lines.append(f"  hook: {KINDS[kind].hook}; posture towards hostile input: {factory.posture}")
            lines.append(f"  use it in [{kind}.NAME] with use = {json.dumps(factory.name)}")
            try:
                table = rows(config_of(factory))
            except LookupError as exc:
                lines.append(f"  its configuration failed to load: {exc}")
                continue
            lines.append("" if table else "  no configuration")
            for row in table:
                default = (
                    "required"
                    if row.default == "required"
                    else f"default {row.default}"
                    if row.default
                    else ""
                )
                lines.append(f"  {row.key}  ({', '.join(part for part in (row.type, default) if part)})")
                if row.doc:
                    lines.append(f"      {row.doc}")
    lines += [f"config loader: {' '.join(loader.suffixes)}" for loader in plugin.loaders]
    lines += [f"page: {page.path} {page.title}" for page in plugin.pages]
    lines += [f"command: gateway {each.name}: {each.summary}" for each in plugin.commands]
    return lines
