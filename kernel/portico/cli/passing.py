"""Gateways that only pass on: what `wrapper` and `bridge` compose in memory, of the usual plugins."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit, urlunsplit

import click

from portico._core.errors import ConfigError
from portico.cli.connect import endpoint, split_header
from portico.cli.failures import DEBUG_VARIABLE, Misuse
from portico.cli.upstream_specs import COMMAND_LINE, from_specs, literal

if TYPE_CHECKING:
    from portico._config.orders import Orders
    from portico._config.settings import Settings
    from portico._core.contracts.json import Json

R = TypeVar("R")

_KEPT: Final = 30 * 86_400.0
"""Seconds an unused session with a remote server is kept: its client is there for as long as this process."""

_LEVELS: Final = {"warn": "warning", "critical": "error", "off": "error"}
_OTHERS: Final = re.compile(r"PORTICO_(?!GATEWAY__)[A-Z0-9]+__")
_SERVER: Final = re.compile(r"(.*/servers/[^/]+)(?:/|/sse/?)?")


def remote_options(function: Callable[..., R]) -> Callable[..., R]:
    """Add the options that say how to reach a remote server, as `auth` and `headers`."""
    options = [
        click.option(
            "--auth",
            envvar="MCP_AUTH",
            help="The Authorization header to send; a bare token is sent as a Bearer token. [env: MCP_AUTH]",
        ),
        click.option(
            "--header",
            "headers",
            multiple=True,
            metavar="'NAME: VALUE'",
            help="Add a header to every request. Repeatable.",
        ),
    ]
    return functools.reduce(lambda inner, option: option(inner), reversed(options), function)


def only_for_urls(option: str) -> None:
    """See that `--auth` was not given for a process; the variable may be there for other commands.

    Args:
        option: What names the URL that it is for.

    Raises:
        UsageError: It was.
    """
    given = click.get_current_context().get_parameter_source("auth")
    if given is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError(f"--auth goes with {option}")


def running_options(function: Callable[..., R]) -> Callable[..., R]:
    """Add the options of every gateway that passes on; the command gets them as one `flags`."""
    options = [
        click.option(
            "--timeout",
            type=click.FloatRange(0, min_open=True),
            envvar="MCP_TOOL_CALL_TIMEOUT",
            help="Seconds one call may take; 300 by default. [env: MCP_TOOL_CALL_TIMEOUT]",
        ),
        click.option(
            "--log-level",
            envvar="MCP_WRAPPER_LOG_LEVEL",
            metavar="debug|info|warning|error",
            default="warning",
            show_default=True,
            help="The least severe events to log, on stderr. [env: MCP_WRAPPER_LOG_LEVEL]",
        ),
        click.option("--log-format", metavar="auto|console|json", help="How to write the log."),
        click.option(
            "--set",
            "sets",
            multiple=True,
            metavar="PATH.TO.KEY=VALUE",
            help="Set anything a configuration file can say. Repeatable.",
        ),
    ]

    @functools.wraps(function)
    def command(*args: Any, **values: Any) -> R:
        flags = {name: values.pop(name) for name in ("timeout", "log_level", "log_format", "sets")}
        level = flags["log_level"].lower()
        flags["log_level"] = _LEVELS.get(level, level)
        click.get_current_context().find_root().meta[DEBUG_VARIABLE] = flags["log_level"]
        values["flags"] = flags
        return function(*args, **values)

    return functools.reduce(lambda inner, option: option(inner), reversed(options), command)


def server_url(url: str) -> str:
    """The MCP endpoint that a URL as configurations of other wrappers have it stands for.

    `/mcp` where there is no path; of a gateway's virtual server (`/servers/NAME`, also with `/sse`), its
    `/mcp`. Any other path is taken as it is.
    """
    parts = urlsplit(url)
    server = _SERVER.fullmatch(parts.path)
    if server is not None:
        return urlunsplit((parts.scheme, parts.netloc, f"{server[1]}/mcp", parts.query, ""))
    return endpoint(url) if parts.scheme and parts.netloc else url


def remote(url: str, auth: str | None, headers: Iterable[str], option: str) -> dict[str, Json]:
    """The upstream table of a remote server, under its name.

    Args:
        url: Its endpoint.
        auth: For `Authorization`: scheme and value, or a token.
        headers: `Name: value` texts.
        option: Where the URL is from, for messages.

    Raises:
        ConfigError: It is no URL of HTTP.
        Misuse: A header is none.
    """
    if "://" not in url:
        raise ConfigError(
            [(option, f"expected http://host... or https://host..., got {url!r}")], COMMAND_LINE
        )
    upstreams = from_specs((url,), option=option)
    sent = dict(map(split_header, headers))
    if auth:
        sent["Authorization"] = auth.strip() if " " in auth.strip() else f"Bearer {auth.strip()}"
    for table in upstreams.values():
        table["headers"] = {name: literal(value) for name, value in sent.items()}
        table["idle_timeout"] = _KEPT
    return upstreams


def passing(
    upstreams: Mapping[str, Json],
    transports: Mapping[str, Json],
    flags: Mapping[str, Any],
    more: Iterable[tuple[tuple[str, ...], Any]] = (),
    auth: Json | None = None,
) -> tuple[Orders, Settings]:
    """What to serve: each upstream as it is, under its own names; the first one is `default`, too.

    Variables of the environment that configure a whole gateway's other tables do not count: who exports them
    for a gateway does not mean this one.

    Args:
        upstreams: Tables, by name.
        transports: Their tables, by plugin name.
        flags: What `running_options` gave.
        more: Further `(path, value)` settings.
        auth: The table `auth`; without one, everybody on this machine may come in.

    Raises:
        ConfigError: With every problem there is.
    """
    from portico._config.orders import Orders
    from portico._config.present import absent
    from portico._config.settings import STREAMABLE_HTTP
    from portico._config.sources import Document, parse_override
    from portico.cli.compose import installed

    for name in [name for name in os.environ if _OTHERS.match(name)]:
        del os.environ[name]
    named = {name: {"upstreams": [name], "prefix": "never", "name": name} for name in upstreams}
    servers = {"default": next(iter(named.values())), **named}
    tables: Json = {
        "gateway": {"on_change": "accept"},
        "upstreams": dict(upstreams),
        "servers": servers,
        "transports": {STREAMABLE_HTTP: {"enabled": False}, **transports},
        **({"auth": auth} if auth else {}),
    }
    overrides = [*flagged(flags), *more, *map(parse_override, flags["sets"])]
    plugins = installed(None)
    orders = Orders((Document(tables, COMMAND_LINE),), tuple(overrides))
    return orders, orders.settings(plugins, look=absent)


def flagged(flags: Mapping[str, Any]) -> list[tuple[tuple[str, ...], Any]]:
    """What `running_options` gave, as `(path, value)` settings; `sets` are left out."""
    return [
        (("gateway", key), flags[flag])
        for key, flag in (
            ("call_timeout", "timeout"),
            ("log_level", "log_level"),
            ("log_format", "log_format"),
        )
        if flags[flag] is not None
    ]


def on_stdio(upstreams: Mapping[str, Json], flags: Mapping[str, Any]) -> None:
    """Serve an upstream on stdin and stdout, until stdin ends or SIGTERM."""
    from portico._host.serve import serve_io
    from portico.cli.running import run

    as_upstream = (("servers", "default", "as_upstream"), True)
    _, settings = passing(upstreams, {"stdio": {}}, flags, [as_upstream])
    run(serve_io, settings, lambda gateway, _: None)


def assignment(text: str, option: str) -> tuple[str, str]:
    """The two sides of `NAME=VALUE`.

    Raises:
        Misuse: There are no two.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise Misuse(f"expected {option} NAME=VALUE, got {text!r}")
    return name.strip(), value
