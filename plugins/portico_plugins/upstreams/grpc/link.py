"""The connection to one server: made to judged addresses, replaced with them, asked for its health."""

from __future__ import annotations

import asyncio
from typing import Final

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from portico.api import Host
from portico_plugins.failures import bad_response, unavailable
from portico_plugins.http1 import Unreachable
from portico_plugins.upstreams.grpc_client.dial import Identity
from portico_plugins.upstreams.grpc_client.status import refusal, status_of, unreachable

from .config import GrpcConfig
from .dial import channel, identity, targets
from .metadata import Metadatas

_HEALTH: Final = "/grpc.health.v1.Health/Check"
_GRACE: Final = 600.0
"""Seconds calls on a channel that was replaced may still take."""


class NotServing(Exception):
    """The server answers and says that it is not well."""


class Link:
    """The connection to one server.

    Args:
        config: Of the upstream.
        host: Its host.
        metadata: Of the questions for its health.

    Attributes:
        channel: What calls are made on; None before the first connection.
    """

    def __init__(self, config: GrpcConfig, host: Host, metadata: Metadatas) -> None:
        self.channel: grpc.aio.Channel | None = None
        self._config = config
        self._host = host
        self._metadata = metadata
        self._target = ""
        self._tls: Identity | None = None
        self._retiring: dict[asyncio.Task[None], grpc.aio.Channel] = {}

    async def connect(self) -> bool:
        """Have a channel to the server as it is to be found now; gives whether the server is well.

        Raises:
            Unreachable: There is none to be had, or it may not be made.
            grpc.aio.AioRpcError: The server answers with an error.
            OSError: A file TLS needs cannot be read.
        """
        tls = await asyncio.to_thread(identity, self._config, self._host)
        found = await targets(self._config)
        if tls != self._tls or self._target not in found:
            self._replace("", tls)
        refused: Unreachable | None = None
        # The one that worked before comes first.
        for target in sorted(found, key=lambda each: each != self._target):
            if target != self._target:
                self._replace(target, tls)
            try:
                return await self._serving()
            except grpc.aio.AioRpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    raise
                said = error.details() or ""
                self._host.log.debug("grpc_unreachable", details=said)
                late = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
                refused = Unreachable("connect_timeout" if late else unreachable(said))
        raise refused or Unreachable("name_not_found")

    def _replace(self, target: str, tls: Identity | None) -> None:
        old, self.channel = self.channel, None
        if target:
            self.channel = channel(self._config, target, tls)
        self._target, self._tls = target, tls
        if old is not None:
            task = asyncio.create_task(old.close(_GRACE))
            self._retiring[task] = old
            task.add_done_callback(self._retiring.pop)

    async def _serving(self) -> bool:
        """Whether the server says that it is well, or has no health service.

        Raises:
            grpc.aio.AioRpcError: It cannot be reached, or answers with another error.
        """
        assert self.channel is not None
        request = health_pb2.HealthCheckRequest().SerializeToString()
        try:
            raw = await self.channel.unary_unary(_HEALTH)(
                request, timeout=self._config.connect_timeout, metadata=await self._metadata.of(None)
            )
            answer = health_pb2.HealthCheckResponse.FromString(raw)
        except grpc.aio.AioRpcError as error:
            # NOT_FOUND: it has not been told of the server as a whole. PERMISSION_DENIED: not for us to know.
            if error.code() in (
                grpc.StatusCode.UNIMPLEMENTED,
                grpc.StatusCode.NOT_FOUND,
                grpc.StatusCode.PERMISSION_DENIED,
            ):
                return True
            raise
        except DecodeError:
            return True
        return bool(answer.status != health_pb2.HealthCheckResponse.NOT_SERVING)

    async def probe(self) -> None:
        """Ask for the server's health.

        Raises:
            Refused: 50300: it cannot be reached. Any other: it answers, but not well.
        """
        name = self._host.name
        if self.channel is None:
            raise unavailable(name, "not_connected")
        try:
            serving = await self._serving()
        except grpc.aio.AioRpcError as error:
            status = status_of(error, None)
            if status.code == "UNAUTHENTICATED":
                raise bad_response(name, "upstream_unauthorized") from None
            raise refusal(status, name) or bad_response(name, status.code.lower()) from None
        if not serving:
            raise bad_response(name, "not_serving")

    async def lost(self) -> None:
        """Return when there is no connection any more: the server may come back as another."""
        while self.channel is not None:
            state = self.channel.get_state()
            if state is not grpc.ChannelConnectivity.READY:
                return
            await self.channel.wait_for_state_change(state)

    async def close(self) -> None:
        """Close every channel, and end what is left of the calls on them."""
        retiring = dict(self._retiring)
        for task in retiring:
            task.cancel()
        if retiring:
            await asyncio.wait(retiring)
        for each in (*retiring.values(), self.channel):
            if each is not None:
                await each.close()
        self.channel = None
