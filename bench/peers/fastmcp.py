"""FastMCP's proxy, as its command line runs it and with one client shared by all calls."""

from __future__ import annotations

from bench.peers.peer import Launch, Peer, Site

VERSION = "4.1.2"

SHARED = """\
import asyncio, sys
from fastmcp import Client
from fastmcp.server import create_proxy

async def main(url, port):
    async with Client(url) as client:
        proxy = create_proxy(client)
        await proxy.run_http_async(
            show_banner=False, transport="http", host="127.0.0.1", port=port, path="/mcp", log_level="warning"
        )

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def _by_default(site: Site) -> Launch:
    options = f"--transport http --port {site.port} --no-banner --log-level WARNING"
    return Launch((site.program("fastmcp"), "run", site.upstream_url, *options.split()))


def _shared(site: Site) -> Launch:
    script = site.folder / "shared.py"
    script.write_text(SHARED)
    return Launch((site.program("python"), str(script), site.upstream_url, str(site.port)))


PEERS = (
    Peer(
        name="fastmcp",
        title="FastMCP proxy",
        version=VERSION,
        requirement=f"fastmcp=={VERSION}",
        note="`fastmcp run URL`, its default: each call opens an upstream session of its own",
        launch=_by_default,
    ),
    Peer(
        name="fastmcp-shared",
        title="FastMCP proxy, shared client",
        version=VERSION,
        requirement=f"fastmcp=={VERSION}",
        note="`create_proxy` over one connected client, which all callers then share: its fastest way",
        launch=_shared,
        home="fastmcp",
    ),
)
