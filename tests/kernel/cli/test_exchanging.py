"""`export`, `import` and `catalog`, against a management API and an MCP Registry of their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from portico.cli.registry_v01 import Registry
from tests.kernel.cli.small_api import SmallApi
from tests.kernel.small_registry import ENTRIES, small_registry

Cli = Callable[..., Result]
DOCS = {"use": "mcp", "url": "https://docs.example.com/mcp", "headers": {"K": "${secret:docs-key}"}}
DESKTOP = {
    "mcpServers": {"docs": {"url": "https://a.example", "headers": {"K": "${KEY}"}}, "time": {"command": "t"}}
}


def rows(result: Result) -> dict[str, list[str]]:
    """The report: name -> the cells of its line."""
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["KIND", "NAME", "RESULT"]
    return {line.split()[1]: line.split() for line in lines[1:] if not line.startswith("note:")}


@pytest.fixture
def filled(api: SmallApi) -> SmallApi:
    """With a few records, one of them of the file."""
    api.put("upstreams", "docs", DOCS, tags=["a"])
    api.put("upstreams", "fixed", {"url": "https://f.example"}, origin="file")
    api.put("upstreams", "off", {"url": "https://o.example"}, enabled=False)
    api.put("servers", "people", {"upstreams": ["docs"]}, owner="me")
    api.put("overrides", "docs/tools/find", {"name": "search"})
    api.put("prompts", "review", {"template": "Review."})
    api.put("secrets", "docs-key", {"sealed": "v1.local.abcdefgh"})
    return api


def test_what_is_exported_and_imported_elsewhere_is_the_same(manage: Cli, filled: SmallApi) -> None:
    exported = manage("export", "-o", "backup.toml")
    assert (exported.exit_code, "Wrote 5 records to backup.toml." in exported.stderr) == (0, True)
    text = Path("backup.toml").read_text()
    assert "sealed" not in text
    assert "fixed" not in text
    before = {key: (each["config"], each["about"]) for key, each in filled.records.items()}
    for key in [key for key in filled.records if key[0] != "secrets" and key[1] != "fixed"]:
        del filled.records[key]
    imported = manage("import", "backup.toml")
    assert imported.exit_code == 0, imported.output
    assert "5 items: 5 created; 0 notes" in imported.stdout
    assert {key: (each["config"], each["about"]) for key, each in filled.records.items()} == before
    assert filled.requests[-1][2]["Portico-Via"] == "import"


def test_an_export_goes_to_stdout_and_may_have_what_the_file_says(manage: Cli, filled: SmallApi) -> None:
    assert "[upstreams.fixed]" in manage("export", "--all").stdout
    assert '"${secret:docs-key}"' in manage("export", "--secrets", "secret").stdout
    assert '"${env:DOCS_KEY}"' in manage("export").stdout


def test_desktop_configurations_are_taken_over_with_what_must_be_set(manage: Cli, api: SmallApi) -> None:
    result = manage("import", "-", stdin=json.dumps(DESKTOP))
    assert result.exit_code == 0
    assert api.records["upstreams", "docs"]["config"]["headers"] == {"K": "${secret:KEY}"}
    assert "note: upstreams.docs: ${env:KEY} became ${secret:KEY}" in result.stdout
    assert "note: the gateway has no secret 'KEY' yet" in result.stdout
    assert "mcpServers JSON" in result.stderr


def test_a_conflict_stops_an_import_before_it_begins(manage: Cli, filled: SmallApi) -> None:
    result = manage("import", "-", stdin=json.dumps(DESKTOP))
    assert result.exit_code == 1
    assert rows(result)["docs"][2:] == ["conflict", "there", "is", "one", "of", "this", "name"]
    assert rows(result)["time"][2:4] == ["not", "done"]
    assert ("upstreams", "time") not in filled.records


@pytest.mark.parametrize(
    ("strategy", "line", "url"),
    [
        ("skip", ["upstreams", "docs", "skipped"], "https://docs.example.com/mcp"),
        ("overwrite", ["upstreams", "docs", "overwritten"], "https://a.example"),
        ("rename", ["upstreams", "docs-2", "created"], "https://docs.example.com/mcp"),
    ],
)
def test_names_in_use_are_treated_as_asked(
    manage: Cli, filled: SmallApi, strategy: str, line: list[str], url: str
) -> None:
    result = manage("import", "-", "--on-conflict", strategy, stdin=json.dumps(DESKTOP))
    assert result.exit_code == 0
    assert line in [cells[:3] for cells in rows(result).values()]
    assert filled.records["upstreams", "docs"]["config"]["url"] == url
    assert (("upstreams", "docs-2") in filled.records) is (strategy == "rename")


def test_a_dry_run_reports_every_item_and_changes_nothing(manage: Cli, filled: SmallApi) -> None:
    before = dict(filled.records)
    result = manage(
        "import", "-", "--on-conflict", "overwrite", "--dry-run", "--json", stdin=json.dumps(DESKTOP)
    )
    report = json.loads(result.stdout)
    assert [item["result"] for item in report["items"]] == ["would be overwritten", "would be created"]
    assert (report["dry_run"], report["missing_secrets"]) == (True, ["KEY"])
    assert filled.records == before


BROKEN = '[upstreams.good]\nurl = "https://a"\n[upstreams.bad]\nulr = "https://b"\n'


def test_an_item_that_fails_takes_no_other_down(manage: Cli, api: SmallApi) -> None:
    result = manage("import", "-", stdin=BROKEN)
    assert result.exit_code == 1
    assert rows(result)["good"][2] == "created"
    assert "failed   upstreams.bad: expected url or command; upstreams.bad.ulr: unknown key" in result.stdout
    assert list(api.records) == [("upstreams", "good")]


def test_an_atomic_import_is_all_or_nothing(manage: Cli, api: SmallApi) -> None:
    result = manage("import", "-", "--atomic", stdin=BROKEN)
    assert result.exit_code == 1
    assert [cells[2] for cells in rows(result).values() if cells[0] == "upstreams"] == ["failed", "failed"]
    assert api.records == {}


def test_many_items_go_in_several_requests(manage: Cli, api: SmallApi) -> None:
    text = "".join(f'[upstreams.u{number}]\nurl = "https://a"\n' for number in range(230))
    assert "230 items: 230 created" in manage("import", "-", stdin=text).stdout
    assert [len(body["changes"]) for _, path, _, body in api.requests if path.startswith("/api/v1/bulk")] == [
        100,
        100,
        30,
    ]


def test_what_cannot_be_imported_is_a_plain_sentence(manage: Cli) -> None:
    result = manage("import", "-", stdin="a = 1")
    assert (result.exit_code, "is nothing that can be imported" in result.stderr) == (2, True)
    assert manage("import", "nowhere.toml").exit_code == 1


# --- the catalog -----------------------------------------------------------------------------------


@pytest.fixture
def registry() -> Iterator[str]:
    """An MCP Registry."""
    with small_registry() as url:
        yield url


@pytest.fixture(params=["url", "file"])
def source(request: pytest.FixtureRequest, registry: str, tmp_path: Path) -> str:
    """The same registry as an endpoint and as a file."""
    if request.param == "url":
        return registry
    (tmp_path / "registry.json").write_text(
        json.dumps({"servers": ENTRIES, "metadata": {"count": len(ENTRIES)}})
    )
    return str(tmp_path / "registry.json")


def test_a_registry_is_searched_by_words(cli: Cli, source: str) -> None:
    result = cli("catalog", "search", "weather", "--registry", source)
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == [
        "io.example/weather",
        "io.example/weather-news",
        "io.example/weather-edit",
    ]
    assert "remote" in result.stdout
    assert "\x1b" not in result.stdout
    assert "weather-news" in cli("catalog", "search", "weather", "news", "--registry", source).stdout
    assert cli("catalog", "search", "nothing", "--registry", source).stdout == "no servers\n"


def test_a_search_has_pages(cli: Cli, source: str) -> None:
    first = cli("catalog", "search", "--limit", "3", "--registry", source)
    assert "There are more: --offset 3 shows them." in first.stderr
    rest = json.loads(
        cli("catalog", "search", "--limit", "3", "--offset", "3", "--json", "--registry", source).stdout
    )
    assert ([each["name"] for each in rest["servers"]], rest["more"]) == (["io.example/other"], False)


def test_a_server_of_a_registry_is_added_as_an_upstream(manage: Cli, api: SmallApi, source: str) -> None:
    result = manage("catalog", "add", "io.example/weather", "--registry", source)
    assert result.exit_code == 0, result.output
    assert api.records["upstreams", "weather"]["config"] == {
        "use": "mcp",
        "url": "https://weather.example/mcp",
    }
    assert api.requests[-1][2]["Portico-Via"] == "catalog"
    again = manage("catalog", "add", "io.example/weather", "--registry", source)
    assert (again.exit_code, "conflict" in again.stdout) == (1, True)
    other = ("catalog", "add", "io.example/weather-news", "--name", "news", "--registry", source)
    assert "managed_commands must allow" in manage(*other).stdout
    assert api.records["upstreams", "news"]["config"]["command"] == ["npx", "-y", "@e/news@1.0.0"]


def test_a_server_that_cannot_be_added_is_a_plain_sentence(manage: Cli, api: SmallApi, source: str) -> None:
    nobody = manage("catalog", "add", "io.example/nobody", "--registry", source)
    assert (nobody.exit_code, "has no server 'io.example/nobody'" in nobody.stderr) == (2, True)
    bundle = manage("catalog", "add", "io.example/weather-edit", "--registry", source)
    assert (bundle.exit_code, "left out: nothing here can use it (mcpb)" in bundle.stderr) == (2, True)
    assert api.records == {}


def test_a_registry_that_is_none_is_a_plain_sentence(cli: Cli, api: SmallApi) -> None:
    assert (
        "no answer from http://127.0.0.1:1"
        in cli("catalog", "search", "--registry", "http://127.0.0.1:1").stderr
    )
    plain = cli("catalog", "search", "--registry", "http://registry.example")
    assert (plain.exit_code, "is not encrypted" in plain.stderr) == (2, True)
    Path("x.json").write_text("{}")
    assert "no server of an MCP Registry" in cli("catalog", "search", "--registry", "x.json").stderr
    assert Registry(api.url).get("io.example/weather", "latest") is None
