"""`gateway wrapper`."""

from __future__ import annotations

from typing import Any

import click

from portico.cli.passing import on_stdio, remote, remote_options, running_options, server_url


@click.command(
    "wrapper",
    epilog="Ends with stdin, or on SIGTERM. Keep secrets in the environment: others can see arguments.",
)
@click.option(
    "--url",
    envvar="MCP_SERVER_URL",
    required=True,
    help="Endpoint of the remote server; of a gateway, /servers/NAME will do. [env: MCP_SERVER_URL]",
)
@remote_options
@running_options
def command(url: str, auth: str | None, headers: tuple[str, ...], flags: dict[str, Any]) -> None:
    """Be an MCP server on stdin and stdout that passes everything on to a remote one.

    For clients that only start commands. What the remote server is reached by, and which protocol revision it
    speaks, is found out; while it is away, calls fail with the reason, and it is found again when it is back.
    """
    on_stdio(remote(server_url(url), auth, headers, "--url"), flags)
