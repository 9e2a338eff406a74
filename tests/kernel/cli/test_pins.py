"""`gateway pins`: what upstreams changed, and approving of it."""

from __future__ import annotations

import json
from collections.abc import Callable

from click.testing import Result

from tests.kernel.cli.small_api import SmallApi

Cli = Callable[..., Result]


def test_what_changed_is_listed_and_the_rest_if_asked_for(manage: Cli, api: SmallApi) -> None:
    head, *rows = manage("pins", "list").stdout.splitlines()
    assert head.split()[:4] == ["UPSTREAM", "DEFINITION", "STATE", "SINCE"]
    assert [row.split()[:3] for row in rows] == [["docs", "tools/search", "quarantined"]]
    assert "U+202E" in rows[0]
    assert len(manage("pins", "list", "--all").stdout.splitlines()) == 3
    assert manage("pins", "list", "--state", "changed").stdout == "nothing has changed\n"
    items = json.loads(manage("pins", "list", "--upstream", "docs", "--json").stdout)["items"]
    assert [each["definition"] for each in items] == ["tools/search"]


def test_a_change_is_shown_field_by_field(manage: Cli, api: SmallApi) -> None:
    assert manage("pins", "show", "docs").stdout.splitlines() == [
        'docs: 2 definitions, version 4, on_change = "quarantine"',
        "",
        "tools/search: quarantined since 2026-11-21T05:00:00.000Z",
        "  ! description: U+202E RIGHT-TO-LEFT OVERRIDE",
        "  + description",
        "      + Finds\\u202e.",
        "      + Twice.",
        "  ~ inputSchema.type",
        "      - object",
        '      + ["object"]',
    ]
    assert "tools/read: pinned" in manage("pins", "show", "docs", "tools/read").stdout
    assert manage("pins", "show", "docs", "tools/raed").exit_code == 2
    assert len(json.loads(manage("pins", "show", "docs", "--json").stdout)["items"]) == 2


def test_what_was_shown_is_what_is_approved(manage: Cli, api: SmallApi) -> None:
    dry = manage("pins", "approve", "docs", "tools/search", "--dry-run")
    assert dry.stdout == "docs tools/search would be approved\n"
    assert manage("pins", "approve", "docs", "--all", "--if-version", "3").exit_code == 2
    assert [each["state"] for each in api.pins] == ["quarantined", "pinned"]
    done = manage("pins", "approve", "docs", "tools/search", "--if-version", "4")
    assert done.stdout == "docs tools/search approved\n"
    assert [each["state"] for each in api.pins] == ["pinned", "pinned"]
    assert api.requests[-1][3] == {"digests": {"tools/search": "b" * 64}}
    assert manage("pins", "approve", "docs", "--all").stdout == "nothing has changed\n"


def test_all_changes_of_all_upstreams_are_approved_at_once(manage: Cli, api: SmallApi) -> None:
    done = json.loads(manage("pins", "approve", "--all", "--json").stdout)
    assert [each["upstream"] for each in done["items"]] == ["docs"]
    assert manage("pins", "list").stdout == "nothing has changed\n"


def test_an_export_takes_pins_along(manage: Cli, api: SmallApi) -> None:
    config = {"digests": {"tools/t": "0" * 64}, "definitions": "eJyrBgA=", "pending": {}}
    api.put("pins", "docs", config)
    api.put("upstreams", "docs", {"url": "https://docs.example"})
    assert manage("export", "-o", "backup.toml").exit_code == 0
    api.records.clear()
    done = manage("import", "backup.toml")
    assert done.exit_code == 0, done.output
    assert list(api.records) == [("pins", "docs"), ("upstreams", "docs")]
    assert api.records["pins", "docs"]["config"] == config
    assert manage("import", "backup.toml").exit_code == 1


def test_it_has_to_be_said_what_is_approved(manage: Cli, api: SmallApi) -> None:
    for wrong in (["docs"], [], ["docs", "tools/search", "--all"], ["--all", "--if-version", "4"]):
        assert manage("pins", "approve", *wrong).exit_code == 2
    assert manage("pins", "approve", "docs", "tools/serach").exit_code == 2
    assert api.pins[0]["state"] == "quarantined"


def test_names_in_dispute_are_listed(manage: Cli, api: SmallApi) -> None:
    head, row = manage("pins", "conflicts").stdout.splitlines()
    assert head.split() == ["SERVER", "KIND", "NAME", "UPSTREAM", "OTHER", "WHY"]
    assert row.split()[3:] == ["evil", "docs", "similar"]
    assert json.loads(manage("pins", "conflicts", "--json").stdout)["total"] == 1
