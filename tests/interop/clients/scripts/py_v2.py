"""The Python SDK 2.x."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import mcp_types as types
from acts import Answer, Peer, Plan, Unsupported, main
from mcp import Client, StdioServerParameters
from mcp.client.sse import sse_client

MODES = {"legacy": "legacy", "auto": "auto", "modern": "2026-07-28"}


@dataclass
class V2(Peer):
    """`mcp.Client`."""

    client: Any = None

    def connection(self) -> dict[str, Any]:
        """What was negotiated; a pinned version is not, so the server's name is not known then."""
        version, info = self.client.protocol_version, self.client.server_info
        return {
            "era": "modern" if version >= "2026" else "legacy",
            "version": version,
            "server": info.name if info else None,
        }

    async def names(self, kind: str) -> list[str]:
        """All pages of a list."""
        client = self.client
        verb, field, name = {
            "tools": (client.list_tools, "tools", "name"),
            "resources": (client.list_resources, "resources", "uri"),
            "templates": (client.list_resource_templates, "resource_templates", "uri_template"),
            "prompts": (client.list_prompts, "prompts", "name"),
        }[kind]
        found: list[str] = []
        cursor = None
        while True:
            page = await verb(cursor=cursor)
            found += [str(getattr(item, name)) for item in getattr(page, field)]
            cursor = page.next_cursor
            if cursor is None:
                return found

    async def call(self, name: str, arguments: dict[str, Any]) -> Answer:
        """A tool call."""

        async def progressed(value: float, total: float | None, message: str | None) -> None:
            self.progress.append(value)

        result = await self.client.call_tool(name, arguments, progress_callback=progressed)
        return Answer(
            text="\n".join(block.text for block in result.content if block.type == "text"),
            error=bool(result.is_error),
            kinds=[block.type for block in result.content],
            structured=result.structured_content,
        )

    async def read(self, uri: str) -> str:
        """A resource."""
        return "".join(part.text for part in (await self.client.read_resource(uri)).contents)

    async def prompt(self, name: str, arguments: dict[str, str]) -> str:
        """A prompt."""
        return "\n".join(
            message.content.text for message in (await self.client.get_prompt(name, arguments)).messages
        )

    async def complete(self, prompt: str, argument: str, value: str) -> list[str]:
        """A completion."""
        reference = types.PromptReference(type="ref/prompt", name=prompt)
        result = await self.client.complete(reference, {"name": argument, "value": value})
        return list(result.completion.values)

    def watching(self, uri: str) -> AbstractAsyncContextManager[None]:
        """A listen stream, or a subscription of the session."""
        return self._listening(uri) if self.connection()["era"] == "modern" else self._subscribed(uri)

    @asynccontextmanager
    async def _subscribed(self, uri: str) -> AsyncIterator[None]:
        await self.client.subscribe_resource(uri)
        yield
        await self.client.unsubscribe_resource(uri)

    @asynccontextmanager
    async def _listening(self, uri: str) -> AsyncIterator[None]:
        async def follow(events: Any) -> None:
            async for _ in events:
                self.updated.set()

        async with (
            self.client.listen(resource_subscriptions=[uri]) as events,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(follow, events)
            yield
            tasks.cancel_scope.cancel()

    async def log_level(self, level: str) -> None:
        """`logging/setLevel`."""
        if self.connection()["era"] == "modern":
            raise Unsupported(
                "a modern client gets log messages of its own requests only; the server's are timed"
            )
        await self.client.set_logging_level(level)


def _server(plan: Plan) -> Any:
    """Where the plan wants it to go, and how."""
    if plan.command:
        program, *arguments = plan.command
        return StdioServerParameters(command=program, args=arguments)
    return sse_client(plan.url) if plan.way == "sse" else plan.url


@asynccontextmanager
async def connect(plan: Plan) -> AsyncIterator[Peer]:
    """Connect in the plan's era."""
    peer = V2(plan)

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
        if isinstance(message, types.ResourceUpdatedNotification):
            peer.updated.set()

    async with Client(
        _server(plan),
        mode=MODES[plan.era],
        elicitation_callback=elicit,
        sampling_callback=sample,
        list_roots_callback=roots,
        logging_callback=log,
        message_handler=receive,
    ) as client:
        peer.client = client
        yield peer


if __name__ == "__main__":
    main(connect)
