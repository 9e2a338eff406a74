"""`gateway tunnel`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import attrs
import click

from portico._core.errors import ConfigError, PorticoError
from portico.cli.failures import Failure, Misuse
from portico.cli.passing import (
    assignment,
    only_for_urls,
    passing,
    remote,
    remote_options,
    running_options,
    server_url,
)
from portico.cli.upstream_specs import COMMAND_LINE, from_specs, literal

if TYPE_CHECKING:
    from portico._config.settings import Settings
    from portico._core.contracts.json import Json

_PLUGIN = "tunnel_client"


@click.command(
    "tunnel",
    epilog="Connects again when the connection is lost; SIGTERM or Ctrl-C ends it. Exit codes: 0 told to "
    "end, 1 the gateway does not want it (or, with --once, the connection was lost), 2 the command line or "
    "configuration is wrong.",
)
@click.option(
    "--connect",
    metavar="URL",
    required=True,
    multiple=True,
    help="Where to dial in: wss://GATEWAY/tunnel/NAME, NAME being an upstream of kind `tunnel`. Repeatable, "
    "for the replicas of a gateway.",
)
@click.option("--secret-env", metavar="VARIABLE", help="The environment variable that has the secret.")
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file that has it; read anew for each connection.",
)
@click.option("--stdio", metavar="'COMMAND LINE'", help="The stdio server to offer.")
@click.option("--url", metavar="URL", help="The server to offer, by its URL.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Offer a virtual server of this configuration instead.",
)
@click.option("--server", metavar="NAME", help="With --config: which one.  [default: default]")
@remote_options
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="Variable of every process. Repeatable.")
@click.option("--pass-env", multiple=True, metavar="NAME", help="Likewise, from this environment.")
@click.option("--once", is_flag=True, help="End when the connection ends; of several, the first.")
@click.option("--insecure", is_flag=True, help="Allow ws:// to another machine.")
@click.option(
    "--ca-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Trust these certificate authorities (PEM) instead of the system's.",
)
@click.option("--json", "as_json", is_flag=True, help="Write what happens as JSON lines.")
@running_options
def command(
    connect: tuple[str, ...],
    stdio: str | None,
    url: str | None,
    config: Path | None,
    server: str | None,
    flags: dict[str, Any],
    **options: Any,
) -> None:
    """Offer an MCP server to a gateway that cannot reach it, by dialling out to it.

    gateway tunnel --connect wss://gateway/tunnel/lab --secret-env LAB_SECRET --stdio "uvx mcp-server-git"
    """
    if sum(each is not None for each in (stdio, url, config)) != 1:
        raise click.UsageError("expected one of --stdio 'COMMAND LINE', --url URL and --config FILE")
    if (options["secret_env"] is None) == (options["secret_file"] is None):
        raise click.UsageError("expected one of --secret-env VARIABLE and --secret-file FILE")
    if server is not None and config is None:
        raise click.UsageError("--server goes with --config")
    for option, needed, given in (("--header", url, "headers"), ("--env", stdio, "env"),
                                  ("--pass-env", stdio, "pass_env")):  # fmt: skip
        if options[given] and needed is None:
            raise click.UsageError(f"{option} goes with {'--url' if given == 'headers' else '--stdio'}")
    if url is None:
        only_for_urls("--url")
    if options["as_json"]:
        flags["log_format"] = "json"
    if click.get_current_context().get_parameter_source("log_level") is click.core.ParameterSource.DEFAULT:
        flags["log_level"] = "info"
    tables = {
        _PLUGIN if number == 1 else f"{_PLUGIN}-{number}": _table(each, server or "default", options)
        for number, each in enumerate(connect, 1)
    }
    urls = [table["url"] for table in tables.values()]
    if len(set(urls)) < len(urls):
        raise Misuse("--connect names a gateway twice")
    if config is not None:
        settings = _configured(config, server or "default", tables, flags)
    else:
        upstreams = _process(stdio, options) if stdio is not None else _remote(url or "", options)
        _, settings = passing(upstreams, tables, flags)
    _run(settings)


def _table(connect: str, server: str, options: Mapping[str, Any]) -> Json:
    """The table of one transport: one gateway to dial in to."""
    parts = urlsplit(connect)
    scheme = {"https": "wss", "http": "ws"}.get(parts.scheme.lower(), parts.scheme.lower())
    table: Json = {
        "use": _PLUGIN,
        "url": literal(urlunsplit((scheme, *parts[1:]))),
        "server": server,
        "once": options["once"],
        "insecure": options["insecure"],
    }
    if options["secret_env"] is not None:
        table["secret"] = f"${{env:{options['secret_env']}}}"
    else:
        table["secret_file"] = str(options["secret_file"].absolute())
    if options["ca_file"] is not None:
        table["ca_file"] = str(options["ca_file"].absolute())
    return table


def _process(line: str, options: Mapping[str, Any]) -> dict[str, Json]:
    upstreams = from_specs((line,), option="--stdio")
    env = dict(assignment(text, "--env") for text in options["env"])
    for table in upstreams.values():
        if "url" in table:
            raise ConfigError([("--stdio", "expected a command line; a URL goes to --url")], COMMAND_LINE)
        table["env"] = {name: literal(value) for name, value in env.items()} | {
            name: f"${{env:{name}}}" for name in options["pass_env"]
        }
    return upstreams


def _remote(url: str, options: Mapping[str, Any]) -> dict[str, Json]:
    return remote(server_url(url), options["auth"], options["headers"], "--url")


def _configured(config: Path, server: str, tables: Mapping[str, Json], flags: Mapping[str, Any]) -> Settings:
    """The settings of a file, with the tunnels as the only transports.

    Raises:
        Misuse: There is no such virtual server.
    """
    from portico._config.sources import Document
    from portico._config.wording import nearest
    from portico.cli.compose import Sources, gather, installed
    from portico.cli.passing import flagged

    plugins = installed(None)
    sources = Sources(config=config, overrides=tuple(flagged(flags)), sets=flags["sets"])
    orders = gather(sources, plugins)
    # As a document: what flags set is taken as it is, and the secret is only named here.
    own = Document({"transports": dict(tables)}, COMMAND_LINE)
    settings = attrs.evolve(orders, documents=(*orders.documents, own)).settings(plugins)
    if server not in settings.servers:
        raise Misuse(
            f"there is no virtual server {server!r}{nearest(server, settings.servers, 'configured')}"
        )
    kept = {
        key: each for key, each in settings.components.items() if key[0] != "transports" or key[1] in tables
    }
    return attrs.evolve(settings, components=kept)


def _run(settings: Settings) -> None:
    from portico._host.serve import serve_io
    from portico.cli.running import run

    try:
        run(serve_io, settings, lambda gateway, _: None)
    except ConfigError:
        raise
    except PorticoError as error:
        raise Failure(str(error)) from error
