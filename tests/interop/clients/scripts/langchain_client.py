"""langchain-mcp-adapters: tools as LangChain tools, each call in a session of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import mcp.types as types
from acts import Answer, Peer, Plan, main
from langchain_mcp_adapters.callbacks import Callbacks
from langchain_mcp_adapters.client import MultiServerMCPClient

SERVER = "gateway"
NO_CALL = "the adapters offer no {}"


@dataclass
class LangChain(Peer):
    """`MultiServerMCPClient`."""

    client: Any = None
    info: Any = None
    tools: Any = None

    unsupported: ClassVar[dict[str, str]] = {
        "templates": NO_CALL.format("resource templates"),
        "complete": NO_CALL.format("completion"),
        "watch": NO_CALL.format("subscriptions"),
        "logging": "each call has a session of its own, which is over when the server's timer fires",
        "own-roots": "each call has a session of its own, which is over when the server gets round to asking",
        "unknown-tool": "only listed tools become LangChain tools",
    }

    def connection(self) -> dict[str, Any]:
        """What was negotiated."""
        return {
            "era": "legacy",
            "version": self.info.protocolVersion,
            "server": self.info.serverInfo.name,
        }

    async def names(self, kind: str) -> list[str]:
        """A list; prompts can only be listed with the session beneath."""
        if kind == "tools":
            return [tool.name for tool in await self.client.get_tools()]
        if kind == "resources":
            return [str(blob.metadata["uri"]) for blob in await self.client.get_resources(SERVER)]
        async with self.client.session(SERVER) as session:
            return [prompt.name for prompt in (await session.list_prompts()).prompts]

    async def call(self, name: str, arguments: dict[str, Any]) -> Answer:
        """A call of a LangChain tool, as an agent makes it."""
        if self.tools is None:
            self.tools = {tool.name: tool for tool in await self.client.get_tools()}
        message = await self.tools[name].ainvoke(
            {"type": "tool_call", "id": "1", "name": name, "args": arguments}
        )
        blocks = message.content if isinstance(message.content, list) else [message.content]
        return Answer(
            text="\n".join(block["text"] for block in blocks if block["type"] == "text"),
            error=message.status == "error",
            kinds=[block["type"] for block in blocks],
            structured=message.artifact and message.artifact["structured_content"],
        )

    async def read(self, uri: str) -> str:
        """A resource as a LangChain blob."""
        return "".join(blob.as_string() for blob in await self.client.get_resources(SERVER, uris=uri))

    async def prompt(self, name: str, arguments: dict[str, str]) -> str:
        """A prompt as LangChain messages."""
        messages = await self.client.get_prompt(SERVER, name, arguments=arguments)
        return "\n".join(message.content for message in messages)


@asynccontextmanager
async def connect(plan: Plan) -> AsyncIterator[Peer]:
    """Describe the server; sessions are opened by each call."""
    peer = LangChain(plan)

    async def elicit(context: Any, params: Any, where: Any) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content=peer.elicited(params.mode or "form"))

    async def progressed(value: float, total: float | None, message: str | None, where: Any) -> None:
        peer.progress.append(value)

    async def sample(context: Any, params: Any) -> types.CreateMessageResult:
        text = peer.sampled(params.messages[0].content.text)
        return types.CreateMessageResult(
            role="assistant", model="none", content=types.TextContent(type="text", text=text)
        )

    async def roots(context: Any) -> types.ListRootsResult:
        return types.ListRootsResult(roots=[types.Root(uri=peer.rooted(), name="work")])

    peer.client = MultiServerMCPClient(
        {
            SERVER: {
                "transport": "streamable_http",
                "url": plan.url,
                "session_kwargs": {"sampling_callback": sample, "list_roots_callback": roots},
            }
        },
        callbacks=Callbacks(on_elicitation=elicit, on_progress=progressed),
    )
    peer.info = (await peer.client.get_server_info(server_name=SERVER))[SERVER]
    yield peer


if __name__ == "__main__":
    main(connect)
