"""From the command line to settings: which documents and flags, and what is said about them."""

from __future__ import annotations

import functools
import os
import re
import shlex
from collections.abc import Callable, Collection, Iterable
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar
from urllib.parse import urlsplit

import attrs
import click

from portico._core.errors import ConfigError
from portico.cli.failures import DEBUG_VARIABLE, Misuse

if TYPE_CHECKING:
    from portico._core.contracts import Json
    from portico._core.discovery import Plugins
    from portico._core.settings import Settings
    from portico._core.sources import Document

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT: Final = Path("gateway.toml")
COMMAND_LINE: Final = "command line"

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

_RUNNERS: Final = frozenset({"npx", "bunx", "uvx", "pipx", "pnpx", "deno", "node", "python", "python3", "uv"})
_RUNNER_WORDS: Final = frozenset({"run", "dlx", "exec", "x", "tool"})
_ILLEGAL: Final = re.compile(r"[^A-Za-z0-9_-]+")


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


def source_options(function: Callable[P, R]) -> Callable[..., R]:
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
    def command(*args: P.args, **kwargs: P.kwargs) -> R:
        values: dict[str, Any] = kwargs
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
        return function(*args, **kwargs)

    return functools.reduce(lambda inner, option: option(inner), reversed(options), command)


def _text(name: str, value: str) -> Any:
    from portico._core.sources import parse_value

    return parse_value(value, f"--{name.replace('_', '-')}")


def installed(selection: str | None) -> Plugins:
    """Discover plugins, and mention on stderr those that did not load. They stop nothing by themselves."""
    from portico._core.discovery import discover, parse_selection

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
    from portico._core.settings import load
    from portico._core.sources import parse_override

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
    return load(found, plugins, os.environ, overrides)


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
    from portico._core.sources import Document, read

    files = [
        path for path in (sources.config or (DEFAULT if DEFAULT.exists() else None),) if path is not None
    ]
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


def from_specs(specs: Iterable[str], taken: Collection[str] = ()) -> dict[str, Json]:
    """Upstream tables of `--upstream` values, named after the host or the program.

    Args:
        specs: URLs, or command lines as a shell would split them.
        taken: Names that are in use.

    Raises:
        ConfigError: A value is neither.
    """
    upstreams: dict[str, Json] = {}
    problems: list[tuple[str, str]] = []
    for spec in specs:
        try:
            stem, table = _upstream(spec)
        except ValueError as error:
            problems.append(("--upstream", f"{error}, got {spec!r}"))
            continue
        name, number = stem, 2
        while name in upstreams or name in taken:
            name, number = f"{stem}-{number}", number + 1
        upstreams[name] = table
    if problems:
        raise ConfigError(problems, COMMAND_LINE)
    return upstreams


def _upstream(spec: str) -> tuple[str, Json]:
    if re.match(r"\s*[A-Za-z][A-Za-z0-9+.-]*://", spec):
        url = spec.strip()
        host = urlsplit(url).hostname or ""
        if not url.lower().startswith(("http://", "https://")) or not host:
            raise ValueError("expected http://host... or https://host...")
        return _name(host), {"use": "mcp", "url": _literal(url)}
    try:
        words = shlex.split(spec)
    except ValueError as error:
        raise ValueError(f"expected a URL or a command line ({str(error).lower()})") from None
    if not words:
        raise ValueError("expected a URL or a command line")
    return _name(_program(words)), {"use": "mcp", "command": [_literal(word) for word in words]}


def _literal(text: str) -> str:
    """A text that configuration does not expand: the shell has had its turn."""
    return text.replace("${", "$${")


def _program(words: list[str]) -> str:
    """What a command line runs: of `npx -y @scope/server`, `server`."""
    program = PurePath(words[0]).stem
    if program not in _RUNNERS:
        return program
    rest = [word for word in words[1:] if not word.startswith("-") and word not in _RUNNER_WORDS]
    if not rest:
        return program
    package = re.split(r"(?<=.)@|==", rest[0])[0]
    return (
        PurePath(package).stem if package.endswith((".py", ".js", ".ts", ".mjs")) else PurePath(package).name
    )


def _name(text: str) -> str:
    return _ILLEGAL.sub("-", text).strip("-_")[:44] or "upstream"
