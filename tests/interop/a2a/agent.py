"""A scripted A2A 1.0 agent on the official SDK, with all three bindings.

`python -m tests.interop.a2a.agent` prints `ready http://127.0.0.1:PORT` on stdout once it accepts calls, and
stops on SIGTERM. What it does with a message, `script` says.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

import attrs
import grpc
import httpx
import uvicorn
from a2a.server.request_handlers import DefaultRequestHandler, GrpcHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import (
    BasePushNotificationSender,
    InMemoryPushNotificationConfigStore,
    InMemoryTaskStore,
)
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill
from a2a.types.a2a_pb2_grpc import add_A2AServiceServicer_to_server
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from tests.interop.a2a.script import Scripted

BINDINGS = ("JSONRPC", "HTTP+JSON", "GRPC")


@attrs.define(eq=False)
class Agent:
    """A running agent.

    Attributes:
        url: Where its card is, and its JSON-RPC binding.
        grpc: `host:port` of its gRPC binding.
        card: Its card.
        script: What it does.
    """

    url: str
    grpc: str
    card: AgentCard
    script: Scripted
    die: Callable[[], Awaitable[None]]
    """Ends it at once, in the middle of whatever it does."""
    paths: list[str]
    """What was asked for over HTTP."""


def card_of(url: str, rpc: str, bindings: Sequence[str], *, push: bool, tenant: str = "") -> AgentCard:
    """The agent's card."""
    urls = {"JSONRPC": url, "HTTP+JSON": f"{url}/rest", "GRPC": rpc}
    return AgentCard(
        name="Scripted",
        description="Does what the message's id says",
        version="1.0.0",
        supported_interfaces=[
            AgentInterface(url=urls[name], protocol_binding=name, protocol_version="1.0", tenant=tenant)
            for name in bindings
        ],
        capabilities=AgentCapabilities(streaming=True, push_notifications=push),
        default_input_modes=["text/plain", "application/json"],
        default_output_modes=["text/plain", "application/json"],
        skills=[
            AgentSkill(id="script", name="Script", description="Acts by the message's id", tags=["test"])
        ],
    )


@contextlib.asynccontextmanager
async def serving(
    bindings: Sequence[str] = BINDINGS,
    *,
    push: bool = False,
    tenant: str = "",
    compat: bool = False,
    extended: bool = False,
    streams: bool = True,
    icon: str = "",
) -> AsyncIterator[Agent]:
    """The agent, on ports of its own.

    Args:
        bindings: What its card lists, the preferred one first.
        push: Whether it calls webhooks.
        tenant: What clients have to say in `tenant`.
        compat: Whether it understands A2A 0.3 too.
        extended: Whether it has an extended card.
        streams: Whether it streams.
        icon: What its card says is its icon.
    """
    script = Scripted()
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    rpc = grpc.aio.server()
    address = f"127.0.0.1:{rpc.add_insecure_port('127.0.0.1:0')}"
    card = card_of(url, address, bindings, push=push, tenant=tenant)
    card.capabilities.extended_agent_card = extended
    if icon:
        card.icon_url = icon
    card.capabilities.streaming = streams
    known = AgentCard()
    known.CopyFrom(card)
    known.description = "For those who are known"
    async with httpx.AsyncClient(trust_env=False) as web:
        configs = InMemoryPushNotificationConfigStore() if push else None
        handler = DefaultRequestHandler(
            agent_executor=script,
            task_store=InMemoryTaskStore(),
            agent_card=card,
            push_config_store=configs,
            push_sender=BasePushNotificationSender(web, configs) if configs else None,
            validate_input_modes=True,
            extended_agent_card=known if extended else None,
        )
        add_A2AServiceServicer_to_server(GrpcHandler(handler), rpc)
        routes = [
            *create_agent_card_routes(card, cache_control="public, max-age=60"),
            *create_jsonrpc_routes(handler, "/", enable_v0_3_compat=compat),
            # Mounted, for the SDK's own prefix stands behind the tenant.
            Mount("/rest", routes=create_rest_routes(handler, enable_v0_3_compat=compat)),
        ]
        paths: list[str] = []
        inner = Starlette(routes=routes)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            paths.append(scope["path"])
            await inner(scope, receive, send)

        config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
        server = _Quiet(config)
        await rpc.start()
        web_server = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await server.up.wait()

            async def die() -> None:
                for each in server.servers:
                    each.close()
                for connection in list(server.server_state.connections):
                    connection.transport.abort()  # type: ignore[union-attr]
                await rpc.stop(0)

            yield Agent(url, address, card, script, die, paths)
        finally:
            script.go.set()
            server.should_exit = True
            await rpc.stop(0)
            await web_server
            await handler.aclose()


class _Quiet(uvicorn.Server):
    """Takes no signals, and says when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


async def main(*, push: bool) -> None:
    """Serve until SIGTERM or SIGINT."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with serving(push=push) as agent:
        print(f"ready {agent.url}", flush=True)
        await ended.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A scripted A2A agent.")
    parser.add_argument("--port", type=int, choices=[0], default=0, help="the system chooses")
    parser.add_argument("--push", action="store_true", help="call webhooks")
    asyncio.run(main(push=parser.parse_args().push))
