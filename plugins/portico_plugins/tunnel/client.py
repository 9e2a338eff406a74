"""The other end: dials the gateway, proves who it is, and serves a virtual server on what comes of it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING

from portico.api import ConfigError, Host, Secret, nearest

from .config import DialConfig, check_secret, name_in

if TYPE_CHECKING:
    from starlette.routing import BaseRoute


class TunnelClient:
    """Serves one virtual server to another gateway.

    The gateway has proven that it knows the secret; who its callers are is its business. Each of them is a
    principal of its own here.

    Args:
        config: The transport's configuration.
        host: What the kernel offers.
    """

    def __init__(self, config: DialConfig, host: Host) -> None:
        from .dial import guarded

        servers = host.wiring.endpoints
        problems: list[tuple[str, str]] = []
        if config.server not in servers:
            hint = nearest(config.server, servers, "configured")
            problems.append(("server", f"no server {config.server!r} is configured{hint}"))
        if not config.insecure and not guarded(config.url):
            problems.append(
                ("url", "expected wss://: without TLS, others on the way can read and change everything")
            )
        if config.secret_file is not None:
            try:
                secret_of(config, host)
            except (OSError, ValueError) as error:
                where = host.base / config.secret_file
                why = error.strerror if isinstance(error, OSError) and error.strerror else error
                problems.append(("secret_file", f"{where}: {why}"))
        if config.ca_file is not None:
            try:
                authorities(config, host)
            except OSError as error:
                problems.append(("ca_file", f"{host.base / config.ca_file}: {error.strerror or error}"))
        if problems:
            raise ConfigError([(f"transports.{host.name}.{key}", text) for key, text in problems])
        self._config = config
        self._host = host

    def routes(self) -> Sequence[BaseRoute]:
        """None: it does its own I/O."""
        return ()

    async def run(self) -> None:
        """Keep connected until cancelled; with `once`, until that connection has ended.

        Raises:
            Turned: The gateway does not know the name or the secret.
            Unreachable: With `once`: there is no connection, or it was lost.
        """
        from .keeping import Keeper

        keeper = Keeper(self._config, self._host, name_in(self._config.url))
        keeping = asyncio.ensure_future(keeper.run())
        try:
            await asyncio.wait([keeping])
            keeping.result()
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])
            await keeper.close()


def authorities(config: DialConfig, host: Host) -> ssl.SSLContext | bool:
    """Whose certificates are believed.

    Raises:
        OSError: Their file cannot be read, or holds none.
    """
    if config.ca_file is None:
        return True
    return ssl.create_default_context(cafile=str(host.base / config.ca_file))


def secret_of(config: DialConfig, host: Host) -> Secret:
    """The secret, as it is now.

    Raises:
        OSError: Its file cannot be read.
        ValueError: There is none in it that is any good.
    """
    if config.secret is not None:
        return config.secret
    assert config.secret_file is not None
    text = (host.base / config.secret_file).read_text("utf-8").strip()
    check_secret(text)
    return Secret(text)
