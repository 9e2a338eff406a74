"""`gateway db`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from tests.databases import PASSWORD
from tests.plugins.registries.kept import TABLES

Cli = Callable[..., Result]

SQL = '[registries.main]\nuse = "sql"\n'


def test_the_schema_is_shown_and_goes_up_and_down(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(SQL)
    shown = cli("db", "current")
    assert (shown.exit_code, shown.stdout) == (1, "registry 'main': no tables, 0003 is needed\n")
    made = json.loads(cli("db", "upgrade", "0002", "--json").stdout)
    assert made == {"registry": "main", "current": "0002", "needed": "0003"}
    assert json.loads(cli("db", "downgrade", "--yes", "--json").stdout)["current"] == "0001"
    assert cli("db", "downgrade", "--yes").stdout == "registry 'main': no tables, 0003 is needed\n"
    assert cli("db", "upgrade", "0001").stdout == "registry 'main': revision 0001, 0003 is needed\n"
    assert cli("db", "upgrade").stdout == "registry 'main': revision 0003, as needed\n"
    machines = cli("db", "current", "--json")
    assert machines.exit_code == 0
    assert json.loads(machines.stdout) == {"registry": "main", "current": "0003", "needed": "0003"}
    assert cli("db", "downgrade", "--yes").stdout == "registry 'main': revision 0002, 0003 is needed\n"
    assert cli("db", "downgrade", "base", "--yes").stdout == "registry 'main': no tables, 0003 is needed\n"
    assert json.loads(cli("db", "current", "--json").stdout)["current"] is None


def test_the_way_down_is_taken_only_by_who_means_it(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(SQL)
    cli("db", "upgrade")
    asked = cli("db", "downgrade", "base")  # nobody answers
    assert (asked.exit_code, "Take the schema down to base?" in asked.stderr) == (1, True)
    assert cli("db", "current").exit_code == 0


def test_what_cannot_be_is_said_in_one_line(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(SQL)
    cli("db", "upgrade")
    for words, said in (
        (["upgrade", "0009"], "gateway: there is no revision '0009'; did you mean '0003'?\n"),
        (["upgrade", "0001"], "gateway: revision 0001 is not above 0003\n"),
        (
            ["current", "--set", "registries.main.use=memory"],
            "gateway: the registry 'main' (use = \"memory\") has no schema\n",
        ),
    ):
        result = cli("db", *words)
        assert (result.exit_code, result.stderr) == (2, said)
    (tmp_path / "gateway.toml").write_text("[upstreams.a]\nuse = 'mcp'\nurl = 'http://127.0.0.1:9/mcp'\n")
    result = cli("db", "upgrade")
    assert result.exit_code == 2
    assert result.stderr == "gateway: the configuration has no registry ([registries.NAME])\n"


def test_a_database_that_is_away_is_named_without_its_password(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(SQL + 'url = "postgresql://me:geheim@127.0.0.1:1/d"\n')
    result = cli("db", "upgrade")
    assert result.exit_code == 1
    said = "gateway: the database cannot be reached; postgresql://me@127.0.0.1:1/d: ConnectionRefusedError"
    assert result.stderr.startswith(said)
    assert "geheim" not in result.output


def test_a_served_database_is_reached_with_a_password_of_the_environment(
    process: Callable[..., object], tmp_path: Path
) -> None:
    url = TABLES["postgresql"](tmp_path)["url"]
    bare = url.replace(url.partition("://")[2].partition("@")[0], "postgres")
    (tmp_path / "gateway.toml").write_text(SQL + f'url = "{bare}"\npassword = "${{env:DB_PASSWORD}}"\n')
    done = process("db", "current", "--json", DB_PASSWORD=PASSWORD)
    assert json.loads(done.stdout)["current"] == "0003"
