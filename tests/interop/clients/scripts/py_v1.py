"""The Python SDK 1.x."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import mcp.types as types
from acts import Answer, Peer, Plan, main
from mcp import ClientSession, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.websocket import websocket_client
from pydantic import AnyUrl


@dataclass
class V1(Peer):
    """`mcp.ClientSession`."""

    session: Any = None
    initialized: Any = None

    def connection(self) -> dict[str, Any]:
        """What was negotiated."""
        return {
            "era": "legacy",
            "version": self.initialized.protocolVersion,
            "server": self.initialized.serverInfo.name,
        }

    async def names(self, kind: str) -> list[str]:
        """All pages of a list."""
        session = self.session
        verb, field, name = {
            "tools": (session.list_tools, "tools", "name"),
            "resources": (session.list_resources, "resources", "uri"),
            "templates": (session.list_resource_templates, "resourceTemplates", "uriTemplate"),
            "prompts": (session.list_prompts, "prompts", "name"),
        }[kind]
        found: list[str] = []
        params = None
        while True:
            page = await verb(params=params)
            found += [str(getattr(item, name)) for item in getattr(page, field)]
            if page.nextCursor is None:
                return found
            params = types.PaginatedRequestParams(cursor=page.nextCursor)

    async def call(self, name: str, arguments: dict[str, Any]) -> Answer:
        """A tool call."""

        async def progressed(value: float, total: float | None, message: str | None) -> None:
            self.progress.append(value)

        return _answer(await self.session.call_tool(name, arguments, progress_callback=progressed))

    async def task(self, name: str, arguments: dict[str, Any]) -> tuple[list[str], Answer]:
        """A tool call as a task, in the way of 2025-11-25."""
        tasks = self.session.experimental
        ident = (await tasks.call_tool_as_task(name, arguments)).task.taskId
        seen: list[str] = []
        async for state in tasks.poll_task(ident):
            seen.append(state.status)
            if state.status == "input_required":  # it asks whoever asks for its result
                break
        return seen, _answer(await tasks.get_task_result(ident, types.CallToolResult))

    async def read(self, uri: str) -> str:
        """A resource."""
        return "".join(part.text for part in (await self.session.read_resource(AnyUrl(uri))).contents)

    async def prompt(self, name: str, arguments: dict[str, str]) -> str:
        """A prompt."""
        result = await self.session.get_prompt(name, arguments)
        return "\n".join(message.content.text for message in result.messages)

    async def complete(self, prompt: str, argument: str, value: str) -> list[str]:
        """A completion."""
        reference = types.PromptReference(type="ref/prompt", name=prompt)
        result = await self.session.complete(reference, {"name": argument, "value": value})
        return list(result.completion.values)

    def watching(self, uri: str) -> AbstractAsyncContextManager[None]:
        """A subscription of the session."""
        return self._subscribed(AnyUrl(uri))

    @asynccontextmanager
    async def _subscribed(self, uri: AnyUrl) -> AsyncIterator[None]:
        await self.session.subscribe_resource(uri)
        yield
        await self.session.unsubscribe_resource(uri)

    async def log_level(self, level: str) -> None:
        """`logging/setLevel`."""
        await self.session.set_logging_level(level)


def _answer(result: Any) -> Answer:
    return Answer(
        text="\n".join(block.text for block in result.content if block.type == "text"),
        error=bool(result.isError),
        kinds=[block.type for block in result.content],
        structured=result.structuredContent,
    )


def _transport(plan: Plan) -> Any:
    """How the plan wants it to come in."""
    if plan.command:
        program, *arguments = plan.command
        return stdio_client(StdioServerParameters(command=program, args=arguments))
    over = {"http": streamable_http_client, "sse": sse_client, "websocket": websocket_client}
    return over[plan.way](plan.url)


@asynccontextmanager
async def connect(plan: Plan) -> AsyncIterator[Peer]:
    """Open a session."""
    peer = V1(plan)

    async def elicit(context: Any, params: Any) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content=peer.elicited(params.mode or "form"))

    async def sample(context: Any, params: Any) -> types.CreateMessageResult:
        text = peer.sampled(params.messages[0].content.text)
        return types.CreateMessageResult(
            role="assistant", model="none", content=types.TextContent(type="text", text=text)
        )

    async def roots(context: Any) -> types.ListRootsResult:
        return types.ListRootsResult(roots=[types.Root(uri=peer.rooted(), name="work")])

    async def log(params: Any) -> None:
        peer.logged.set()

    async def receive(message: Any) -> None:
        if isinstance(message, types.ServerNotification) and isinstance(
            message.root, types.ResourceUpdatedNotification
        ):
            peer.updated.set()

    try:
        async with (
            _transport(plan) as (incoming, outgoing, *_),
            ClientSession(
                incoming,
                outgoing,
                elicitation_callback=elicit,
                sampling_callback=sample,
                list_roots_callback=roots,
                logging_callback=log,
                message_handler=receive,
            ) as session,
        ):
            peer.session = session
            peer.initialized = await session.initialize()
            yield peer
    except* anyio.BrokenResourceError:
        if not plan.command:  # its stdio client trips over what a server says while the session closes
            raise


if __name__ == "__main__":
    main(connect)
