"""The connection to one agent by the interface that was chosen."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final
from urllib.parse import urlsplit

import grpc
import httpx
from a2a.client.transports.base import ClientTransport
from a2a.client.transports.grpc import GrpcTransport
from a2a.client.transports.tenant_decorator import TenantTransportDecorator
from a2a.types import AgentCard

from portico.api import Host
from portico_plugins.upstreams.grpc_client.dial import Identity, judged, opened

from .card import Card
from .config import A2aConfig
from .headers import Headers
from .http_json import HttpJson
from .interfaces import Interface
from .jsonrpc import JsonRpc
from .operations import Transport
from .renewing import Renewing
from .sdk import Bridge, Sdk
from .web import Web

_GRACE: Final = 600.0
"""Seconds calls on a channel that was replaced may still take."""


class Link:
    """How one agent is spoken to; replaced when its card names another interface, or its address is another.

    Args:
        config: Of the upstream.
        host: Its host.
        web: Sends HTTP requests.
        headers: Those of requests, where there may be others in place of them.

    Attributes:
        transport: The operations of A2A; None before the first card.
    """

    def __init__(self, config: A2aConfig, host: Host, web: Web, headers: Headers) -> None:
        self.transport: Transport | None = None
        self._config = config
        self._host = host
        self._headers = headers
        self._web = web
        self._interface: Interface | None = None
        self._target = ""
        self._channel: grpc.aio.Channel | None = None
        self._retiring: set[asyncio.Task[None]] = set()

    async def use(self, card: Card) -> None:
        """Speak to the agent as the card says, from the next request on.

        Raises:
            Unreachable: gRPC's: the agent has no address, or one that is forbidden.
            OSError: The file of authorities cannot be read.
        """
        interface = card.interface
        target = ""
        tls: Identity | None = None
        if interface.binding == "GRPC":
            parts = urlsplit(interface.url)
            found = await judged(
                parts.hostname or "",
                parts.port or 0,
                self._config.connect_timeout,
                allow_private=self._config.allow_private,
            )
            target = self._target if self._target in found else found[0]
            if parts.scheme == "grpcs":
                ca_file = self._config.ca_file
                ca = await asyncio.to_thread((self._host.base / ca_file).read_bytes) if ca_file else None
                tls = Identity(ca, None, None)
        if self.transport is None or (interface, target) != (self._interface, self._target):
            self._replace(interface, target, tls, card)

    def _replace(self, interface: Interface, target: str, tls: Identity | None, card: Card) -> None:
        old, self._channel = self._channel, None
        if interface.binding == "GRPC":
            parts = urlsplit(interface.url)
            config = self._config
            self._channel = opened(
                target,
                parts.hostname or "",
                parts.port or 0,
                tls,
                config.max_response_bytes,
                config.max_request_bytes,
                connect_timeout=config.connect_timeout,
            )
        made = self._made(interface, card.message)
        self.transport = Renewing(made, self._headers) if self._headers.renewable else made
        self._interface, self._target = interface, target
        if old is not None:
            self._retire(old.close(_GRACE))

    def _made(self, interface: Interface, card: AgentCard) -> Transport:
        if interface.legacy:
            return Sdk(self._old(interface, card))
        if self._channel is not None:
            base: ClientTransport = GrpcTransport(self._channel, _asking(card))
            return Sdk(TenantTransportDecorator(base, interface.tenant) if interface.tenant else base)
        kind = JsonRpc if interface.binding == "JSONRPC" else HttpJson
        return kind(self._web, interface.url, interface.tenant, self._config.max_response_bytes)

    def _old(self, interface: Interface, card: AgentCard) -> ClientTransport:
        """What speaks 0.3."""
        from a2a.compat.v0_3.grpc_transport import CompatGrpcTransport
        from a2a.compat.v0_3.jsonrpc_transport import CompatJsonRpcTransport
        from a2a.compat.v0_3.rest_transport import CompatRestTransport

        if self._channel is not None:
            return CompatGrpcTransport(self._channel, _asking(card))
        rpc = interface.binding == "JSONRPC"
        kind = CompatJsonRpcTransport if rpc else CompatRestTransport
        client = httpx.AsyncClient(  # which has nothing of its own that is to be closed
            transport=Bridge(self._web, self._config.max_response_bytes, rpc=rpc),
            trust_env=False,
            timeout=None,  # noqa: S113  (calls have deadlines)
        )
        return kind(client, _asking(card), interface.url, is_shared_httpx=True)

    @property
    def paths(self) -> bool:
        """Whether the ids of tasks are parts of the paths of requests."""
        return self._interface is not None and self._interface.binding == "HTTP+JSON"

    def _retire(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def close(self) -> None:
        """Close every channel, and end what is left of the calls on them."""
        for task in tuple(self._retiring):
            task.cancel()
        if self._retiring:
            await asyncio.wait(self._retiring)
        if self._channel is not None:
            await self._channel.close()
        self._channel = self.transport = None


def _asking(card: AgentCard) -> AgentCard:
    """A card whose transport asks for the extended one in any case: whether there is one, the agent says."""
    made = AgentCard()
    made.CopyFrom(card)
    made.capabilities.extended_agent_card = True
    return made
