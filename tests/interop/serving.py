"""How every fixture server is started: the command line, the era gate, and the ready line.

`python -m tests.interop.fixture --port 0 --era legacy` prints `ready http://localhost:PORT/mcp` on stdout
once it accepts connections, and stops on SIGTERM. With `--stdio`, stdin and stdout are the connection.
"""

from __future__ import annotations

import argparse
import logging
import socket
import warnings
from typing import Any, Literal, cast, get_args

import anyio
import msgspec
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp.shared.message import SessionMessage
from mcp.types import (
    METHOD_NOT_FOUND,
    PROTOCOL_VERSION_META_KEY,
    UNSUPPORTED_PROTOCOL_VERSION,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCRequest,
)
from mcp.types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.interop.eventlog import EventLog

Eras = Literal["dual", "legacy", "modern"]

RETRY_MS = 100
"""How soon a client of a closed legacy stream may come back."""


class EraGate:
    """Lets through what a server of one era understands, and answers the rest as such a server does.

    A legacy-only server of before 2026 knows nothing of the modern error codes: it says 400 and -32600. A
    modern-only server says -32022 and which revisions it speaks (2026-07-28, basic/versioning).
    """

    def __init__(self, app: ASGIApp, era: Eras) -> None:
        self._app = app
        self._era = era

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event or request."""
        if scope["type"] != "http" or self._era == "dual":
            await self._app(scope, receive, send)
            return
        version = Request(scope).headers.get("mcp-protocol-version")
        legacy = version is None or version in HANDSHAKE_PROTOCOL_VERSIONS
        if legacy == (self._era == "legacy"):
            await self._app(scope, receive, send)
            return
        answer = await (
            self._too_new(version or "") if self._era == "legacy" else self._too_old(scope, receive)
        )
        await answer(scope, receive, send)

    async def _too_new(self, version: str) -> Response:
        message = f"Bad Request: Unsupported protocol version: {version}"
        return _error(400, "server-error", {"code": -32600, "message": message})

    async def _too_old(self, scope: Scope, receive: Receive) -> Response:
        request = Request(scope, receive)
        if request.method != "POST":
            return Response(status_code=405, headers={"Allow": "POST"})
        try:
            body = msgspec.json.decode(await request.body())
        except msgspec.DecodeError:
            return _error(400, None, {"code": -32700, "message": "Parse error"})
        body = body if isinstance(body, dict) else {}
        params = body.get("params")
        requested = request.headers.get("mcp-protocol-version") or (
            params.get("protocolVersion", "") if isinstance(params, dict) else ""
        )
        data = {"supported": list(MODERN_PROTOCOL_VERSIONS), "requested": str(requested)}
        error = {
            "code": UNSUPPORTED_PROTOCOL_VERSION,
            "message": "Unsupported protocol version",
            "data": data,
        }
        return _error(400, body.get("id"), error)


def _error(status: int, request_id: Any, error: dict[str, Any]) -> Response:
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": request_id, "error": error})
    return Response(body, status_code=status, media_type="application/json")


class _Announcing(uvicorn.Server):
    """Prints the ready line when the socket is served."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for one in sockets or ():
            print(f"ready http://localhost:{one.getsockname()[1]}/mcp", flush=True)


def run(server: Server[Any], era: Eras, port: int) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        server: The SDK server.
        era: Which protocol eras it admits to knowing.
        port: A TCP port on 127.0.0.1; 0 lets the system choose.
    """
    app = server.streamable_http_app(event_store=EventLog(), retry_interval=RETRY_MS)
    listener = socket.create_server(("127.0.0.1", port), backlog=512)
    # h11 strips the white space around a header's value, as the harness demands; httptools leaves it.
    config = uvicorn.Config(
        EraGate(app, era), http="h11", log_level="warning", lifespan="on", timeout_graceful_shutdown=1
    )
    _Announcing(config).run(sockets=[listener])


async def run_stdio(server: Server[Any], era: Eras) -> None:
    """Serve on stdin and stdout until stdin ends; what is not of this era is answered at the gate."""
    passed, inner = anyio.create_memory_object_stream[SessionMessage | Exception](0)

    async def gate(outer: Any, answers: Any) -> None:
        async with passed:
            async for message in outer:
                refusal = None if isinstance(message, Exception) else _refusal(message.message, era)
                if refusal is None:
                    await passed.send(message)
                else:
                    await answers.send(SessionMessage(refusal))

    async with stdio_server() as (outer, answers), anyio.create_task_group() as group:
        group.start_soon(gate, outer, answers)
        await server.run(inner, answers, server.create_initialization_options())
        group.cancel_scope.cancel()


def _refusal(message: JSONRPCMessage, era: Eras) -> JSONRPCError | None:
    if not isinstance(message, JSONRPCRequest):
        return None
    meta = (message.params or {}).get("_meta") or {}
    if era == "legacy" and (PROTOCOL_VERSION_META_KEY in meta or message.method == "server/discover"):
        error = ErrorData(code=METHOD_NOT_FOUND, message="Method not found")
    elif era == "modern" and message.method == "initialize":
        requested = str((message.params or {}).get("protocolVersion", ""))
        data = {"supported": list(MODERN_PROTOCOL_VERSIONS), "requested": requested}
        error = ErrorData(
            code=UNSUPPORTED_PROTOCOL_VERSION, message="Unsupported protocol version", data=data
        )
    else:
        return None
    return JSONRPCError(jsonrpc="2.0", id=message.id, error=error)


def main(server: Server[Any], default_era: Eras, description: str) -> None:
    """The command line every fixture has: `--port` or `--stdio`, and `--era`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=0, help="TCP port on 127.0.0.1 (default: any free one)")
    parser.add_argument("--stdio", action="store_true", help="serve on stdin and stdout instead")
    parser.add_argument(
        "--era", choices=get_args(Eras), default=default_era, help="protocol eras to admit to"
    )
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", category=MCPDeprecationWarning)
    logging.getLogger("mcp").setLevel(logging.ERROR)
    era = cast("Eras", arguments.era)
    if arguments.stdio:
        anyio.run(run_stdio, server, era)
    else:
        run(server, era, arguments.port)
