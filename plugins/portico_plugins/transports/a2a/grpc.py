"""The gRPC binding of all agents of a gateway, virtual servers and those behind them, on one port.

There are no paths in gRPC: which agent is meant, a request's `tenant` says, as the agent's card does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import unquote

import attrs
import grpc
from a2a.extensions.common import HTTP_EXTENSION_HEADER
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers.grpc_handler import GrpcHandler, GrpcServerCallContextBuilder
from a2a.types.a2a_pb2_grpc import A2AServiceServicer, add_A2AServiceServicer_to_server
from a2a.utils.errors import A2AError, VersionNotSupportedError

from portico.api import Challenge, ConfigError, Credentials, Endpoint, Host, Principal
from portico_plugins.transports.a2a.bindings import VERSION, Visit, context_of
from portico_plugins.transports.a2a.grpc_config import GrpcConfig
from portico_plugins.transports.a2a.grpc_elsewhere import Elsewhere, elsewhere
from portico_plugins.transports.a2a.places import Face

_UNARY: Final = (
    "SendMessage",
    "GetTask",
    "ListTasks",
    "CancelTask",
    "CreateTaskPushNotificationConfig",
    "GetTaskPushNotificationConfig",
    "ListTaskPushNotificationConfigs",
    "DeleteTaskPushNotificationConfig",
    "GetExtendedAgentCard",
)
_STREAMED: Final = ("SendStreamingMessage", "SubscribeToTask")
_PROXIES: Final = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
_SPOKEN: Final = "1"
"""The major version of the protocol that is spoken here."""


Find = Callable[[str], Face | None]
"""The agent that a tenant stands for."""


@attrs.frozen(eq=False)
class Admitted:
    """A request that has been let in.

    Attributes:
        face: The agent that is meant.
        visit: Whose request it is.
        handler: Serves it.
    """

    face: Face
    visit: Visit
    handler: GrpcHandler

    def elsewhere(self, name: str, request: Any) -> Elsewhere | None:
        """What another worker says to it, if that one has its task."""
        if not self.face.path or not _speaks(self.visit.headers.get(VERSION, "")):
            return None
        return elsewhere(self.face.endpoint, self.face.path, name, request, self.visit)


def _speaks(version: str) -> bool:
    return version.partition(".")[0] == _SPOKEN


class _Known(GrpcServerCallContextBuilder):
    """Tells a handler whose request it is; one for each request."""

    def __init__(self, visit: Visit, version: str, extensions: Sequence[str]) -> None:
        self._visit = visit
        self._version = version
        self._extensions = extensions

    def build(self, context: grpc.aio.ServicerContext) -> ServerCallContext:
        """What a handler is told.

        Raises:
            VersionNotSupportedError: The client speaks another version; none at all is 0.3 (A2A 3.6.2).
        """
        if not _speaks(self._version):
            said = self._version[:16] or "0.3"
            raise VersionNotSupportedError(f"A2A version {said!r} is not supported here; 1.0 is")
        return context_of(self._visit, self._version, self._extensions)


class Faces(A2AServiceServicer):
    """Serves every agent: finds the one that is meant, and lets in who may come in.

    Args:
        find: Gives agents.
        tenant: Which one is meant where a client names none.
        base: How URLs of this gateway begin, for cards; "" where that is not known.
        host: What clients call the gateway.
        secure: Whether connections are TLS.
    """

    def __init__(self, find: Find, tenant: str, base: str, host: str, *, secure: bool) -> None:
        self._find = find
        self._tenant = tenant
        self._base = base
        self._host = host
        self._secure = secure
        for name in _UNARY:
            setattr(self, name, self._unary(name))
        for name in _STREAMED:
            setattr(self, name, self._streamed(name))

    def _unary(self, name: str) -> Callable[[Any, grpc.aio.ServicerContext], Any]:
        async def serve(request: Any, context: grpc.aio.ServicerContext) -> Any:
            admitted = await self._admitted(request, context)
            other = admitted.elsewhere(name, request)
            if other is None:
                return await getattr(admitted.handler, name)(request, context)
            try:
                async with aclosing(other.answers()) as answers:
                    return await anext(answers)
            except A2AError as error:
                await admitted.handler.abort_context(error, context)

        return serve

    def _streamed(self, name: str) -> Callable[[Any, grpc.aio.ServicerContext], AsyncIterator[Any]]:
        async def serve(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
            admitted = await self._admitted(request, context)
            other = admitted.elsewhere(name, request)
            if other is None:
                async for event in getattr(admitted.handler, name)(request, context):
                    yield event
                return
            try:
                async with aclosing(other.answers()) as answers:
                    async for event in answers:
                        yield event
            except A2AError as error:
                await admitted.handler.abort_context(error, context)

        return serve

    async def _admitted(self, request: Any, context: grpc.aio.ServicerContext) -> Admitted:
        """Let a request in; it is refused where nobody serves it, or not to this caller."""
        metadata = context.invocation_metadata() or ()
        lines = [(str(name), value) for name, value in metadata if isinstance(value, str)]
        headers = {**dict(lines), "host": self._host}
        face = self._find(request.tenant or self._tenant)
        if face is None or face.endpoint.closed:
            await context.abort(grpc.StatusCode.NOT_FOUND, "There is no such agent")
            raise AssertionError  # abort has raised
        if sum(name == "authorization" for name, _ in lines) > 1:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "More than one authorization")
        peer = address_of(context.peer())
        verdict = await self._judged(face.endpoint, headers, peer)
        if isinstance(verdict, Challenge):
            known = verdict.status != 401
            code = grpc.StatusCode.PERMISSION_DENIED if known else grpc.StatusCode.UNAUTHENTICATED
            context.set_trailing_metadata(
                tuple((name.lower(), value) for name, value in verdict.headers if name.isascii())
            )
            await context.abort(code, verdict.reason)
        assert isinstance(verdict, Principal)
        extensions = [value for name, value in lines if name == HTTP_EXTENSION_HEADER.lower()]
        visit = Visit(verdict, headers, self._base, peer=(peer, 0))
        contexts = _Known(visit, headers.get(VERSION, ""), extensions)
        return Admitted(face, visit, GrpcHandler(face.handler, contexts))

    async def _judged(
        self, endpoint: Endpoint, headers: Mapping[str, str], peer: str
    ) -> Principal | Challenge:
        """Who is calling."""
        credentials = Credentials(
            headers,
            peer,
            endpoint.name,
            secure=self._secure,
            proxied=any(name in headers for name in _PROXIES),
        )
        verdict = endpoint.recognise(credentials)
        return verdict if verdict is not None else await endpoint.authenticate(credentials)


def address_of(peer: str) -> str:
    """The IP address in gRPC's name for the other end, "" where there is none."""
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return ""
    host = unquote(rest).rpartition(":")[0].strip("[]")
    try:
        return str(ip_address(host))
    except ValueError:
        return ""


class GrpcBinding:
    """The server of the binding; its port is taken when it is made, and served while it is entered.

    Args:
        config: How it is served.
        host: Of the transport.
        tls: The gateway's certificate, None for connections without TLS.

    Raises:
        ConfigError: The port cannot be had.

    Attributes:
        address: `host:port` as clients reach it.
    """

    def __init__(self, config: GrpcConfig, host: Host, tls: grpc.ServerCredentials | None) -> None:
        self._config = config
        self._server = grpc.aio.server(
            options=(
                ("grpc.max_receive_message_length", config.max_message_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_metadata_size", 16 * 1024),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
                ("grpc.http2.max_ping_strikes", 2),
                ("grpc.so_reuseport", 1),  # every worker listens
            ),
            maximum_concurrent_rpcs=config.max_calls,
        )
        listen, server = config.listen, self._server
        try:
            port = server.add_secure_port(listen, tls) if tls else server.add_insecure_port(listen)
        except RuntimeError:
            where = f"{host.kind}.{host.name}.grpc.listen"
            raise ConfigError([(where, f"cannot listen at {listen}")]) from None
        self.address = config.address or f"{listen.rpartition(':')[0]}:{port}"

    @classmethod
    async def opened(cls, config: GrpcConfig, host: Host) -> GrpcBinding:
        """Take the port.

        Raises:
            ConfigError: It cannot be listened at, or the certificate cannot be read.
        """
        try:
            tls = await asyncio.to_thread(_tls, config, host)
        except OSError as error:
            where = f"{host.kind}.{host.name}.grpc.certfile"
            raise ConfigError([(where, f"cannot be read: {error.strerror}")]) from None
        return cls(config, host, tls)

    @asynccontextmanager
    async def serving(self, find: Find, base: str) -> AsyncIterator[None]:
        """Serve while entered.

        Args:
            find: Gives agents by the tenant of a request.
            base: How URLs of this gateway begin, for cards; "" where that is not known.
        """
        config = self._config
        faces = Faces(find, config.tenant, base, self.address, secure=config.certfile is not None)
        add_to_server: Any = add_A2AServiceServicer_to_server
        add_to_server(faces, self._server)
        await self._server.start()
        try:
            yield
        finally:
            await self._server.stop(config.drain)


def _tls(config: GrpcConfig, host: Host) -> grpc.ServerCredentials | None:
    if config.certfile is None or config.keyfile is None:
        return None
    pair = ((host.base / config.keyfile).read_bytes(), (host.base / config.certfile).read_bytes())
    authorities = (host.base / config.ca_certs).read_bytes() if config.ca_certs is not None else None
    return grpc.ssl_server_credentials([pair], authorities, require_client_auth=authorities is not None)
