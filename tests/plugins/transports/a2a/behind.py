"""A scripted agent behind a gateway on a socket of its own, and clients of the SDK for it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import grpc
import httpx
from a2a.client import Client, ClientConfig, create_client
from a2a.client.card_resolver import A2ACardResolver
from a2a.types import AgentCard, Message, Part, Role, SendMessageRequest, StreamResponse, Task
from grpc.aio import Metadata

from portico.testing import RunningGateway, running_gateway
from tests.interop.a2a.agent import BINDINGS, Agent, serving
from tests.plugins.transports import scripted

ALICE, BOB = "alice-has-a-long-token", "bob-has-a-long-token-too"
PEOPLE = f'[auth.people]\nuse = "token"\ntokens = {{ alice = "{ALICE}", bob = "{BOB}" }}\n'


@asynccontextmanager
async def listening(running: RunningGateway) -> AsyncIterator[str]:
    """Serve a gateway by the server it has; gives its URL."""
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    draining, stopping = asyncio.Event(), asyncio.Event()
    gateway = running.gateway
    (server,) = gateway.servers.values()
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    task = asyncio.ensure_future(
        server.serve(gateway.app, [sock], draining.wait, stopping.wait, gateway.admit)
    )
    try:
        yield url
    finally:
        draining.set()
        stopping.set()
        await task


@attrs.frozen(eq=False)
class Behind:
    """An agent, and the gateway in front of it.

    Attributes:
        agent: The agent.
        url: Where the agent is behind the gateway.
        running: The gateway.
    """

    agent: Agent
    url: str
    running: RunningGateway

    @asynccontextmanager
    async def client(
        self, binding: str = "JSONRPC", token: str = "", *, url: str = "", streaming: bool = False
    ) -> AsyncIterator[Client]:
        """A client of the SDK that goes by the card.

        Args:
            binding: How it speaks to the gateway.
            token: Its bearer token, "" for none.
            url: Another agent than the one behind.
            streaming: Whether it wants streams.
        """
        headers = {"authorization": f"Bearer {token}"} if token else {}
        async with httpx.AsyncClient(headers=headers, timeout=10, trust_env=False) as http:
            config = ClientConfig(
                httpx_client=http,
                supported_protocol_bindings=[binding],
                streaming=streaming,
                grpc_channel_factory=lambda target: _channel(target, token),
            )
            async with await create_client(url or self.url, client_config=config) as client:
                yield client

    async def card(self, token: str = "", url: str = "") -> AgentCard:
        """The card as somebody sees it."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        async with httpx.AsyncClient(headers=headers, timeout=10, trust_env=False) as http:
            return await A2ACardResolver(http, url or self.url).get_agent_card()


def _channel(target: str, token: str) -> grpc.aio.Channel:
    interceptors = [_Unary(token), _Stream(token)] if token else []
    return grpc.aio.insecure_channel(target, interceptors=interceptors)


class _Authorized:
    """Adds a bearer token to the metadata of calls."""

    def __init__(self, token: str) -> None:
        self._pair = ("authorization", f"Bearer {token}")

    def details(self, details: Any) -> Any:
        metadata = Metadata(*(details.metadata or ()), self._pair)
        return grpc.aio.ClientCallDetails(
            details.method, details.timeout, metadata, details.credentials, details.wait_for_ready
        )


class _Unary(_Authorized, grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(self.details(client_call_details), request)


class _Stream(_Authorized, grpc.aio.UnaryStreamClientInterceptor):  # type: ignore[misc]
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(self.details(client_call_details), request)


@asynccontextmanager
async def behind(
    folder: Path,
    *,
    ways: Sequence[str] = ("JSONRPC",),
    people: bool = False,
    upstream: str = "",
    transport: str = "",
    more: str = "",
    **agent: Any,
) -> AsyncIterator[Behind]:
    """A scripted agent behind a gateway.

    Args:
        folder: For the gateway's state.
        ways: The bindings that the agent's card lists, the preferred one first.
        people: Whether clients have to be `ALICE` or `BOB`; else anybody may come in.
        upstream: More keys of the upstream's table.
        transport: More keys of the transport's table.
        more: More tables.
        agent: Of `serving`.
    """
    async with AsyncExitStack() as stack:
        found = await stack.enter_async_context(serving(ways, **agent))
        config = f"""
            {PEOPLE if people else ""}
            [upstreams.scripted]
            use = "a2a"
            url = "{found.url}"
            origins = ["grpc://{found.grpc}"]
            {upstream}
            [upstreams.tools]
            use = "scripted"
            [servers.default]
            upstreams = ["scripted", "tools"]
            {'auth = ["people"]' if people else ""}
            [servers.other]
            upstreams = ["tools"]
            {'auth = ["people"]' if people else ""}
            [transports.a2a]
            {transport}
            [transports.a2a.grpc]
            listen = "127.0.0.1:0"
            drain = 0.1
            {more}
        """
        running = await stack.enter_async_context(running_gateway(config, plugins=[scripted], base=folder))
        url = await stack.enter_async_context(listening(running))
        try:
            yield Behind(found, f"{url}/a2a/default/agents/scripted", running)
        finally:
            found.script.go.set()


def saying(ident: str, words: str = "hello", **more: Any) -> SendMessageRequest:
    """A message whose id says what the agent is to do."""
    message = Message(message_id=ident, role=Role.ROLE_USER, parts=[Part(text=words)], **more)
    return SendMessageRequest(message=message)


async def sent(client: Client, request: SendMessageRequest) -> list[StreamResponse]:
    """Everything that a message is answered with."""
    return [event async for event in client.send_message(request)]


async def task_of(client: Client, request: SendMessageRequest) -> Task:
    """The task that a message is answered with."""
    (event,) = await sent(client, request)
    assert event.WhichOneof("payload") == "task", event
    return event.task


__all__ = ["ALICE", "BINDINGS", "BOB", "Behind", "behind", "listening", "saying", "sent", "task_of"]
