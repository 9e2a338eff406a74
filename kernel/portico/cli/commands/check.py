"""`gateway check`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from portico._core.errors import ConfigError
from portico.cli.compose import PRECEDENCE, Sources, gather, installed, source_options

if TYPE_CHECKING:
    from pathlib import Path

    from portico._config.components import Component
    from portico._config.settings import Settings
    from portico._config.wording import Place


@click.command(
    "check", epilog=f"{PRECEDENCE} Exit codes: 0 no problem, 1 an upstream cannot be reached, 2 problems."
)
@source_options
@click.option("--connect", is_flag=True, help="Start the upstreams too, and report what they offer.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def command(sources: Sources, connect: bool, as_json: bool) -> None:
    """Check a configuration: every problem in one run.

    That includes files and programs that are not there, and packages that are not installed.
    Nothing is started, and no connection is opened, unless --connect asks for it.
    """
    plugins = installed(sources.plugins)
    report: dict[str, Any] = {"ok": True, "source": "", "problems": []}
    failed = [p for p in plugins.records if p.state in ("failed", "refused")]
    report["plugins"] = [{"name": p.name, "state": p.state, "reason": p.reason} for p in failed]
    try:
        settings = gather(sources, plugins).settings(plugins, look=partial(_absent, connect))
        report["source"] = settings.source
        if connect:
            report |= _connected(settings)
    except ConfigError as error:
        report["ok"] = False
        report["source"] = error.source
        report["problems"] = [{"path": path, "message": text} for path, text in error.problems]
        if not as_json:
            click.echo(error.render(), err=True)
    else:
        if not as_json:
            click.echo("\n".join(_summary(settings, report)))
    if as_json:
        click.echo(json.dumps(report, indent=2, ensure_ascii=False))
    unreachable = any(each["state"] != "ready" for each in report.get("upstreams", {}).values())
    if report["problems"] or report.get("conflicts"):
        raise click.exceptions.Exit(2)
    if unreachable:
        raise click.exceptions.Exit(1)


def _absent(connect: bool, component: Component, base: Path) -> Iterable[tuple[Place, str]]:
    """What a component names that is not there; upstreams that are started say it themselves."""
    from portico._config.present import absent

    return () if connect and component.kind == "upstreams" else absent(component, base)


def _connected(settings: Settings) -> dict[str, Any]:
    """What only starting shows: states, offers and conflicts of names."""
    from portico.cli.local import Local

    with Local(settings) as local:
        plane = local.gateway.plane
        upstreams = plane.status()
        for name, each in upstreams.items():
            each["eras"] = sorted(plane.upstreams[name].offer.eras)
        conflicts = [
            {"server": server, "kind": kind, "name": name, "kept": kept, "left_out": lost}
            for server, endpoint in plane.endpoints.items()
            for kind, name, kept, lost in endpoint.view.conflicts
        ]
    ok = not conflicts and all(each["state"] == "ready" for each in upstreams.values())
    return {"ok": ok, "upstreams": upstreams, "conflicts": conflicts}


def _summary(settings: Settings, report: dict[str, Any]) -> list[str]:
    from portico.cli.show import counted, table

    counts: dict[str, int] = {}
    for kind, _ in settings.components:
        counts[kind] = counts.get(kind, 0) + 1
    parts = [counted(len(settings.servers), "virtual servers")]
    parts += [
        counted(counts.get(kind, 0), noun)
        for kind, noun in (("upstreams", "upstreams"), ("policies", "policies"))
    ]
    lines = [f"{settings.source}: the configuration has no problems ({', '.join(parts)})"]
    if "upstreams" in report:
        rows = [
            [
                name,
                each["state"],
                "+".join(each["eras"]) or "-",
                ", ".join(counted(each[kind], kind) for kind in ("tools", "resources", "prompts")),
                each.get("reason", ""),
            ]
            for name, each in report["upstreams"].items()
        ]
        lines += table(["UPSTREAM", "STATE", "ERA", "OFFERS", "REASON"], rows)
        lines += [
            f"{c['kind']} {c['name']!r} of server {c['server']!r} is claimed twice: {c['kept']!r} has it, "
            f"{c['left_out']!r} is left out (servers.{c['server']}.prefix or .rename tells them apart)"
            for c in report["conflicts"]
        ]
    return lines
