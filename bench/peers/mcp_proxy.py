"""sparfenyuk's mcp-proxy: it bridges stdio and HTTP, so HTTP to HTTP takes two of it."""

from __future__ import annotations

from bench.peers.peer import Launch, Peer, Site

VERSION = "0.13.0"


def _launch(site: Site) -> Launch:
    program, quiet = site.program("mcp-proxy"), ("--log-level", "ERROR")
    server = (program, "--host", "127.0.0.1", "--port", str(site.port), *quiet, "--")
    return Launch((*server, program, *quiet, "--transport", "streamablehttp", site.upstream_url))


PEERS = (
    Peer(
        name="mcp-proxy",
        title="mcp-proxy",
        version=VERSION,
        requirement=f"mcp-proxy=={VERSION}",
        note="two processes, HTTP to stdio to HTTP: it has no HTTP to HTTP; one upstream session for all",
        launch=_launch,
    ),
)
