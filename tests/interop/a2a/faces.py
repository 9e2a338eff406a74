"""What the TCK runs against: an agent, a gateway in front of it, and a virtual server as an agent."""

from __future__ import annotations

import contextlib
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import attrs
import msgspec

from tests.interop.processes import Running, fixture, served
from tests.ports import free_port


@contextlib.contextmanager
def agent(folder: Path, *, push: bool) -> Iterator[Running]:
    """The scripted agent; `url` is where its card is below."""
    with fixture("a2a.agent", folder, words=["--push"] if push else []) as running:
        yield running


@contextlib.contextmanager
def relayed(url: str, folder: Path, binding: str) -> Iterator[Running]:
    """A gateway with one upstream, an A2A agent; `url` is where that is behind it.

    Args:
        url: Where the agent itself is.
        folder: Where the config file and the log go.
        binding: The one the gateway is to use.

    Raises:
        NotReady: The gateway did not start.
    """
    rpc = free_port()
    with urllib.request.urlopen(f"{url}/.well-known/agent-card.json", timeout=10) as answer:
        ways = msgspec.json.decode(answer.read())["supportedInterfaces"]
    grpc = next(way["url"] for way in ways if way["protocolBinding"] == "GRPC")
    config = (
        f'[upstreams.scripted]\nuse = "a2a"\nurl = "{url}"\npush_urls = "any"\n'
        f'bindings = ["{binding}"]\norigins = ["grpc://{grpc}"]\n\n'
        '[servers.default]\nupstreams = ["scripted"]\n\n'
        f'[transports.a2a.grpc]\nlisten = "127.0.0.1:{rpc}"\ntenant = "default/agents/scripted"\n'
    )
    with served(config, folder) as running:
        yield at(running, "/a2a/default/agents/scripted")


@contextlib.contextmanager
def virtual(folder: Path, *, push: bool) -> Iterator[Running]:
    """A gateway whose virtual server has one tool, which acts as the scripted agent does."""
    rpc = free_port()
    with fixture("a2a.tool", folder) as tool:
        config = (
            f'[upstreams.scripted]\nuse = "mcp"\nurl = "{tool.url}"\n\n'
            '[servers.default]\nupstreams = ["scripted"]\nprefix = "never"\n\n'
            f"[transports.a2a]\nwebhooks_private = true\nwebhooks = {4 if push else 0}\n"
            f'[transports.a2a.grpc]\nlisten = "127.0.0.1:{rpc}"\n'
        )
        with served(config, folder) as running:
            yield at(running, "/a2a/default")


def at(running: Running, path: str) -> Running:
    """The same gateway, by another path of it."""
    return attrs.evolve(running, url=running.url.removesuffix("/mcp") + path)
