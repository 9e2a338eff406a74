"""`gateway status`."""

from __future__ import annotations

import json
import time

import click

from portico._core.contracts.json import Json
from portico.cli.control import Running, ask, running_options

_SECONDS = 10.0
_COUNTS = ("calls", "refused", "parked", "sessions", "forwarded", "owners_gone")


@click.command("status", epilog="Exit codes: 0 it runs, 1 none answers or a worker is missing.")
@running_options
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def command(running: Running, as_json: bool) -> None:
    """Show how a running gateway is: its workers (age, load, memory, generation), and its upstreams."""
    status = ask(running, {"do": "status"}, _SECONDS)
    if as_json:
        click.echo(json.dumps(status, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_lines(status)))
    ready = sum(each["state"] == "ready" for each in status["workers"])
    if ready < status["wanted"]:
        raise click.exceptions.Exit(1)


def _lines(status: Json) -> list[str]:
    from portico.cli.show import line, table

    head = (
        f"gateway {status['version']}, pid {status['pid']}, up {_ago(status['age'])}, serves "
        f"{line(status['source'])} on {', '.join(status['listen'])}"
    )
    lines = [head]
    if status["replaced"]:
        lines.append(f"workers that died and were replaced: {status['replaced']}")
    last = status["last_reload"]
    if last is not None and not last["ok"]:
        lines.append(f"the last reload failed: {line(last['error'])}")
    rows = []
    for each in status["workers"]:
        load = each["load"] or {}
        counts = [str(load.get(name, "-")) for name in _COUNTS]
        held = "-" if each["connections"] is None else str(each["connections"])
        memory = "-" if each["memory"] is None else f"{each['memory'] / 1048576:.0f} MB"
        state = each["state"] if each["load"] is not None or each["state"] == "starting" else "not answering"
        if load.get("refusing"):
            state += f", refusing: {load['refusing'].replace('_', ' ')}"
        own = [str(each["pid"]), state, str(each["generation"]), _ago(each["age"]), memory, held]
        rows.append([*own, *counts])
    columns = ["PID", "STATE", "GENERATION", "AGE", "MEMORY", "CONNECTIONS"]
    columns += [name.replace("_", " ").upper() for name in _COUNTS]
    lines += table(columns, rows)
    known: Json = next((each["load"]["upstreams"] for each in status["workers"] if each["load"]), {})
    if known:
        now = time.time()
        rows = [
            [line(name), each["state"], _ago(max(0, now - each["since"])), line(each["reason"]) or "-"]
            for name, each in sorted(known.items())
        ]
        lines += ["", *table(["UPSTREAM", "STATE", "FOR", "REASON"], rows)]
    return lines


def _ago(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
