"""A real A2A agent, made with the SDK and served by Hypercorn: what it is told decides what it does."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import grpc
import trustme
from a2a.compat.v0_3 import a2a_v0_3_pb2_grpc
from a2a.compat.v0_3.grpc_handler import CompatGrpcHandler
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler, GrpcHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    Part,
    Task,
    TaskState,
    TaskStatus,
    a2a_pb2_grpc,
)
from google.protobuf.json_format import ParseDict
from hypercorn.asyncio import serve
from hypercorn.config import Config
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from portico.api import Json
from portico_plugins.a2a.protojson import to_json

SKILLS = (("greet", ("talk",)), ("count.up", ("numbers", "internal")))


@attrs.define(eq=False)
class Scripted(AgentExecutor):
    """Does what the first word of a message says.

    Attributes:
        heard: Every message, as ProtoJSON.
        headers: Of the requests that brought them.
        tenants: Named by those requests.
        cancelled: Ids of tasks that were cancelled.
        began: Set when a task that waits has begun.
        release: Ends such a task.
        authorized: Ends one that waits for an authorization after that.
        gone: Set when a task was cancelled.
    """

    heard: list[Json] = attrs.field(factory=list)
    headers: list[dict[str, str]] = attrs.field(factory=list)
    tenants: list[str] = attrs.field(factory=list)
    cancelled: list[str] = attrs.field(factory=list)
    began: asyncio.Event = attrs.field(factory=asyncio.Event)
    release: asyncio.Event = attrs.field(factory=asyncio.Event)
    authorized: asyncio.Event = attrs.field(factory=asyncio.Event)
    gone: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        assert context.message is not None
        self.heard.append(to_json(context.message))
        self.headers.append(context.call_context.state.get("headers", {}))
        self.tenants.append(context.tenant)
        updater = TaskUpdater(event_queue, context.task_id or "", context.context_id or "")
        word, _, rest = context.get_user_input().partition(" ")
        if word == "say":
            await event_queue.enqueue_event(updater.new_agent_message([Part(text=rest)]))
            return
        if context.current_task is None:
            status = TaskStatus(state=TaskState.TASK_STATE_SUBMITTED)
            task = Task(id=context.task_id, context_id=context.context_id, status=status)
            task.history.append(context.message)
            await event_queue.enqueue_event(task)
        else:
            word, rest = "answered", context.get_user_input()
        await getattr(self, f"_{word}", self._echo)(updater, rest or word)

    async def _echo(self, updater: TaskUpdater, rest: str) -> None:
        await updater.start_work(updater.new_agent_message([Part(text="on it")]))
        await updater.add_artifact([Part(text=f"Hello, {rest}!")], name="greeting", artifact_id="a1")
        await updater.complete()

    async def _answered(self, updater: TaskUpdater, rest: str) -> None:
        last = self.heard[-1]["parts"][0]
        if rest.startswith("again"):
            return await self._ask(updater, "Really")
        await updater.add_artifact([ParseDict(last, Part())], artifact_id="a1")
        return await updater.complete()

    async def _ask(self, updater: TaskUpdater, rest: str) -> None:
        await updater.requires_input(updater.new_agent_message([Part(text=f"{rest}?")]))

    async def _form(self, updater: TaskUpdater, rest: str) -> None:
        schema = {"type": "object", "properties": {"seats": {"type": "integer"}}, "required": ["seats"]}
        form = ParseDict({"data": {"requestedSchema": schema}}, Part())
        await updater.requires_input(updater.new_agent_message([Part(text="How many?"), form]))

    async def _auth(self, updater: TaskUpdater, rest: str) -> None:
        await updater.requires_auth(updater.new_agent_message([Part(text=rest)]))
        self.began.set()
        await self.release.wait()
        await updater.start_work()
        await updater.add_artifact([Part(text="authorized")], artifact_id="a1")
        await updater.complete()

    async def _fail(self, updater: TaskUpdater, rest: str) -> None:
        await updater.failed(updater.new_agent_message([Part(text=rest)]))

    async def _reject(self, updater: TaskUpdater, rest: str) -> None:
        await updater.reject()

    async def _raise(self, updater: TaskUpdater, rest: str) -> None:
        raise RuntimeError("broken inside, at /srv/secret.py")

    async def _parts(self, updater: TaskUpdater, rest: str) -> None:
        data = ParseDict({"data": {"n": 5, "list": [1.5, None]}}, Part())
        await updater.add_artifact([Part(text="see"), data], name="report", artifact_id="a1")
        files = [
            Part(raw=b"\x89PNG", media_type="image/png", filename="a.png"),
            Part(raw=b"x" * 5000, media_type="application/pdf", filename="b.pdf"),
            Part(url="https://files.example/c.csv", media_type="text/csv"),
        ]
        await updater.add_artifact(files, artifact_id="a2")
        await updater.complete(updater.new_agent_message([Part(text="done")]))

    async def _steps(self, updater: TaskUpdater, rest: str) -> None:
        for number in range(int(rest)):
            await updater.start_work(updater.new_agent_message([Part(text=f"step {number}")]))
        for number, piece in enumerate(("one, ", "two, ", "three")):
            await updater.add_artifact(
                [Part(text=piece)], artifact_id="a1", append=number > 0, last_chunk=number == 2
            )
        await updater.complete()

    async def _wait(self, updater: TaskUpdater, rest: str) -> None:
        await updater.start_work(updater.new_agent_message([Part(text="waiting")]))
        self.began.set()
        await self.release.wait()
        await updater.add_artifact([Part(text=f"waited {rest}")], artifact_id="a1")
        await updater.complete()

    async def _late(self, updater: TaskUpdater, rest: str) -> None:
        """Asks for input, but only when it is told to go on."""
        await updater.start_work()
        self.began.set()
        await self.release.wait()
        await self._ask(updater, rest)

    async def _unauthorized(self, updater: TaskUpdater, rest: str) -> None:
        """Asks for an authorization, but only when it is told to go on."""
        await updater.start_work()
        await self.release.wait()
        await updater.requires_auth(updater.new_agent_message([Part(text=rest)]))
        await self.authorized.wait()
        await updater.start_work()
        await updater.add_artifact([Part(text="authorized")], artifact_id="a1")
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        self.cancelled.append(context.task_id or "")
        await TaskUpdater(event_queue, context.task_id or "", context.context_id or "").cancel()
        self.gone.set()


@attrs.frozen
class Tls:
    """Files of a certificate, its key, and who vouches for it."""

    certificate: Path
    key: Path
    authority: Path


def certified(folder: Path) -> Tls:
    """A certificate for `localhost`."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    made = Tls(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")
    made.certificate.write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(made.key))
    authority.cert_pem.write_to_path(str(made.authority))
    return made


@attrs.define(eq=False)
class Serving:
    """A running agent.

    Attributes:
        url: Where it is.
        script: What it does.
        card: Its card, which can be changed while it runs.
        paths: What was asked for, by method and path.
        grpc: Where it is for gRPC.
        away: Whether it answers everything with 503.
    """

    url: str
    script: Scripted
    card: AgentCard
    paths: list[str]
    grpc: str = ""
    away: bool = False


def card(streaming: bool = True, skills: Sequence[tuple[str, Sequence[str]]] = SKILLS) -> AgentCard:
    return AgentCard(
        name="Greeter",
        description="Greets whoever it is told to.",
        version="1.0.0",
        capabilities=AgentCapabilities(streaming=streaming),
        default_input_modes=["text/plain", "image/png"],
        default_output_modes=["text/plain"],
        skills=[
            AgentSkill(
                id=ident,
                name=ident.title(),
                description=f"Can {ident}.",
                tags=list(tags),
                examples=[f"please {ident}"],
            )
            for ident, tags in skills
        ],
    )


@contextlib.asynccontextmanager
async def hypercorn(app: ASGIApp, tls: Tls | None = None) -> AsyncIterator[int]:
    """An ASGI app on a free port, which is given."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    config = Config()
    config.bind = [f"fd://{sock.fileno()}"]
    config.graceful_timeout = 0.1
    config.errorlog = None
    if tls is not None:
        config.certfile, config.keyfile = str(tls.certificate), str(tls.key)
    over = asyncio.Event()
    port = int(sock.getsockname()[1])
    sock.listen()
    task = asyncio.create_task(serve(app, config, shutdown_trigger=over.wait))  # type: ignore[arg-type]
    try:
        yield port
    finally:
        over.set()
        await task
        sock.detach()


@contextlib.asynccontextmanager
async def agent(
    bindings: Sequence[str] = ("JSONRPC",),
    version: str = "1.0",
    tenant: str = "",
    path: str = "",
    change: Callable[[AgentCard], object] | None = None,
    wrap: Callable[[ASGIApp], ASGIApp] | None = None,
    tls: Tls | None = None,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    **shape: Any,
) -> AsyncIterator[Serving]:
    """A running agent.

    Args:
        bindings: What its card offers, in this order.
        version: Of the protocol.
        tenant: What its interfaces declare.
        path: Where it is below the root.
        change: Changes the card before it is served.
        wrap: Put around the whole application.
        tls: With TLS; the agent is then called `localhost`.
        interceptors: Of its gRPC server.
        shape: Of `card`.
    """
    script, made, paths = Scripted(), card(**shape), list[str]()
    served: list[Serving] = []
    handler = DefaultRequestHandler(agent_executor=script, task_store=InMemoryTaskStore(), agent_card=made)
    legacy = version.startswith("0.")
    # The SDK's routes of tenants know of no prefix.
    rest = "" if tenant else f"{path}/rest"
    routes = [
        *create_agent_card_routes(made, card_url=f"{path}/.well-known/agent-card.json"),
        *create_jsonrpc_routes(handler, f"{path}/rpc", enable_v0_3_compat=legacy),
        *create_rest_routes(handler, path_prefix=rest, enable_v0_3_compat=legacy),
    ]
    inner: ASGIApp = Starlette(routes=routes)
    app = wrap(inner) if wrap is not None else inner

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            paths.append(f"{scope['method']} {scope['path']}")
            if served and served[0].away:
                await Response(status_code=503)(scope, receive, send)
                return
        await app(scope, receive, send)

    server = grpc.aio.server(interceptors=interceptors)
    if legacy:
        a2a_v0_3_pb2_grpc.add_A2AServiceServicer_to_server(CompatGrpcHandler(handler), server)  # type: ignore[no-untyped-call]
    else:
        a2a_pb2_grpc.add_A2AServiceServicer_to_server(GrpcHandler(handler), server)  # type: ignore[no-untyped-call]
    if tls is None:
        host, scheme = "127.0.0.1", ""
        target = f"{host}:{server.add_insecure_port('127.0.0.1:0')}"
    else:
        host, scheme = "localhost", "s"
        pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
        credentials = grpc.ssl_server_credentials([pair])
        target = f"{host}:{server.add_secure_port('127.0.0.1:0', credentials)}"
    async with hypercorn(counted, tls) as port:
        origin = f"http{scheme}://{host}:{port}"
        urls = {"JSONRPC": f"{origin}{path}/rpc", "HTTP+JSON": f"{origin}{rest}", "GRPC": target}
        for binding in bindings:
            made.supported_interfaces.append(
                AgentInterface(
                    url=urls[binding], protocol_binding=binding, protocol_version=version, tenant=tenant
                )
            )
        if change is not None:
            change(made)
        if "GRPC" in bindings:
            await server.start()
        try:
            served.append(Serving(f"{origin}{path}", script, made, paths, f"grpc{scheme}://{target}"))
            yield served[0]
        finally:
            script.release.set()
            await server.stop(0.1)
