"""`gateway client-config`."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs
import click

from portico._core.errors import ConfigError
from portico.cli.compose import DEFAULT, Sources, compose, config_file, installed
from portico.cli.connect import DEFAULT_URL, endpoint
from portico.cli.failures import Misuse


@attrs.frozen
class Wanted:
    """What a snippet is about.

    Attributes:
        name: What the client is to call the gateway.
        url: Its MCP endpoint.
        variable: The environment variable that holds the token, "" where none is needed.
    """

    name: str
    url: str
    variable: str


def _json(value: Any) -> str:
    return json.dumps(value, indent=2)


def _servers(wanted: Wanted, entry: dict[str, Any], reference: str) -> str:
    headers = {"headers": {"Authorization": f"Bearer {reference}"}} if wanted.variable else {}
    return _json({"mcpServers": {wanted.name: {**entry, **headers}}})


def _claude(wanted: Wanted) -> str:
    # The file takes stdio servers only, so mcp-remote (npm) stands in between. The header has no space: some
    # versions of Claude Desktop split arguments at spaces on Windows.
    arguments = ["-y", "mcp-remote", wanted.url]
    if wanted.url.startswith("http://"):
        arguments.append("--allow-http")
    entry: dict[str, Any] = {"command": "npx", "args": arguments}
    if wanted.variable:
        arguments += ["--header", "Authorization:${PORTICO_AUTHORIZATION}"]
        entry["env"] = {"PORTICO_AUTHORIZATION": f"Bearer THE_VALUE_OF_{wanted.variable}"}
    return _json({"mcpServers": {wanted.name: entry}})


def _stdio(wanted: Wanted) -> str:
    # By its whole path: programs with windows rarely see the PATH of a shell.
    command = Path(sys.executable).with_name("gateway")
    env = {"MCP_SERVER_URL": wanted.url}
    if wanted.variable:
        env["MCP_AUTH"] = f"Bearer THE_VALUE_OF_{wanted.variable}"
    return _json({"mcpServers": {wanted.name: {"command": str(command), "args": ["wrapper"], "env": env}}})


def _claude_code(wanted: Wanted) -> str:
    command = f"claude mcp add --transport http {shlex.quote(wanted.name)} {shlex.quote(wanted.url)}"
    return f'{command} --header "Authorization: Bearer ${wanted.variable}"' if wanted.variable else command


def _cursor(wanted: Wanted) -> str:
    return _servers(wanted, {"url": wanted.url}, f"${{env:{wanted.variable}}}")


def _vscode(wanted: Wanted) -> str:
    entry: dict[str, Any] = {"type": "http", "url": wanted.url}
    document: dict[str, Any] = {"servers": {wanted.name: entry}}
    if wanted.variable:
        entry["headers"] = {"Authorization": "Bearer ${input:portico-token}"}
        document["inputs"] = [
            {
                "type": "promptString",
                "id": "portico-token",
                "description": "Token of the gateway",
                "password": True,
            }
        ]
    return _json(document)


def _codex(wanted: Wanted) -> str:
    lines = [f"[mcp_servers.{wanted.name}]", f"url = {json.dumps(wanted.url)}"]
    if wanted.variable:
        lines.append(f"bearer_token_env_var = {json.dumps(wanted.variable)}")
    return "\n".join(lines)


def _gemini(wanted: Wanted) -> str:
    return _servers(wanted, {"httpUrl": wanted.url}, f"${wanted.variable}")


def _inspector(wanted: Wanted) -> str:
    command = f"npx @modelcontextprotocol/inspector --cli {shlex.quote(wanted.url)} --transport http"
    header = f' --header "Authorization: Bearer ${wanted.variable}"' if wanted.variable else ""
    return f"{command} --method tools/list{header}"


_CLIENTS: Final[dict[str, tuple[str, Callable[[Wanted], str]]]] = {
    "claude": ("claude_desktop_config.json (Settings > Developer > Edit Config; needs Node.js)", _claude),
    "claude-code": ("run this command", _claude_code),
    "cursor": (".cursor/mcp.json of a project, or ~/.cursor/mcp.json", _cursor),
    "vscode": (".vscode/mcp.json of a workspace, or the user's mcp.json", _vscode),
    "codex": ("~/.codex/config.toml", _codex),
    "gemini": ("~/.gemini/settings.json", _gemini),
    "stdio": ("any client that starts servers, on this machine: `gateway wrapper` in between", _stdio),
    "inspector": ("run this command", _inspector),
}
"""Client -> where its snippet goes, and what makes it. All but commands are merged into the file."""


@click.command("client-config")
@click.argument("client", type=click.Choice(list(_CLIENTS)))
@click.option(
    "--url",
    envvar="PORTICO_URL",
    help="The gateway's MCP endpoint. By default what the configuration file says, without one "
    f"{DEFAULT_URL}. [env: PORTICO_URL]",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="PORTICO_CONFIG",
    help=f"Where there is no --url: the configuration file. By default ./{DEFAULT} where there is one. "
    "[env: PORTICO_CONFIG]",
)
@click.option("--server", default="", metavar="NAME", help="A virtual server of it, by name.")
@click.option(
    "--token-env",
    default="",
    metavar="VARIABLE",
    help="The gateway wants a token; this environment variable holds it.",
)
def command(client: str, url: str | None, config: Path | None, server: str, token_env: str) -> None:
    """Print the configuration snippet for an MCP client; where it goes is said on stderr."""
    place, make = _CLIENTS[client]
    name = f"portico-{server}" if server and server != "default" else "portico"
    if token_env and not token_env.isidentifier():
        raise click.UsageError(f"expected the name of an environment variable, got {token_env!r}")
    where = endpoint(url, server) if url else _configured(config, server)
    click.echo(f"# {place}", err=True)
    click.echo(make(Wanted(name, where, token_env)))


def _configured(config: Path | None, server: str) -> str:
    """The MCP endpoint that the configuration file has.

    Raises:
        Misuse: It has none.
        ConfigError: It was named, and has problems.
    """
    sources = Sources(config=config)
    if config_file(sources) is None:
        return endpoint(DEFAULT_URL, server)
    from portico.cli import banner

    try:
        settings = compose(sources, installed(None))
    except ConfigError as error:
        if config is not None:
            raise
        count = len(error.problems)
        said = f"{error.source} has problems ({count}; see `gateway check`), so the address is the usual one"
        click.echo(f"gateway: {said}", err=True)
        return endpoint(DEFAULT_URL, server)
    addresses = [each for each in settings.gateway.listen if not each.endswith(":0")]
    base = next(iter(banner.base_urls(settings, addresses)), DEFAULT_URL.removesuffix("/mcp"))
    uses = banner.transports_of(settings)
    if "streamable_http" in uses:
        return f"{base}{banner.path_of(server or 'default')}"
    ways = banner.ways_in(base, server or "default", uses)
    others = [use for use in uses if use not in banner.WAYS and use != "a2a"]
    raise Misuse(
        f"{settings.source} has no transport `streamable_http`, through which these clients come in; "
        f"it has {', '.join([*ways, *others]) or 'none at all'}"
    )
