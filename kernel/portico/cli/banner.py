"""What `gateway serve` says when clients can connect: where, to what, and what to paste into them."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from portico.cli.compose import config_file
from portico.cli.show import counted

if TYPE_CHECKING:
    from portico._config.settings import Settings
    from portico._core.contracts.json import Json
    from portico._host.gateway import Gateway
    from portico.cli.compose import Sources

WAYS: Final = {
    "streamable_http": ("http", "/mcp"),
    "sse": ("http", "/sse"),
    "websocket": ("ws", "/ws"),
    "jsonrpc": ("http", "/rpc"),
}
"""Transport -> the scheme of its URLs without TLS, and how their paths end."""

_ANY_HOST: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - shown, not bound


def announce(settings: Settings, upstreams: Json, addresses: Sequence[str]) -> None:
    """Print it to stdout, for HTTP.

    Args:
        settings: What is served.
        upstreams: How they are, by name (`Plane.status`).
        addresses: What is listened on.
    """
    bases = base_urls(settings, addresses)
    uses = transports_of(settings)
    width = max(map(len, settings.servers))
    where = [
        f"  {name:<{width}}  {url}{'  (token needed)' if needs_token(settings, name) else ''}"
        for name in settings.servers
        for base in bases
        for url in ways_in(base, name, uses)
    ]
    entries = _http_entries(settings, bases[0]) if "streamable_http" in uses else {}
    _print(settings.source, where, upstreams, entries, err=False)


def announce_stdio(gateway: Gateway, server: str, sources: Sources) -> None:
    """Print it to stderr, for stdin and stdout."""
    where = [f"  {server}  on stdin and stdout"]
    entries = {"portico": _stdio_entry(server, sources)}
    _print(gateway.settings.source, where, gateway.plane.status(), entries, err=True)


def _print(source: str, where: Iterable[str], upstreams: Json, entries: dict[str, Any], *, err: bool) -> None:
    lines = [
        f"Portico serves {source}:",
        *where,
        "",
        "Federated:",
        *federated(upstreams),
    ]
    if entries:
        lines += [
            "",
            "For MCP clients that read mcpServers (`gateway client-config` knows the others):",
            json.dumps({"mcpServers": entries}, indent=2),
        ]
    with contextlib.suppress(OSError):  # nobody reads it: no reason not to serve
        click.echo("\n".join(lines), err=err)


def base_urls(settings: Settings, addresses: Sequence[str]) -> list[str]:
    """What URLs begin with: `public_url` where one is configured, else the addresses listened on."""
    if settings.gateway.public_url:
        return [settings.gateway.public_url.rstrip("/")]
    listeners = [each.config for (kind, _), each in settings.components.items() if kind == "listeners"]
    scheme = "https" if any(getattr(config, "certfile", None) for config in listeners) else "http"
    return [f"{scheme}://{_reachable(address)}" for address in addresses]


def _reachable(address: str) -> str:
    host, _, port = address.rpartition(":")
    return f"{_ANY_HOST.get(host, host)}:{port}"


def transports_of(settings: Settings) -> list[str]:
    """What transports are there, those that are turned off left out."""
    return [each.use for (kind, _), each in settings.components.items() if kind == "transports"]


def ways_in(base: str, server: str, uses: Collection[str]) -> list[str]:
    """The URLs of a virtual server, one for each of these transports that has one."""
    ends = [WAYS[way] for way in WAYS if way in uses]
    return [*urls_of(base, server, ends), *_agents(base, server, uses)]


def urls_of(base: str, server: str, ends: Iterable[tuple[str, str]]) -> list[str]:
    """The URLs of a virtual server, one for each way in.

    Args:
        base: What they begin with.
        server: Which one.
        ends: Of `WAYS`.
    """
    before = "" if server == "default" else f"/servers/{server}"
    return [f"{base.replace('http', scheme, 1)}{before}{end}" for scheme, end in ends]


def _agents(base: str, server: str, uses: Collection[str]) -> list[str]:
    """The URL of a virtual server as an A2A agent, where it is one."""
    if "a2a" not in uses:
        return []
    return [f"{base}/a2a" if server == "default" else f"{base}/a2a/{server}"]


def path_of(server: str) -> str:
    """The path of a virtual server's MCP endpoint."""
    return "/mcp" if server == "default" else f"/servers/{server}/mcp"


def federated(status: Json) -> list[str]:
    """One line for each upstream: what it has, and why not if it is not ready."""
    if not status:
        return ["  nothing: no upstream is configured, so there is nothing to call yet"]
    width = max(map(len, status))
    lines = []
    for name, each in status.items():
        has = ", ".join(counted(each[kind], kind) for kind in ("tools", "resources", "prompts"))
        state = (
            "" if each["state"] == "ready" else f"  {each['state']}: {each.get('reason') or 'not said why'}"
        )
        lines.append(f"  {name:<{width}}  {has}{state}")
    return lines


def _http_entries(settings: Settings, base: str) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for name in settings.servers:
        entry: dict[str, Any] = {"type": "http", "url": f"{base}{path_of(name)}"}
        if needs_token(settings, name):
            entry["headers"] = {"Authorization": "Bearer YOUR_TOKEN"}
        entries["portico" if name == "default" else f"portico-{name}"] = entry
    return entries


def _stdio_entry(server: str, sources: Sources) -> dict[str, Any]:
    """How a client starts this very gateway, from whatever folder."""
    program = shutil.which("gateway")
    arguments = [] if program else ["-m", "portico"]
    arguments += ["serve", "--stdio", "--quiet"]
    config = config_file(sources)
    files = [("--config", config)] if config is not None else []
    for flag, path in (*files, *(("--mcp-json", path) for path in sources.mcp_json)):
        arguments += [flag, str(Path(path).resolve())]
    for upstream in sources.upstreams:
        arguments += ["--upstream", upstream]
    for text in sources.sets:
        arguments += ["--set", text]
    if sources.plugins:
        arguments.append(f"--plugins={sources.plugins}")
    if server != "default":
        arguments += ["--server", server]
    return {"command": program or sys.executable, "args": arguments}


def needs_token(settings: Settings, server: str) -> bool:
    """Whether clients of a virtual server must show a credential."""
    from portico._config.settings import ANONYMOUS

    return ANONYMOUS not in [settings.components["auth", name].use for name in settings.servers[server].auth]
