"""Portico itself, started as the peers are."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from bench.peers.peer import Launch, Peer, Site
from bench.processes import CONFIG, filled, inherited


def portico(command: str) -> Peer:
    """Portico with the ordinary bench's config.

    Args:
        command: What to run; `{config}`, `{port}` and `{upstream}` are filled in.
    """

    def launch(site: Site) -> Launch:
        config = site.folder / "gateway.toml"
        config.write_text(CONFIG.format(port=site.port, upstream=site.upstream))
        values = {"{config}": str(config), "{port}": str(site.port), "{upstream}": str(site.upstream)}
        return Launch(tuple(filled(command, values)), environment=inherited())

    try:
        installed = version("portico")
    except PackageNotFoundError:
        installed = ""
    return Peer(
        "portico", "Portico", installed, "", "the ordinary bench's config: one worker, no auth", launch
    )
