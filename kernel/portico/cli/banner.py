"""What `gateway serve` says when clients can connect: where, to what, and what to paste into them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from portico._core.gateway import Gateway
    from portico._core.settings import Settings


def announce(gateway: Gateway, addresses: Sequence[str]) -> None:
    """Print it to stdout."""
    base = base_urls(gateway.settings, addresses)
    for line in banner(gateway, base):
        click.echo(line)
    sys.stdout.flush()


def base_urls(settings: Settings, addresses: Sequence[str]) -> list[str]:
    """What URLs begin with: `public_url` where one is configured, else the addresses listened on."""
    gateway = settings.gateway
    if gateway.public_url:
        return [gateway.public_url.rstrip("/")]
    listeners = [each.config for (kind, _), each in settings.components.items() if kind == "listeners"]
    scheme = "https" if any(getattr(config, "certfile", None) for config in listeners) else "http"
    return [f"{scheme}://{_reachable(address)}" for address in addresses]


def _reachable(address: str) -> str:
    host, _, port = address.rpartition(":")
    return f"{ {'0.0.0.0': '127.0.0.1', '[::]': '[::1]'}.get(host, host) }:{port}".replace(" ", "")  # noqa: S104


def path_of(server: str) -> str:
    """The path of a virtual server's MCP endpoint."""
    return "/mcp" if server == "default" else f"/servers/{server}/mcp"


def banner(gateway: Gateway, bases: Sequence[str]) -> Iterable[str]:
    """The lines: endpoints, upstreams, client configuration."""
    settings = gateway.settings
    yield f"Portico serves {settings.source}"
    yield ""
    for name in settings.servers:
        for base in bases:
            yield f"  {name:<12} {base}{path_of(name)}"
    yield ""
    yield from federated(gateway)
    yield ""
    yield "Paste this into an MCP client (`gateway client-config` knows other formats):"
    yield ""
    yield json.dumps({"mcpServers": _entries(settings, bases[0])}, indent=2)
    yield ""


def federated(gateway: Gateway) -> Iterable[str]:
    """One line for each upstream."""
    status = gateway.plane.status()
    if not status:
        yield "  no upstreams are configured: there is nothing to call yet"
    width = max(map(len, status), default=0)
    for name, each in status.items():
        counts = ", ".join(_count(each[kind], kind) for kind in ("tools", "resources", "prompts"))
        state = (
            ""
            if each["state"] == "ready"
            else f"  {each['state']}: {each.get('reason') or 'no reason given'}"
        )
        yield f"  {name:<{width}}  {counts}{state}"


def _count(number: int, kind: str) -> str:
    return f"{number} {kind if number != 1 else kind[:-1]}"


def _entries(settings: Settings, base: str) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for name in settings.servers:
        entry: dict[str, Any] = {"type": "http", "url": f"{base}{path_of(name)}"}
        if needs_token(settings, name):
            entry["headers"] = {"Authorization": "Bearer YOUR_TOKEN"}
        entries["portico" if name == "default" else f"portico-{name}"] = entry
    return entries


def needs_token(settings: Settings, server: str) -> bool:
    """Whether clients of a virtual server must show a credential."""
    from portico._core.settings import ANONYMOUS

    schemes = [settings.components["auth", name].use for name in settings.servers[server].auth]
    return ANONYMOUS not in schemes
