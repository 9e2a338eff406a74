"""A real gateway in the test's own process, and a small modern client of it. No sockets are involved."""

from __future__ import annotations

import asyncio
import importlib.metadata
import tomllib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import msgspec

from portico._config.discovery import GROUP, discover
from portico._config.settings import Document, load
from portico._host.gateway import Gateway, started
from portico.api import (
    LATEST_MODERN,
    META_CAPABILITIES,
    META_CLIENT_INFO,
    META_VERSION,
    NAME_PARAM,
    Json,
    Refused,
    SseParser,
    encode_header_value,
)
from portico.testing.doubles import Answer, RecordingClient, RecordingLog


@attrs.frozen
class RunningGateway:
    """A composed gateway and the way into it.

    Attributes:
        gateway: The kernel's own handle.
        log: What the kernel logged.
        headers: Sent with every request; an `authorization` header, for one.
    """

    gateway: Gateway
    log: RecordingLog
    headers: dict[str, str] = attrs.field(factory=dict)

    async def request(
        self,
        method: str,
        params: Json | None = None,
        *,
        server: str = "default",
        answers: Mapping[str, Answer] | None = None,
    ) -> Json:
        """Make one request of the modern era and give its result, answering what is asked on the way.

        Args:
            method: The MCP method.
            params: Without `_meta`; that is added.
            server: The virtual server.
            answers: As `RecordingClient` takes them; their capabilities are declared.

        Raises:
            Refused: The answer was an error.
        """
        client = RecordingClient(answers)
        declared: Json = {name.partition("/")[0]: {} for name in client.answers}
        meta = {
            META_VERSION: LATEST_MODERN,
            META_CAPABILITIES: declared,
            META_CLIENT_INFO: {"name": "portico.testing", "version": "1"},
        }
        params = {**(params or {}), "_meta": meta}
        while True:
            result = await self._round(method, params, server)
            if result.get("resultType") != "input_required":
                return result
            asked: Json = result.get("inputRequests") or {}
            given = {
                key: await client.ask(one["method"], one.get("params", {})) for key, one in asked.items()
            }
            params = {**params, "inputResponses": given}
            if "requestState" in result:
                params["requestState"] = result["requestState"]

    async def call(self, name: str, arguments: Json | None = None, **options: Any) -> Json:
        """Call a tool; `options` as for `request`."""
        return await self.request("tools/call", {"name": name, "arguments": arguments or {}}, **options)

    async def names(self, method: str = "tools/list", *, server: str = "default") -> list[str]:
        """The names (or URIs) in a list."""
        result = await self.request(method, server=server)
        items = next(value for value in result.values() if isinstance(value, list))
        return [item.get("uriTemplate") or item.get("uri") or item["name"] for item in items]

    async def _round(self, method: str, params: Json, server: str) -> Json:
        headers = {
            "host": "localhost",
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": LATEST_MODERN,
            "mcp-method": method,
            **self.headers,
        }
        if method in NAME_PARAM:
            headers["mcp-name"] = encode_header_value(str(params[NAME_PARAM[method]]))
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        status, answer = await post(self.gateway.app, f"/servers/{server}/mcp", headers, body)
        for message in _messages(answer):
            if message.get("id") == 1 and "result" in message:
                result: Json = message["result"]
                return result
            if isinstance(message.get("error"), dict):
                error = message["error"]
                raise Refused(error["code"], error["message"], error.get("data"))
        raise AssertionError(f"HTTP {status} without an answer: {answer[:500]!r}")


def _messages(body: bytes) -> list[Json]:
    if body.lstrip()[:1] == b"{":
        return [msgspec.json.decode(body)]
    parser = SseParser()
    return [msgspec.json.decode(event.data) for event in parser.feed(body) if event.data]


async def post(app: Any, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
    """POST to an ASGI application in this process; gives the status and the whole body."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        + [(b"content-length", str(len(body)).encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 4444),
        "state": {},
    }
    unread = [{"type": "http.request", "body": body, "more_body": False}]
    answered = asyncio.Event()
    status, chunks = 0, bytearray()

    async def receive() -> Json:
        if unread:
            return unread.pop()
        await answered.wait()
        return {"type": "http.disconnect"}

    async def send(message: Json) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        elif message["type"] == "http.response.body":
            chunks.extend(message.get("body", b""))
            if not message.get("more_body", False):
                answered.set()

    await app(scope, receive, send)
    return status, bytes(chunks)


@asynccontextmanager
async def running_gateway(
    config: str = "",
    *,
    plugins: Sequence[ModuleType] = (),
    base: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[RunningGateway]:
    """Compose a gateway from TOML, start everything in it, and stop it when left.

    Args:
        config: What `gateway.toml` would say.
        plugins: Plugin modules that are not installed, besides all that are.
        base: The folder relative paths are relative to; the current one by default.
        environ: What `${env:...}` and `PORTICO_...` read; nothing by default.

    Raises:
        ConfigError: With every problem in the config.
    """
    points = list(importlib.metadata.entry_points(group=GROUP))
    known = {point.value for point in points}
    points += [
        importlib.metadata.EntryPoint(module.__name__.rpartition(".")[2], module.__name__, GROUP)
        for module in plugins
        if module.__name__ not in known
    ]
    document = Document(tomllib.loads(config), "test", base or Path.cwd())
    settings = load(document, discover(entry_points=points), environ or {})
    log = RecordingLog()
    async with started(settings, log) as gateway:
        yield RunningGateway(gateway, log)
