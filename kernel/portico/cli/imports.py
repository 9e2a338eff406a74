"""Carrying out an import: a plan, a request or several, and a report of every item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from portico._config.exchange.items import OnConflict, Planned, Taken, plan, secrets_of
from portico._core.contracts.json import Json
from portico.cli.api import Api, Problem
from portico.cli.show import as_json, counted, line, progress, table

STRATEGIES: Final = ("skip", "overwrite", "rename", "fail")

_MADE: Final = ("create", "overwrite")


def carry_out(
    api: Api, taken: Taken, on_conflict: OnConflict, *, dry_run: bool, atomic: bool, raw: bool
) -> None:
    """Import items, and print what became of each.

    Args:
        api: The gateway.
        taken: What there is to import, and what could not be taken.
        on_conflict: See `plan`.
        dry_run: Only check.
        atomic: All or none.
        raw: Print JSON.

    Raises:
        click.exceptions.Exit: With 1 when an item failed or was in conflict.
    """
    kinds = {item.kind for item in taken.items}
    existing = {(kind, str(each["name"])): each for kind in sorted(kinds) for each in api.records(kind)}
    versions = {key: each.get("version") or 0 for key, each in existing.items()}
    pins = {name: each["config"] for (kind, name), each in existing.items() if kind == "pins"}
    planned = plan(taken.items, versions, on_conflict, pins)
    conflicts = any(each.action == "conflict" for each in planned)
    wanted = [] if conflicts else [each for each in planned if each.action in _MADE]
    results = iter(_sent(api, wanted, versions, dry_run=dry_run, atomic=atomic, raw=raw))
    rows = []
    for each in planned:
        result = next(results) if not conflicts and each.action in _MADE else None
        rows.append(_row(each, result, dry_run))
    missing = _missing(api, taken)
    if raw:
        notes = [{"place": place, "message": message} for place, message in taken.notes]
        as_json({"items": rows, "notes": notes, "missing_secrets": missing, "dry_run": dry_run})
    else:
        _print(rows, taken.notes, missing)
    if any(row["result"] in ("failed", "conflict") for row in rows):
        raise click.exceptions.Exit(1)


def _sent(
    api: Api,
    wanted: Sequence[Planned],
    versions: Mapping[Any, int],
    *,
    dry_run: bool,
    atomic: bool,
    raw: bool,
) -> list[Json]:
    changes = [
        {
            "action": "create" if each.action == "create" else "put",
            "kind": each.item.kind,
            "name": each.item.name,
            "config": each.item.config,
            "about": each.item.about,
            **({"version": versions[each.item.kind, each.item.name]} if each.action == "overwrite" else {}),
            **({"made": each.item.made} if each.item.made else {}),
        }
        for each in wanted
    ]
    if not changes:
        return []
    try:
        found = api.bulk(changes, "all" if atomic else "each", dry_run)
        with progress(found, "Importing", len(changes), raw=raw) as bar:
            return list(bar)
    except Problem as problem:
        if not atomic or problem.status not in (409, 412, 422):
            raise
        return [{"status": problem.status, "problem": problem.said} for _ in changes]


def _row(each: Planned, result: Json | None, dry_run: bool) -> Json:
    row: Json = {"kind": each.item.kind, "name": each.item.name, "action": each.action, "was": each.was}
    if result is None:
        told = {"skip": "skipped", "conflict": "conflict"}.get(each.action, "not done")
        why = "another is in conflict" if told == "not done" else "there is one of this name"
        why = "it is there just so" if each.same else why
        return {**row, "result": told, "message": why}
    problem = result.get("problem")
    if problem:
        return {**row, "result": "failed", "message": _why(problem)}
    done = "created" if each.action == "create" else "overwritten"
    renamed = f"was {each.was}" if each.was else ""
    return {**row, "result": f"would be {done}" if dry_run else done, "message": renamed}


def _why(problem: Json) -> str:
    """A problem in one line."""
    wrong = problem.get("errors")
    errors = [each for each in wrong if isinstance(each, dict)] if isinstance(wrong, list) else []
    said = [f"{each.get('path', '')}: {each.get('message', '')}".removeprefix(": ") for each in errors]
    return "; ".join(said) or str(problem.get("detail") or problem.get("title"))


def _missing(api: Api, taken: Taken) -> list[str]:
    """The secrets that the items mention and the gateway has not."""
    mentioned: set[str] = set()
    for item in taken.items:
        mentioned |= secrets_of(item.config)
    if not mentioned:
        return []
    return sorted(mentioned - {str(each["name"]) for each in api.everything("secrets")})


def _print(rows: Sequence[Json], notes: Sequence[tuple[str, str]], missing: Sequence[str]) -> None:
    if rows:
        cells = [
            [row["kind"], line(row["name"]), row["result"], " ".join(row["message"].split())] for row in rows
        ]
        click.echo("\n".join(table(["KIND", "NAME", "RESULT", ""], cells)))
    else:
        click.echo("nothing to import")
    for place, note in notes:
        click.echo(f"note: {line(place)}: {line(note)}" if place else f"note: {line(note)}")
    for name in missing:
        click.echo(f"note: the gateway has no secret {line(name)!r} yet")
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["result"]] = counts.get(row["result"], 0) + 1
    parts = [f"{number} {result}" for result, number in counts.items()]
    click.echo(f"{counted(len(rows), 'items')}: {', '.join(parts) or 'none'}; {counted(len(notes), 'notes')}")
