"""`gateway pins`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import click

from portico._core.contracts.json import Json
from portico.cli.api import EPILOG, Api, api_options
from portico.cli.failures import Misuse
from portico.cli.record_options import dry_run_option, json_option, version_option
from portico.cli.show import as_json, counted, line, safe, table

_STATES: Final = ("pinned", "changed", "quarantined")
_SIGNS: Final = {"added": "+", "removed": "-", "changed": "~"}


@click.group("pins", epilog=EPILOG)
def command() -> None:
    """See which definitions upstreams have changed, and approve of what they became."""


@command.command("list")
@click.option("--upstream", metavar="NAME", help="Only those of this upstream.")
@click.option("--state", type=click.Choice(_STATES), help="Only those in this state.")
@click.option("--all", "every", is_flag=True, help="Those that have not changed, too.")
@api_options
@json_option
def listing(upstream: str | None, state: str | None, every: bool, api: Api, raw: bool) -> None:
    """List definitions that have changed."""
    items = list(_items(api, upstream, state, every))
    if raw:
        as_json({"items": items})
        return
    rows = [
        [
            line(item["upstream"]),
            line(item["definition"]),
            item["state"],
            line(item.get("since") or "-"),
            line("; ".join(item.get("odd") or ())) or "-",
        ]
        for item in items
    ]
    head = ["UPSTREAM", "DEFINITION", "STATE", "SINCE", "ODD CHARACTERS"]
    click.echo("\n".join(table(head, rows)) if rows else "nothing has changed")


@command.command("show", epilog="Example: gateway pins show docs tools/search")
@click.argument("upstream")
@click.argument("definitions", nargs=-1, metavar="[DEFINITION...]")
@api_options
@json_option
def show(upstream: str, definitions: tuple[str, ...], api: Api, raw: bool) -> None:
    """Show what an upstream has changed, field by field."""
    found = api.request("GET", ["pins", upstream]).body
    changed = [each for each in found["items"] if each["state"] != "pinned"]
    if definitions:
        _check(definitions, (each["definition"] for each in found["items"]), upstream)
        changed = [each for each in found["items"] if each["definition"] in definitions]
    if raw:
        as_json({**found, "items": changed} if definitions else found)
        return
    kept = f"version {found['version']}" if found["version"] else "not written yet"
    policy = f'on_change = "{found["on_change"]}"' if found["on_change"] else "not in use"
    click.echo(f"{line(upstream)}: {counted(len(found['items']), 'definitions')}, {kept}, {policy}")
    for each in changed:
        click.echo("\n" + "\n".join(_shown(each)))
    if not changed:
        click.echo("nothing has changed")


@command.command("approve", epilog="Example: gateway pins approve docs tools/search --if-version 4")
@click.argument("upstream", required=False)
@click.argument("definitions", nargs=-1, metavar="[DEFINITION...]")
@click.option("--all", "every", is_flag=True, help="All that changed: of UPSTREAM, or of every upstream.")
@api_options
@version_option
@dry_run_option
@json_option
def approve(
    upstream: str | None,
    definitions: tuple[str, ...],
    every: bool,
    api: Api,
    if_version: int | None,
    dry_run: bool,
    raw: bool,
) -> None:
    """Have definitions of UPSTREAM that changed hold from now on.

    With --if-version, only what `gateway pins show` has shown with that version is approved.
    """
    if every == bool(definitions) or not (upstream or every):
        raise click.UsageError("name an upstream and definitions of it, or say --all")
    if if_version is not None and not upstream:
        raise click.UsageError("--if-version goes with one upstream")
    named = [upstream] if upstream else list(dict.fromkeys(each["upstream"] for each in _items(api)))
    results = []
    for name in named:
        found = api.request("GET", ["pins", name]).body
        pending = {each["definition"]: each["offered"] for each in found["items"] if each["offered"]}
        if definitions:
            _check(definitions, pending, name)
            pending = {each: pending[each] for each in definitions}
        if pending:
            path, query = ["pins", name, "approve"], {"dry_run": dry_run}
            answer = api.request("POST", path, {"digests": pending}, query, if_version)
            results.append(answer.body)
            if not raw:
                for each in pending:
                    click.echo(f"{line(name)} {line(each)} {'would be ' if dry_run else ''}approved")
    if raw:
        as_json({"items": results})
    elif not results:
        click.echo("nothing has changed")


@command.command("conflicts")
@click.option("--server", metavar="NAME", help="Only those of this virtual server.")
@api_options
@json_option
def conflicts(server: str | None, api: Api, raw: bool) -> None:
    """List names of upstreams that others have, too, or that look like theirs."""
    found = api.request("GET", ["conflicts"], query={"server": server}).body
    if raw:
        as_json(found)
        return
    keys = ("server", "kind", "name", "upstream", "other", "why")
    rows = [[line(each[key]) for key in keys] for each in found["items"]]
    head = [key.upper() for key in keys]
    click.echo("\n".join(table(head, rows)) if rows else "no names are in dispute")


def _items(
    api: Api, upstream: str | None = None, state: str | None = None, every: bool = False
) -> Iterator[Json]:
    states = [state] if state or every else [each for each in _STATES if each != "pinned"]
    for each in states:
        yield from api.everything("pins", upstream=upstream, state=each)


def _check(wanted: Sequence[str], known: Any, upstream: str) -> None:
    from portico._config.wording import nearest

    known = list(known)
    for each in wanted:
        if each not in known:
            raise Misuse(f"{each!r} of {upstream!r} has not changed{nearest(each, known, 'changed')}")


def _shown(item: Json) -> Iterator[str]:
    since = f" since {line(item['since'])}" if item.get("since") else ""
    yield f"{line(item['definition'])}: {item['state']}{since}"
    for each in item.get("odd") or ():
        yield f"  ! {line(each)}"
    for each in item["differences"]:
        yield f"  {_SIGNS[each['what']]} {line(each['path']) or '(all of it)'}"
        if each["what"] != "added":
            yield from _value("-", each["before"])
        if each["what"] != "removed":
            yield from _value("+", each["after"])


def _value(sign: str, value: Any) -> Iterator[str]:
    import msgspec

    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    for each in safe(text).split("\n"):
        yield f"      {sign} {each}"
