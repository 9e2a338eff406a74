"""The command group: fast, lazy, and helpful about what it does not know."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import click
import pytest
from click.testing import Result

from portico import __version__
from portico._config import discovery
from portico._config.discovery import Plugin, Plugins
from portico._core.contracts.ui import Command
from portico.cli.group import BUILT_IN, gateway

Cli = Callable[..., Result]
HEAVY = ("aiohttp", "cattrs", "hypercorn", "mcp", "pydantic", "sqlmodel", "structlog", "uvloop")


def measured(*args: str) -> tuple[float, set[str]]:
    """Processor seconds of a command in a new interpreter, start included, and the modules it loaded."""
    code = (
        "import json, sys, time\n"
        f"sys.argv = ['gateway', *{list(args)!r}]\n"
        "from portico.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print(json.dumps([time.process_time(), sorted(sys.modules)]), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, modules = json.loads(done.stderr.splitlines()[-1])
    return seconds, set(modules)


@pytest.mark.parametrize("args", [("--help",), ("plugins", "list"), ("version",), ("serve", "--help")])
def test_a_command_that_starts_nothing_answers_quickly_and_loads_nothing_heavy(args: tuple[str, ...]) -> None:
    # Processor time, the best of three: the machine may be busy with other tests.
    runs = [measured(*args) for _ in range(3)]
    assert min(seconds for seconds, _ in runs) < 0.3
    assert runs[0][1].isdisjoint(HEAVY)


def test_the_version_is_printed_both_ways(cli: Cli) -> None:
    assert cli("version").stdout == cli("--version").stdout == f"gateway {__version__}\n"


def test_help_lists_every_built_in_command(cli: Cli) -> None:
    text = cli("--help").stdout
    assert [name for name in BUILT_IN if f"\n  {name} " not in text] == []


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_command_has_help_of_its_own(cli: Cli, name: str) -> None:
    result = cli(name, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: gateway {name}")


def test_an_unknown_command_is_a_usage_error_that_names_the_nearest(cli: Cli) -> None:
    result = cli("serv")
    assert result.exit_code == 2
    assert "There is no command 'serv'; did you mean 'serve'?" in result.stderr


@pytest.fixture
def with_plugin(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A plugin with the commands `wave` and (not allowed) `serve`; gives the list of commands built."""
    built: list[str] = []

    def build(name: str) -> Callable[[], click.Command]:
        def make() -> click.Command:
            built.append(name)
            return click.Command(name, callback=lambda: click.echo(f"{name}!"))

        return make

    commands = tuple(Command(name, f"Does {name}.", build(name)) for name in ("wave", "serve"))
    found = Plugins((Plugin("greeter", commands=commands),))
    monkeypatch.setattr(discovery, "discover", lambda choice=None: found)
    return built


def test_a_plugin_adds_a_command_that_is_built_when_invoked(cli: Cli, with_plugin: list[str]) -> None:
    assert "Does wave." in cli("--help").stdout
    assert with_plugin == []
    assert cli("wave").stdout == "wave!\n"
    assert with_plugin == ["wave"]


def test_a_plugin_cannot_take_the_name_of_a_built_in_command(cli: Cli, with_plugin: list[str]) -> None:
    assert "Does serve." not in cli("--help").stdout
    assert cli("serve", "--help").stdout.startswith("Usage: gateway serve")
    assert with_plugin == []


@pytest.fixture
def broken_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command `boom` that fails in a way nobody meant."""

    def boom() -> None:
        raise ZeroDivisionError("no\nluck")

    command = Command("boom", "Breaks.", lambda: click.Command("boom", callback=boom))
    monkeypatch.setattr(
        discovery, "discover", lambda choice=None: Plugins((Plugin("x", commands=(command,)),))
    )


@pytest.mark.usefixtures("broken_command")
def test_an_unexpected_exception_is_one_line_and_a_hint(cli: Cli) -> None:
    result = cli("boom")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("gateway: ZeroDivisionError: no luck; --log-level debug")


@pytest.mark.usefixtures("broken_command")
def test_the_traceback_is_there_for_the_asking(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTICO_GATEWAY__LOG_LEVEL", "debug")
    result = cli("boom")
    assert result.exit_code == 1
    assert "Traceback (most recent call last)" in result.stderr


def test_python_m_portico_is_gateway() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "portico", "version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"gateway {__version__}\n"
    assert gateway.name == "gateway"
