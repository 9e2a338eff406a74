"""An MCP server on a port of its own; prints `ready URL` when it accepts connections.

`python time_server.py streamable-http|sse`
"""

import socket
import sys
import warnings

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.types import ToolAnnotations

server = MCPServer("time")


@server.tool(description="The time in a zone", annotations=ToolAnnotations(read_only_hint=True))
def get_system_time(timezone: str = "UTC") -> str:
    """Always noon."""
    return f"12:00 {timezone}"


@server.tool(description="A time of one zone in another")
def convert_time(time: str, source: str, target: str) -> str:
    """As it is."""
    return f"{time} {source} is {time} {target}"


@server.tool(description="The Authorization header this server is sent")
def whoami(context: Context) -> str:
    """Of the request."""
    request = context.request_context.request
    return request.headers.get("authorization", "nobody") if request is not None else "nobody"


@server.resource("time://formats", description="Known formats", mime_type="text/plain")
def formats() -> str:
    """One."""
    return "HH:MM"


@server.resource("time://zones/{name}", description="A zone")
def zone(name: str) -> str:
    """Its name."""
    return f"zone {name}"


@server.prompt(description="Compare two zones")
def compare_zones(first: str, second: str) -> str:
    """A question."""
    return f"Which is ahead, {first} or {second}?"


def main() -> None:
    """Serve until told to stop."""
    kind = sys.argv[1]
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    app = server.sse_app() if kind == "sse" else server.streamable_http_app()
    running = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
    path = "/sse" if kind == "sse" else "/mcp"
    print(f"ready http://localhost:{port}{path}", flush=True)
    running.run(sockets=[listener])


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
