"""From the command line to settings: which documents and flags, and what is said about them."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs
import click

from portico._core.errors import ConfigError
from portico.cli.failures import DEBUG_VARIABLE, Misuse
from portico.cli.upstream_specs import COMMAND_LINE, from_specs

if TYPE_CHECKING:
    from portico._config.discovery import Plugins
    from portico._config.orders import Orders
    from portico._config.settings import Settings
    from portico._config.sources import Document
    from portico._core.contracts.json import Json

R = TypeVar("R")

DEFAULT: Final = Path("gateway.toml")

PRECEDENCE: Final = (
    "A flag wins over the environment, that over the file, that over the default. Every setting has a flag "
    "(--set gateway.drain_timeout=5) and a variable (PORTICO_GATEWAY__DRAIN_TIMEOUT=5)."
)

_NOTHING: Final = f"""nothing to serve: there is no ./{DEFAULT}, and nothing else says what. Try one of:
  gateway serve --config FILE
  gateway serve --upstream "mcp-server-time --local-timezone=UTC"
  gateway serve --upstream https://host/mcp
  gateway serve --mcp-json claude_desktop_config.json
  gateway init      (writes a commented {DEFAULT})"""


@attrs.frozen
class Sources:
    """Where the configuration comes from, as the command line says.

    Attributes:
        config: The file; None for `./gateway.toml` where there is one.
        upstreams: URLs and command lines.
        mcp_json: `mcpServers` files.
        overrides: `(path, value)` of the short flags.
        sets: `path.to.key=value` texts; they win over the short flags.
        plugins: The value of `--plugins`; None and "" mean all.
    """

    config: Path | None = None
    upstreams: tuple[str, ...] = ()
    mcp_json: tuple[Path, ...] = ()
    overrides: tuple[tuple[tuple[str, ...], Any], ...] = ()
    sets: tuple[str, ...] = ()
    plugins: str | None = None


def source_options(function: Callable[..., R]) -> Callable[..., R]:
    """Add the options that say what to serve; the command gets them as one `sources`."""
    options = [
        click.option(
            "--config",
            type=click.Path(path_type=Path),
            envvar="PORTICO_CONFIG",
            help=f"Configuration file. By default ./{DEFAULT} where there is one. [env: PORTICO_CONFIG]",
        ),
        click.option(
            "--upstream",
            "upstreams",
            multiple=True,
            metavar="SPEC",
            help="Another MCP server: its URL, or the command line of a stdio server. Repeatable.",
        ),
        click.option(
            "--mcp-json",
            multiple=True,
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Servers as Claude Desktop, Cursor and VS Code configure them (`mcpServers`). Repeatable.",
        ),
        click.option(
            "--listen",
            multiple=True,
            metavar="HOST:PORT",
            help="Listen here in place of the configured addresses; port 0 takes a free one. Repeatable.",
        ),
        click.option("--workers", metavar="N", help="Worker processes."),
        click.option("--log-format", metavar="auto|console|json", help="How to write the log."),
        click.option(
            "--log-level", metavar="debug|info|warning|error", help="The least severe events to log."
        ),
        click.option(
            "--set",
            "sets",
            multiple=True,
            metavar="PATH.TO.KEY=VALUE",
            help="Set anything a file can say. Repeatable; wins over the other flags.",
        ),
        click.option(
            "--plugins",
            is_flag=False,
            flag_value="",
            metavar="[=a,b|no:x]",
            help="Which plugins to load: all (default), only a and b, or all but x.",
        ),
    ]

    @functools.wraps(function)
    def command(*args: Any, **values: Any) -> R:
        flags = {name: values.pop(name) for name in ("listen", "workers", "log_format", "log_level")}
        taken = {name: values.pop(name) for name in ("config", "upstreams", "mcp_json", "sets", "plugins")}
        overrides = tuple(
            (("gateway", name), list(value) if isinstance(value, tuple) else _text(name, value))
            for name, value in flags.items()
            if value not in (None, ())
        )
        if flags["log_level"]:
            click.get_current_context().find_root().meta[DEBUG_VARIABLE] = flags["log_level"]
        values["sources"] = Sources(overrides=overrides, **taken)
        return function(*args, **values)

    return functools.reduce(lambda inner, option: option(inner), reversed(options), command)


def _text(name: str, value: str) -> Any:
    from portico._config.sources import parse_value

    return parse_value(value, f"--{name.replace('_', '-')}")


def installed(selection: str | None) -> Plugins:
    """Discover plugins, and mention on stderr those that did not load. They stop nothing by themselves."""
    from portico._config.discovery import discover, parse_selection

    plugins = discover(parse_selection(selection or ""))
    for plugin in plugins.records:
        if plugin.state in ("failed", "refused"):
            click.echo(f"gateway: plugin {plugin.label} {plugin.state}: {plugin.reason}", err=True)
    return plugins


def compose(sources: Sources, plugins: Plugins) -> Settings:
    """Read everything the command line names into settings.

    Raises:
        ConfigError: With every problem there is, or because nothing was named at all.
    """
    return gather(sources, plugins).settings(plugins)


def gather(sources: Sources, plugins: Plugins) -> Orders:
    """Read everything the command line names, and make nothing of it yet.

    Raises:
        ConfigError: A file cannot be read or a flag is none, or nothing was named at all.
    """
    from portico._config.orders import Orders
    from portico._config.sources import parse_override

    wrong: list[ConfigError] = []
    overrides = list(sources.overrides)
    for text in sources.sets:
        try:
            overrides.append(parse_override(text))
        except ConfigError as error:
            wrong.append(error)
    found = documents(sources, plugins, wrong)
    if wrong:
        raise _together(wrong)
    declared = any(path[0] == "upstreams" for path, _ in overrides) or any(
        name.startswith("PORTICO_UPSTREAMS__") for name in os.environ
    )
    if not found and not declared:
        raise Misuse(_NOTHING)
    return Orders(tuple(found), tuple(overrides), sources.plugins or "")


def config_file(sources: Sources) -> Path | None:
    """The configuration file the command line means, if any."""
    return sources.config or (DEFAULT if DEFAULT.exists() else None)


def _together(errors: list[ConfigError]) -> ConfigError:
    if len(errors) == 1:
        return errors[0]
    problems = [
        (f"{error.source}: {path}" if path else error.source, text)
        for error in errors
        for path, text in error.problems
    ]
    return ConfigError(problems)


def documents(sources: Sources, plugins: Plugins, wrong: list[ConfigError]) -> list[Document]:
    """The documents the command line names, the file first. What of them was left out goes to stderr.

    Args:
        sources: What it names.
        plugins: For the formats.
        wrong: Takes in what cannot be read or means nothing.
    """
    from portico._config.sources import Document, read

    config = config_file(sources)
    files = [config] if config is not None else []
    found: list[Document] = []
    for file in (*files, *sources.mcp_json):
        try:
            document = read(file, plugins)
            if file in sources.mcp_json and not isinstance(document.tables.get("upstreams"), dict):
                raise ConfigError([("", "has no MCP servers: expected a table `mcpServers`")], str(file))
            found.append(document)
        except ConfigError as error:
            wrong.append(error)
    for document in found:
        for place, note in document.notes:
            click.echo(f"gateway: {document.source}: {place}: {note}", err=True)
    if sources.upstreams:
        taken = [name for document in found for name in _names(document.tables)]
        try:
            found.append(Document({"upstreams": from_specs(sources.upstreams, taken)}, COMMAND_LINE))
        except ConfigError as error:
            wrong.append(error)
    return found


def _names(tables: Json) -> Iterable[str]:
    upstreams = tables.get("upstreams")
    return upstreams if isinstance(upstreams, dict) else ()
