"""Records managed over the API: `upstreams`, `servers`, `prompts`, `resources`, `overrides`, `tools`."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from portico._core.contracts.json import Json
from portico._core.errors import ConfigError
from portico.cli.api import Api, running_url
from portico.cli.failures import Misuse
from portico.cli.records import changes, difference, summary
from tests.kernel.cli.conftest import Served
from tests.kernel.cli.small_api import TOKEN, SmallApi, merged

Cli = Callable[..., Result]
DOCS = {"use": "mcp", "url": "https://docs.example.com/mcp"}
NOUNS = ["upstreams", "servers", "prompts", "resources", "overrides"]


@pytest.mark.parametrize("noun", NOUNS)
def test_every_noun_can_be_added_listed_shown_changed_and_removed(
    manage: Cli, api: SmallApi, noun: str
) -> None:
    added = manage(
        noun, "add", "one", "--set", "url=https://a.example", "--tag", "x", "--description", "First."
    )
    assert added.exit_code == 0, added.output
    assert "created" in added.stdout
    assert api.records[noun, "one"]["config"] == {"url": "https://a.example"}
    assert api.records[noun, "one"]["about"]["tags"] == ["x"]
    listing = manage(noun, "list").stdout.splitlines()
    assert listing[0].split() == ["NAME", "STATE", "FROM", "VERSION", "TAGS", "WHAT"]
    assert listing[1].split() == ["one", "ready", "registry", "1", "x", "First."]
    assert 'url = "https://a.example"' in manage(noun, "show", "one").stdout
    assert (
        manage(
            noun, "edit", "one", "--set", "limits.most=3", "--unset", "url", "--set", "command=['x']"
        ).exit_code
        == 0
    )
    assert api.records[noun, "one"]["config"] == {"limits": {"most": 3}, "command": ["x"]}
    assert manage(noun, "disable", "one").stdout.endswith("disabled: disabled\n")
    assert api.records[noun, "one"]["about"]["enabled"] is False
    assert manage(noun, "enable", "one").exit_code == 0
    assert api.records[noun, "one"]["about"]["enabled"] is True
    assert manage(noun, "rm", "one").exit_code == 0
    assert api.records == {}


@pytest.mark.parametrize(
    ("config", "what"),
    [
        (
            {"use": "rest", "openapi": "https://a.test/o.json", "base_url": "https://b"},
            "https://a.test/o.json",
        ),
        ({"use": "rest", "base_url": "https://b.test", "tools": {"x": {"path": "/"}}}, "https://b.test"),
        ({"use": "grpc", "url": "grpc://c.example:1"}, "grpc://c.example:1"),
        ({"use": "tunnel", "secrets": ["***"]}, "use, secrets"),
    ],
)
def test_a_list_says_where_an_upstream_is(config: Json, what: str) -> None:
    assert summary({"config": config, "about": {}}) == what


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["--set", 'command=["x"]'], {"use": "mcp", "command": ["x"]}),
        (["--set", 'command=["x"]', "--use", "other"], {"use": "other", "command": ["x"]}),
        (["--url", "grpc://h:1"], {"use": "grpc", "url": "grpc://h:1"}),
        (["--url", "grpcs://h:1", "--use", "mine"], {"use": "mine", "url": "grpcs://h:1"}),
        (["--url", "https://h", "--use", "a2a"], {"use": "a2a", "url": "https://h"}),
    ],
)
def test_of_what_kind_an_upstream_is_need_not_be_said_where_it_shows(
    manage: Cli, api: SmallApi, given: list[str], kept: Json
) -> None:
    assert manage("upstreams", "add", "one", *given).exit_code == 0
    assert api.records["upstreams", "one"]["config"] == kept
    assert manage("servers", "add", "two", "--set", "command=['x']").exit_code == 0
    assert api.records["servers", "two"]["config"] == {"command": ["x"]}


def test_an_upstream_is_added_by_its_url_in_one_line(manage: Cli, api: SmallApi) -> None:
    assert manage("upstreams", "add", "docs", "--url", DOCS["url"]).stdout == "upstream docs created: ready\n"
    assert api.records["upstreams", "docs"]["config"] == DOCS
    assert api.requests[-1][2]["Portico-Via"] == "cli"


def test_a_table_may_come_from_a_file_or_stdin(manage: Cli, api: SmallApi, tmp_path: Path) -> None:
    (tmp_path / "table.toml").write_text('url = "https://a.example"\n[headers]\nX = "1"\n')
    assert manage("upstreams", "add", "a", "--file", "table.toml", "--set", "headers.Y=2").exit_code == 0
    assert api.records["upstreams", "a"]["config"]["headers"] == {"X": "1", "Y": 2}
    assert manage("upstreams", "add", "b", "--file", "-", stdin='{"url": "https://b.example"}').exit_code == 0
    assert api.records["upstreams", "b"]["config"] == {"url": "https://b.example"}
    assert manage("upstreams", "edit", "a", "--file", "-", stdin='url = "https://c.example"').exit_code == 0
    assert api.records["upstreams", "a"]["config"] == {"url": "https://c.example"}


def test_problems_are_plain_sentences_with_aligned_paths(manage: Cli, api: SmallApi) -> None:
    result = manage("upstreams", "add", "docs", "--set", "ulr=https://a.example")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[1:] == [
        "  upstreams.docs      expected url or command",
        "  upstreams.docs.ulr  unknown key",
    ]
    assert api.records == {}


def test_a_dry_run_changes_nothing(manage: Cli, api: SmallApi) -> None:
    api.put("upstreams", "docs", DOCS)
    before = dict(api.records)
    for args in (
        ("add", "new", "--url", "https://a.example"),
        ("edit", "docs", "--set", "url=https://b.example"),
        ("disable", "docs"),
        ("rm", "docs"),
    ):
        result = manage("upstreams", *args, "--dry-run")
        assert (result.exit_code, "would be" in result.stdout) == (0, True)
    assert api.records == before


def test_a_version_that_is_not_the_one_expected_stops_a_change(manage: Cli, api: SmallApi) -> None:
    api.put("upstreams", "docs", DOCS)
    api.put("upstreams", "docs", DOCS)
    stale = manage("upstreams", "edit", "docs", "--set", "url=https://b.example", "--if-version", "1")
    assert stale.exit_code == 2
    assert "'docs' has version 2" in stale.stderr
    assert manage("upstreams", "rm", "docs", "--if-version", "1").exit_code == 2
    assert manage("upstreams", "rm", "docs", "--if-version", "2").exit_code == 0


def test_lists_of_many_pages_are_whole(manage: Cli, api: SmallApi) -> None:
    for number in range(5):
        api.put("servers", f"s{number}", {"upstreams": ["*"]})
    items = json.loads(manage("servers", "list", "--json").stdout)["items"]
    assert [item["name"] for item in items] == ["s0", "s1", "s2", "s3", "s4"]


def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    script = tmp_path / "editor.py"
    script.write_text(
        f"import sys\npath = sys.argv[1]\ntext = open(path).read()\n{code}\nopen(path, 'w').write(text)\n"
    )
    monkeypatch.setenv("EDITOR", shlex.join([sys.executable, str(script)]))
    monkeypatch.delenv("VISUAL", raising=False)


def test_an_editor_changes_only_what_was_edited(
    manage: Cli, api: SmallApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put("upstreams", "docs", {**DOCS, "headers": {"Authorization": "**********"}})
    editor(
        tmp_path,
        monkeypatch,
        "text = text.replace('docs.example', 'new.example').replace('tags = []', 'tags = [\"a\"]')",
    )
    assert manage("upstreams", "edit", "docs").exit_code == 0
    method, _, headers, body = api.requests[-1]
    assert (method, headers["If-Match"]) == ("PATCH", '"1"')
    assert body == {"about": {"tags": ["a"]}, "config": {"url": "https://new.example.com/mcp"}}


@pytest.mark.parametrize(
    ("code", "exit_code", "said"),
    [
        ("text += ''", 0, "nothing was changed"),
        ("text += '\\n[more]\\n'", 2, "only the tables [about] and [config]"),
        ("text = 'not toml'", 2, "What you wrote:\nnot toml"),
    ],
)
def test_an_edit_that_makes_no_sense_is_given_back(
    manage: Cli,
    api: SmallApi,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    exit_code: int,
    said: str,
) -> None:
    api.put("upstreams", "docs", DOCS)
    editor(tmp_path, monkeypatch, code)
    result = manage("upstreams", "edit", "docs")
    assert (result.exit_code, said in result.stderr) == (exit_code, True)
    assert api.requests[-1][0] == "GET"


def test_a_candidate_is_tried_without_being_kept(manage: Cli, api: SmallApi) -> None:
    result = manage("upstreams", "test", "--url", "https://a.example")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:2] == ["docs 1: ready", "1 tool, 0 resources, 0 templates, 0 prompts"]
    assert "search  q?         Searches." in result.stdout
    away = manage("upstreams", "test", "--url", "https://away.example")
    assert (away.exit_code, away.stdout) == (1, "the candidate: unavailable (nobody there)\n")
    assert api.records == {}


def test_upstreams_are_refreshed_and_those_that_fail_are_named(manage: Cli, api: SmallApi) -> None:
    api.put("upstreams", "docs", DOCS)
    assert "upstream docs refreshed: ready" in manage("upstreams", "refresh", "--all").stdout
    result = manage("upstreams", "refresh", "nope", "docs")
    assert (result.exit_code, "There is no 'nope'" in result.stderr) == (1, True)
    assert "docs refreshed" in result.stdout
    assert manage("upstreams", "refresh").exit_code == 2
    api.put("upstreams", "idle", DOCS, enabled=False)
    assert "upstream idle not refreshed: disabled" in manage("upstreams", "refresh", "idle").stdout


def test_only_people_on_a_terminal_see_how_far_it_is(api: SmallApi, tmp_path: Path) -> None:
    for number in range(3):
        api.put("upstreams", f"docs{number}", DOCS)

    def refresh(*args: str) -> tuple[str, bytes]:
        """Its stdout, and what it writes to a terminal that is its stderr."""
        terminal, stderr = os.openpty()
        command = [
            sys.executable,
            "-m",
            "portico",
            "upstreams",
            "refresh",
            "--all",
            "--gateway",
            api.url,
            *args,
        ]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=stderr, text=True, check=True, cwd=tmp_path, timeout=60
        )
        os.close(stderr)
        said = b""
        with contextlib.suppress(OSError), os.fdopen(terminal, "rb", 0) as reader:  # EIO is its end
            while chunk := reader.read(4096):
                said += chunk
        return done.stdout, said

    stdout, shown = refresh()
    assert (stdout.count("refreshed: ready"), b"Refreshing" in shown, b"100%" in shown) == (3, True, True)
    stdout, shown = refresh("--json")
    assert (len(json.loads(stdout)["items"]), shown) == (3, b"")


def test_nothing_but_a_terminal_gets_a_progress_bar(manage: Cli, api: SmallApi) -> None:
    for number in range(3):
        api.put("upstreams", f"docs{number}", DOCS)
    assert manage("upstreams", "refresh", "--all").stderr == ""


def test_tools_are_changed_by_overrides(manage: Cli, api: SmallApi) -> None:
    assert "has no override" in manage("tools", "show", "docs/search").stdout
    edit = ("tools", "edit", "docs/search", "--name", "find", "--default", "limit=10", "--hide", "limit")
    assert manage(*edit).exit_code == 0
    assert api.records["overrides", "docs/tools/search"]["config"] == {
        "name": "find",
        "defaults": {"limit": 10},
        "hidden": ["limit"],
    }
    assert any("%2Ftools%2F" in path for _, path, *_ in api.requests)
    assert manage("tools", "edit", "docs/search", "--unset", "name").exit_code == 0
    assert manage("tools", "disable", "docs/search", "docs/other").exit_code == 0
    assert api.records["overrides", "docs/tools/other"]["config"] == {"enabled": False}
    assert api.records["overrides", "docs/tools/search"]["config"]["enabled"] is False
    assert "name" not in api.records["overrides", "docs/tools/search"]["config"]
    assert "enabled = false" in manage("tools", "show", "docs/search").stdout
    assert "expected UPSTREAM/TOOL" in manage("tools", "show", "search").stderr
    told = manage("tools", "rm", "docs/search", "docs/other").stdout.splitlines()
    assert told == [f"tool docs/{each} is shown as its upstream sends it" for each in ("search", "other")]
    assert api.records == {}


def test_secrets_are_rotated_by_a_worker_that_stays(manage: Cli, api: SmallApi) -> None:
    api.replaced = True
    assert manage("secrets", "rotate").stdout == "1 record has secrets under the current key now\n"
    assert [path for _, path, *_ in api.requests] == ["/api/v1/secrets/rotate"] * 2


def test_a_tool_that_its_upstream_does_not_have_is_pointed_out(manage: Cli, api: SmallApi) -> None:
    result = manage("tools", "edit", "docs/serach", "--name", "find")
    assert (result.exit_code, result.stderr) == (
        0,
        "note: docs has no tool 'serach'; did you mean 'search'?\n",
    )
    assert manage("tools", "edit", "docs/search", "--name", "find").stderr == ""
    assert manage("tools", "edit", "away/serach", "--name", "find").stderr == ""


def test_what_is_changed_about_a_tool_is_added_once_and_taken_away_again(manage: Cli, api: SmallApi) -> None:
    assert manage("tools", "add", "docs/search", "--title", "Find").stdout == "tool docs/search changed\n"
    again = manage("tools", "add", "docs/search", "--title", "Seek")
    assert (again.exit_code, "gateway tools edit" in again.stderr) == (2, True)
    assert api.records["overrides", "docs/tools/search"]["config"] == {"title": "Find"}
    would = manage("tools", "rm", "docs/search", "--dry-run").stdout
    assert would == "tool docs/search would be shown as its upstream sends it\n"
    assert manage("tools", "rm", "docs/search").exit_code == 0
    assert ("overrides", "docs/tools/search") not in api.records
    assert manage("tools", "rm", "docs/search").exit_code == 1


def test_secrets_are_set_from_stdin_or_the_environment_and_never_shown(
    manage: Cli, api: SmallApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert manage("secrets", "set", "key", stdin="hush hush\n").stdout == "secret key set\n"
    assert api.records["secrets", "key"]["config"] == {"value": "hush hush"}
    monkeypatch.setenv("DOCS_KEY", "from there")
    assert manage("secrets", "set", "key", "--from-env", "DOCS_KEY", "--if-version", "1").exit_code == 0
    assert api.records["secrets", "key"]["config"] == {"value": "from there"}
    assert "from there" not in manage("secrets", "list").stdout
    assert manage("secrets", "set", "key", stdin="").exit_code == 2
    assert manage("secrets", "rm", "key").exit_code == 0
    assert api.records == {}


def test_listing_what_clients_see_is_what_it_was(cli: Cli, small: Served) -> None:
    bare, named = cli("tools", "--url", small.url), cli("tools", "list", "--url", small.url)
    assert bare.exit_code == 0
    assert bare.stdout == named.stdout
    lost = cli("tools", "--url", small.url, "list")
    assert (lost.exit_code, "options stand after the command 'list'" in lost.stderr) == (2, True)


def test_a_token_is_sent_and_its_absence_explained(manage: Cli, api: SmallApi) -> None:
    api.token = TOKEN
    refused = manage("upstreams", "list")
    assert (refused.exit_code, "--token or PORTICO_TOKEN" in refused.stderr) == (1, True)
    assert manage("upstreams", "list", "--token", TOKEN).stdout == "no upstreams\n"


def test_a_gateway_that_is_not_there_or_has_no_api_is_a_plain_sentence(cli: Cli, small: Served) -> None:
    nobody = cli("upstreams", "list", "--gateway", "http://127.0.0.1:1")
    assert nobody.exit_code == 1
    assert (
        "no answer from http://127.0.0.1:1: Connection refused. Is `gateway serve` running there?"
        in nobody.stderr
    )
    without = cli("upstreams", "list", "--url", small.url)
    assert (without.exit_code, "has no management API" in without.stderr) == (1, True)


@pytest.mark.parametrize(
    "url", ["http://h:1", "http://h:1/", "http://h:1/mcp", "http://h:1/servers/a/mcp", "http://h:1/api/v1"]
)
def test_any_url_of_a_gateway_will_do(url: str) -> None:
    assert Api(url, None, 1).url == "http://h:1"


@pytest.mark.parametrize("url", ["h:1", "ftp://h", "http://", "http://h:x"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(Misuse, match="expected a URL"):
        Api(url, None, 1)


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        (["127.0.0.1:5000"], "http://127.0.0.1:5000"),
        (["0.0.0.0:5000"], "http://127.0.0.1:5000"),
        (["unix:/run/x", "[::]:7"], "http://[::1]:7"),
        ([], "http://127.0.0.1:4444"),
    ],
)
def test_the_gateway_that_runs_here_is_the_default(
    monkeypatch: pytest.MonkeyPatch, listen: list[str], url: str
) -> None:
    monkeypatch.setattr("portico.cli.control.ask", lambda *_: {"listen": listen})
    assert running_url() == url


def test_settings_are_toml_where_they_are_that() -> None:
    assert changes(["a.b=1", "a.c=x y", 'd=["e"]', "f=true", "g=2026-01-01", "h=1.5"], ["i.j"]) == {
        "a": {"b": 1, "c": "x y"},
        "d": ["e"],
        "f": True,
        "g": "2026-01-01",
        "h": 1.5,
        "i": {"j": None},
    }
    with pytest.raises(ConfigError):
        changes(["nothing"])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {}),
        ({"a": 1}, {}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}, "d": []}),
        ({"a": 1}, {"a": True}),
        ({"a": []}, {"a": {}}),
    ],
)
def test_a_difference_makes_the_one_of_the_other(before: object, after: object) -> None:
    patch = difference(before, after)
    assert merged(before, patch) == after
    assert (patch == {}) == (before == after and str(before) == str(after))
