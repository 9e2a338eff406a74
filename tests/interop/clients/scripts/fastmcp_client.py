"""FastMCP's client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import mcp_types as types
from acts import Answer, Peer, Plan, Unsupported, main
from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from fastmcp.client.transports import SSETransport, StdioTransport
from mcp.client.subscriptions import listen

MODES = {"legacy": "legacy", "auto": "auto", "modern": "2026-07-28"}


@dataclass
class FastMcp(Peer):
    """`fastmcp.Client`."""

    client: Any = None

    def connection(self) -> dict[str, Any]:
        """What was negotiated."""
        version, info = self.client.protocol_version, self.client.server_info
        return {
            "era": "modern" if version >= "2026" else "legacy",
            "version": version,
            "server": info.name if info else None,
        }

    async def names(self, kind: str) -> list[str]:
        """A list; the client follows the pages itself."""
        client = self.client
        verb, name = {
            "tools": (client.list_tools, "name"),
            "resources": (client.list_resources, "uri"),
            "templates": (client.list_resource_templates, "uri_template"),
            "prompts": (client.list_prompts, "name"),
        }[kind]
        return [str(getattr(item, name)) for item in await verb()]

    async def call(self, name: str, arguments: dict[str, Any]) -> Answer:
        """A tool call."""

        async def progressed(value: float, total: float | None, message: str | None) -> None:
            self.progress.append(value)

        result = await self.client.call_tool(
            name, arguments, progress_handler=progressed, raise_on_error=False
        )
        return Answer(
            text="\n".join(block.text for block in result.content if block.type == "text"),
            error=bool(result.is_error),
            kinds=[block.type for block in result.content],
            structured=result.structured_content,
        )

    async def read(self, uri: str) -> str:
        """A resource."""
        return "".join(part.text for part in await self.client.read_resource(uri))

    async def prompt(self, name: str, arguments: dict[str, str]) -> str:
        """A prompt."""
        result = await self.client.get_prompt(name, arguments)
        return "\n".join(message.content.text for message in result.messages)

    async def complete(self, prompt: str, argument: str, value: str) -> list[str]:
        """A completion."""
        reference = types.PromptReference(type="ref/prompt", name=prompt)
        return list((await self.client.complete(reference, {"name": argument, "value": value})).values)

    def watching(self, uri: str) -> AbstractAsyncContextManager[None]:
        """The SDK's session beneath: the client has no call for it."""
        return self._watching(uri)

    @asynccontextmanager
    async def _watching(self, uri: str) -> AsyncIterator[None]:
        session = self.client.session
        if self.connection()["era"] == "modern":
            async with listen(session, resource_subscriptions=[uri]):
                yield
        else:
            await session.subscribe_resource(uri)
            yield
            await session.unsubscribe_resource(uri)

    async def log_level(self, level: str) -> None:
        """`logging/setLevel`."""
        if self.connection()["era"] == "modern":
            raise Unsupported(
                "a modern client gets log messages of its own requests only; the server's are timed"
            )
        await self.client.set_logging_level(level)


def _transport(plan: Plan) -> Any:
    """Where the plan wants it to go, and how."""
    if plan.command:
        program, *arguments = plan.command
        return StdioTransport(program, arguments)
    return SSETransport(plan.url) if plan.way == "sse" else plan.url


@asynccontextmanager
async def connect(plan: Plan) -> AsyncIterator[Peer]:
    """Connect in the plan's era."""
    peer = FastMcp(plan)

    async def elicit(message: str, response_type: Any, params: Any, context: Any) -> Any:
        return ElicitResult(action="accept", content=peer.elicited(params.mode or "form"))

    async def sample(messages: Any, params: Any, context: Any) -> str:
        return peer.sampled(messages[0].content.text)

    async def roots(context: Any) -> list[str]:
        return [peer.rooted()]

    async def log(message: Any) -> None:
        peer.logged.set()

    async def receive(message: Any) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            peer.updated.set()
        await anyio.lowlevel.checkpoint()

    async with Client(
        _transport(plan),
        mode=MODES[plan.era],
        elicitation_handler=elicit,
        sampling_handler=sample,
        roots=roots,
        log_handler=log,
        message_handler=receive,
    ) as client:
        peer.client = client
        yield peer


if __name__ == "__main__":
    main(connect)
