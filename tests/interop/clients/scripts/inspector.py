"""The MCP Inspector's CLI: one process, so one connection, for every act."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import anyio
from acts import Answer, Peer, Plan, main

NO_FLAG = "the CLI has no {}"
ONE_SHOT = "the CLI answers no requests of a server"


class InspectorFailed(Exception):
    """The CLI printed an error envelope, or nothing."""


@dataclass
class Inspector(Peer):
    """`mcp-inspector --cli`."""

    initialized: Any = None

    unsupported: ClassVar[dict[str, str]] = {
        "complete": NO_FLAG.format("completion"),
        "progress": NO_FLAG.format("sight of progress"),
        "elicit": ONE_SHOT,
        "elicit-url": ONE_SHOT,
        "research": ONE_SHOT,
        "sample": ONE_SHOT,
        "roots": ONE_SHOT,
        "own-roots": NO_FLAG.format("roots"),
        "watch": NO_FLAG.format("subscriptions"),
        "logging": NO_FLAG.format("sight of log messages"),
        "cancel": NO_FLAG.format("way to cancel"),
    }

    async def run(self, method: str, *options: str) -> dict[str, Any]:
        """Run the CLI once.

        Raises:
            InspectorFailed: It reported an error.
        """
        command = [os.environ["INSPECTOR_NODE"], os.environ["INSPECTOR"], "--cli"]
        command += ["--format", "json", "--protocol-era", self.plan.era, "--method", method, *options]
        if self.plan.command:
            command += ["--transport", "stdio", "--", *self.plan.command]
        else:
            command += ["--server-url", self.plan.url, "--transport", self.plan.way]
        done = await anyio.run_process(command, stderr=subprocess.PIPE, check=False)
        text = (done.stdout.strip() or done.stderr.strip()).decode()
        answer = json.loads(text) if text.startswith("{") else {}
        if "result" not in answer:
            raise InspectorFailed(answer.get("error", {}).get("message", text))
        found: dict[str, Any] = answer["result"]
        return found

    def connection(self) -> dict[str, Any]:
        """What was negotiated."""
        version = self.initialized["protocolVersion"]
        return {
            "era": "modern" if version >= "2026" else "legacy",
            "version": version,
            "server": self.initialized["serverInfo"]["name"],
        }

    async def names(self, kind: str) -> list[str]:
        """A list; the CLI follows the pages itself."""
        method, field, name = {
            "tools": ("tools/list", "tools", "name"),
            "resources": ("resources/list", "resources", "uri"),
            "templates": ("resources/templates/list", "resourceTemplates", "uriTemplate"),
            "prompts": ("prompts/list", "prompts", "name"),
        }[kind]
        return [item[name] for item in (await self.run(method))[field]]

    async def call(self, name: str, arguments: dict[str, Any]) -> Answer:
        """A tool call."""
        options = ["--tool-name", name, "--tool-args-json", json.dumps(arguments)]
        result = await self.run("tools/call", *options)
        content = result["content"]
        return Answer(
            text="\n".join(block["text"] for block in content if block["type"] == "text"),
            error=bool(result.get("isError")),
            kinds=[block["type"] for block in content],
            structured=result.get("structuredContent"),
        )

    async def read(self, uri: str) -> str:
        """A resource."""
        return "".join(part["text"] for part in (await self.run("resources/read", "--uri", uri))["contents"])

    async def prompt(self, name: str, arguments: dict[str, str]) -> str:
        """A prompt."""
        pairs = [f"{key}={value}" for key, value in arguments.items()]
        result = await self.run("prompts/get", "--prompt-name", name, "--prompt-args", *pairs)
        return "\n".join(message["content"]["text"] for message in result["messages"])


@asynccontextmanager
async def connect(plan: Plan) -> AsyncIterator[Peer]:
    """Connect once, to see what is negotiated."""
    peer = Inspector(plan)
    peer.initialized = await peer.run("initialize")
    yield peer


if __name__ == "__main__":
    main(connect)
