"""`gateway bridge`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from portico._core.errors import ConfigError
from portico.cli.failures import Failure, Misuse
from portico.cli.passing import (
    assignment,
    on_stdio,
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

_EPILOG: Final = (
    "A process is given PATH, HOME and the like, --env and --pass-env. Each caller has a process of its own; "
    "with --header-to-env, each set of header values has one."
)


@click.command("bridge", epilog=_EPILOG)
@click.option(
    "--stdio",
    is_flag=False,
    flag_value="",
    metavar="[COMMAND LINE]",
    help="The stdio server to serve. Alone, with --connect: be one.",
)
@click.option(
    "--named-server",
    "named",
    multiple=True,
    nargs=2,
    metavar="NAME 'COMMAND LINE'",
    help="One more stdio server, under /servers/NAME. Repeatable.",
)
@click.option("--connect", metavar="URL", help="The remote server to serve instead.")
@remote_options
@click.option(
    "--expose",
    metavar="TRANSPORT[,...]",
    help="What to serve as: streamable-http (default), and other installed transports.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=9000, show_default=True, help="0: a free one.")
@click.option(
    "--token",
    envvar="PORTICO_BRIDGE_TOKEN",
    help="Bearer token callers must show; needed for any --host but loopback. [env: PORTICO_BRIDGE_TOKEN]",
)
@click.option("--cors", multiple=True, metavar="ORIGIN", help="Web pages that may call. Repeatable.")
@click.option(
    "--header-to-env",
    "mapping",
    multiple=True,
    metavar="HEADER=VARIABLE",
    help="Give the process a request's header as this variable. Repeatable.",
)
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="Variable of every process. Repeatable.")
@click.option("--pass-env", multiple=True, metavar="NAME", help="Likewise, from this environment.")
@click.option("--quiet", is_flag=True, help="Do not print where to connect.")
@running_options
def command(
    stdio: str | None,
    named: tuple[tuple[str, str], ...],
    connect: str | None,
    auth: str | None,
    headers: tuple[str, ...],
    expose: str | None,
    flags: dict[str, Any],
    **options: Any,
) -> None:
    """Serve a stdio MCP server on the network, or a remote one on stdin and stdout.

    gateway bridge --stdio "uvx mcp-server-git" --port 9000

    gateway bridge --connect https://host/mcp --stdio
    """
    if connect is not None and (stdio or named):
        raise click.UsageError("--connect goes with --stdio alone, or with --expose")
    if connect is not None:
        wrong = [name for name in ("mapping", "env", "pass_env") if options[name]]
        if wrong:
            raise click.UsageError("--header-to-env, --env and --pass-env are for --stdio 'COMMAND LINE'")
        upstreams = remote(server_url(connect), auth, headers, "--connect")
        if stdio is not None:
            if expose is not None:
                raise click.UsageError("--expose goes with --connect, or with --stdio 'COMMAND LINE'")
            on_stdio(upstreams, flags)
            return
    else:
        if not stdio and not named:
            raise click.UsageError("expected --stdio 'COMMAND LINE' or --connect URL")
        if headers:
            raise click.UsageError("--header goes with --connect")
        only_for_urls("--connect")
        upstreams = _processes(stdio, named, options)
    _serve(upstreams, expose or "streamable-http", flags, options)


def _processes(
    stdio: str | None, named: Iterable[tuple[str, str]], options: Mapping[str, Any]
) -> dict[str, Json]:
    """The upstream tables of stdio servers, by name.

    Raises:
        ConfigError: One is no command line.
    """
    upstreams = from_specs((stdio,), option="--stdio") if stdio else {}
    for name, line in named:
        if name in upstreams:
            raise Misuse(f"two servers are called {name!r}")
        (upstreams[name],) = from_specs((line,), option="--named-server").values()
    env = dict(assignment(text, "--env") for text in options["env"])
    mapping = dict(assignment(text, "--header-to-env") for text in options["mapping"])
    for table in upstreams.values():
        if "url" in table:
            raise ConfigError([("--stdio", "expected a command line; a URL goes to --connect")], COMMAND_LINE)
        table["env"] = {name: literal(value) for name, value in env.items()} | {
            name: f"${{env:{name}}}" for name in options["pass_env"]
        }
        table["env_from_headers"] = mapping
    return upstreams


def _serve(upstreams: Mapping[str, Json], expose: str, flags: Mapping[str, Any], options: Any) -> None:
    from portico._host.ending import settle
    from portico._host.workers.base import WorkerFailed
    from portico._host.workers.supervisor import Origin, supervise
    from portico.cli.running import run

    transports = _transports(expose)
    host = f"[{options['host']}]" if ":" in options["host"] else options["host"]
    more: list[tuple[tuple[str, ...], Any]] = [(("gateway", "listen"), [f"{host}:{options['port']}"])]
    if options["cors"]:
        more.append((("gateway", "allowed_origins"), list(options["cors"])))
    token = options["token"]
    auth = {"bridge": {"use": "token", "tokens": {"caller": literal(token)}}} if token else None
    orders, settings = passing(upstreams, {name: {} for name in transports}, flags, more, auth)

    def ready(states: Json, addresses: Sequence[str]) -> None:
        settle()
        if not options["quiet"]:
            _announce(settings, transports, states, addresses)

    try:
        run(supervise, settings, Origin(orders, lambda: orders), ready)
    except ConfigError as error:
        if not token and any("loopback" in text for _, text in error.problems):
            error.add_note("--token TOKEN lets in only those who show it")
        raise
    except WorkerFailed as error:
        raise Failure(f"it could not start: {error}") from error


def _transports(expose: str) -> list[str]:
    """The plugins that `--expose` names.

    Raises:
        Misuse: One is not installed.
    """
    from portico._config.wording import nearest
    from portico.cli.banner import WAYS
    from portico.cli.compose import installed

    there = [name.replace("_", "-") for name in installed(None).names("transports") if name in WAYS]
    wanted = [word.strip().replace("_", "-") for word in expose.split(",") if word.strip()]
    for name in wanted:
        if name not in there:
            raise Misuse(f"--expose: there is no transport {name!r}{nearest(name, there, 'installed')}")
    if not wanted:
        raise Misuse(f"--expose: expected one or more of {', '.join(there)}")
    return [name.replace("-", "_") for name in dict.fromkeys(wanted)]


def _announce(settings: Settings, transports: Iterable[str], states: Json, addresses: Sequence[str]) -> None:
    from portico.cli import banner

    where = [
        f"  {server.name}  {url}"
        for name, server in settings.servers.items()
        if name == "default" or name != settings.servers["default"].name
        for base in banner.base_urls(settings, addresses)
        for url in banner.urls_of(base, name, [banner.WAYS[transport] for transport in transports])
    ]
    with contextlib.suppress(OSError):  # nobody reads it: no reason not to serve
        click.echo("\n".join(["Portico bridges:", *where, "", "From:", *banner.federated(states)]))
