"""A server written with the official SDK, for every transport: `sdk_server.py http|sse|stdio`."""

from __future__ import annotations

import socket
import sys
import warnings
from typing import Any

import anyio
import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from pydantic import BaseModel

warnings.simplefilter("ignore")
server = MCPServer("sdk", version="1.2.3", instructions="Be brief.", log_level="CRITICAL")


class Answer(BaseModel):
    answer: str


@server.tool()
def add(a: int, b: int) -> str:
    """Add."""
    return str(a + b)


@server.tool()
async def count(to: int, ctx: Context[Any]) -> str:
    """Report progress and log on the way."""
    for i in range(to):
        await ctx.report_progress(i + 1, to)
        await ctx.info(f"at {i + 1}")
    return "counted"


@server.tool()
async def ask(question: str, ctx: Context[Any]) -> str:
    """Elicit."""
    result = await ctx.elicit(question, Answer)
    return f"{result.action} {result.data.answer if result.action == 'accept' else ''}"


@server.tool()
async def roots(ctx: Context[Any]) -> str:
    """List the client's roots."""
    listed = await ctx.session.list_roots()
    return ",".join(str(root.uri) for root in listed.roots)


@server.tool()
async def nap(seconds: float) -> str:
    """Sleep."""
    await anyio.sleep(seconds)
    return "rested"


@server.tool()
async def grow(ctx: Context[Any]) -> str:
    """Add a tool and announce it in either era."""
    server.add_tool(lambda: "grown", name="grown", description="New.")
    await ctx.notify_tools_changed()
    await ctx.session.send_tool_list_changed()
    return "ok"


@server.tool()
async def touch(ctx: Context[Any]) -> str:
    """Announce that a resource changed, in the modern era."""
    await ctx.notify_resource_updated("notes://one")
    return "ok"


@server.resource("notes://one")
def note() -> str:
    """A note."""
    return "one"


@server.resource("notes://by/{name}")
def notes(name: str) -> str:
    """Notes by name."""
    return f"by {name}"


@server.prompt()
def greet(name: str) -> str:
    """Greet somebody."""
    return f"Hello {name}"


def main() -> None:
    """Serve."""
    if sys.argv[1] == "stdio":
        server.run("stdio")
        return
    app = server.sse_app() if sys.argv[1] == "sse" else server.streamable_http_app()
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    path = "/sse" if sys.argv[1] == "sse" else "/mcp"
    print(f"http://127.0.0.1:{sock.getsockname()[1]}{path}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="none")).run(sockets=[sock])


if __name__ == "__main__":
    main()
