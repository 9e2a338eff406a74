"""`gateway init`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from portico.cli.failures import Failure, Misuse

# Lines that begin with `#` and no space are settings to uncomment: a test takes the `#` away and checks them.
TEMPLATE: Final = """\
# Portico's configuration. `gateway check` finds every mistake in it, `gateway serve` runs it.
# Lines like `#key = value` show a setting with its default or an example: take the # away to use it.
# Strings may hold ${env:NAME}, ${env:NAME:-default} and ${file:PATH}; keep secrets there, not here.

[gateway]
# Where to listen. Without a token scheme (see [auth] below) only loopback addresses are allowed.
listen = ["127.0.0.1:4444"]
#log_level = "info"
#log_format = "auto"
# Seconds that calls in flight get to finish when the gateway is stopped.
#drain_timeout = 30
# The URL clients reach the gateway at, when it stands behind a proxy.
#public_url = "https://mcp.example.com"
# Keeps sessions and cursors good over restarts: `openssl rand -hex 32` makes one.
#secret = "${env:PORTICO_SECRET:-0123456789abcdef0123456789abcdef}"

# --- upstreams: what is behind the gateway, under names of your choice ---------------------------
# `gateway plugins list` shows the kinds there are; `gateway plugins show mcp` every key of this one.

# A program that speaks MCP on its standard input and output:
#[upstreams.time]
#use = "mcp"
#command = ["mcp-server-time", "--local-timezone=UTC"]

# A server on the network:
#[upstreams.docs]
#use = "mcp"
#url = "https://mcp.example.com/mcp"
#headers = { Authorization = "Bearer ${env:DOCS_TOKEN:-none}" }

# An HTTP API, by its OpenAPI document:
#[upstreams.pets]
#use = "rest"
#openapi = "https://pets.example.com/openapi.json"
#include = [{ tags = ["pets"] }]

# gRPC servers (use = "grpc") and A2A agents (use = "a2a") have a `url`, and take an extra:
# pip install 'portico[grpc]', pip install 'portico[a2a]'.

# --- virtual servers: what clients connect to ----------------------------------------------------
# `default` is at /mcp, any NAME at /servers/NAME/mcp. Without any, `default` shows every upstream.

[servers.default]
upstreams = ["*"]
# When names carry their upstream's name: "never", "conflict" or "always".
#prefix = "conflict"
#instructions = "What models should know about these tools."
# Patterns over `name` or `upstream/name`:
#tools = { include = ["*"], exclude = ["*delete*"] }
#auth = ["people"]

# --- who may come in -----------------------------------------------------------------------------
# Without any scheme: everybody, on loopback only.

#[auth.people]
#use = "token"
#tokens = { me = "${env:GATEWAY_TOKEN:-at-least-16-characters}" }

# --- more ways in --------------------------------------------------------------------------------
# Beside streamable HTTP, which is always there; `a2a` makes an agent of each virtual server.

#[transports.sse]
#[transports.websocket]
#[transports.jsonrpc]
"""


@click.command("init")
@click.argument("path", type=click.Path(path_type=Path), default=Path("gateway.toml"))
@click.option("--force", is_flag=True, help="Overwrite the file if it is there.")
def command(path: Path, force: bool) -> None:
    """Write a commented configuration to PATH (gateway.toml by default)."""
    if path.is_dir():
        path /= "gateway.toml"
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(TEMPLATE)
    except FileExistsError:
        raise Misuse(f"{path} is there already; --force overwrites it") from None
    except OSError as error:
        raise Failure(f"{path} cannot be written: {error.strerror}") from None
    click.echo(f"Wrote {path}. Name what is behind it, then: gateway check && gateway serve")
