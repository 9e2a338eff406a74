"""LiteLLM's proxy server, as an MCP gateway only: no model, no database."""

from __future__ import annotations

from bench.load import Endpoint
from bench.peers.peer import Launch, Peer, Site

VERSION = "1.104.0"

CONFIG = """\
general_settings:
  master_key: {key}
mcp_servers:
  stub:
    url: {url}
    transport: http
    allow_all_keys: true
"""


def _launch(site: Site) -> Launch:
    key = f"sk-{site.secret}"
    config = site.folder / "litellm.yaml"
    config.write_text(CONFIG.format(key=key, url=site.upstream_url))
    options = f"--host 127.0.0.1 --port {site.port} --num_workers 1 --telemetry False"
    return Launch(
        words=(site.program("litellm"), "--config", str(config), *options.split()),
        endpoint=Endpoint(headers=(("Authorization", f"Bearer {key}"),)),
        # The model prices of the package instead of a download at each start.
        environment={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"},
    )


PEERS = (
    Peer(
        name="litellm",
        title="LiteLLM",
        version=VERSION,
        requirement=f"litellm[proxy]=={VERSION}",
        note="one worker, its master key as the caller's token (it does not start without one), no database",
        launch=_launch,
    ),
)
