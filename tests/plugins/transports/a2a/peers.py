"""Real clients of the A2A SDK, in front of a gateway in the same process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import unquote

import httpx
from a2a.client import Client, ClientConfig, create_client
from a2a.types import Message, Part, Role, SendMessageRequest, StreamResponse, Task
from google.protobuf import json_format, struct_pb2

from portico.api import Json
from portico.testing import running_gateway
from tests.plugins.transports.a2a import kinds
from tests.plugins.transports.a2a.kinds import Kinds
from tests.plugins.transports.scripted import Scripted
from tests.plugins.transports.web import Answer, Web

HOST = "http://localhost"
BINDINGS = ("JSONRPC", "HTTP+JSON")


class _Body(httpx.AsyncByteStream):
    """An answer's body, as it comes."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        answer = self._answer
        while True:
            await answer.until(lambda: answer._data or answer.ended)
            if not answer._data:
                return
            data = bytes(answer._data)
            answer._data.clear()
            yield data

    async def aclose(self) -> None:
        self._answer.leave()


class Streaming(httpx.AsyncBaseTransport):
    """The way into a gateway for httpx; unlike its own, it passes answers on while they come."""

    def __init__(self, web: Web) -> None:
        self._web = web

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        headers = [(k, v) for k, v in request.headers.items() if k != "content-length"]
        path, _, query = request.url.raw_path.partition(b"?")
        answer = self._web.open(
            request.method, headers, await request.aread(), unquote(path.decode()), query_string=query
        )
        status = await answer.head()
        return httpx.Response(status, headers=answer.headers, stream=_Body(answer))


@asynccontextmanager
async def sdk_client(
    web: Web,
    path: str = "/a2a/default",
    *,
    binding: str = "JSONRPC",
    headers: Mapping[str, str] | None = None,
    streaming: bool = True,
) -> AsyncIterator[Client]:
    """A client of the SDK for an agent, which it learns about from its card."""
    async with httpx.AsyncClient(transport=Streaming(web), headers=dict(headers or {}), timeout=10) as http:
        config = ClientConfig(httpx_client=http, supported_protocol_bindings=[binding], streaming=streaming)
        async with await create_client(HOST + path, client_config=config) as client:
            yield client


@asynccontextmanager
async def tools(*names: str, keys: str = "", more: str = "") -> AsyncIterator[tuple[Web, Kinds]]:
    """A gateway in front of an upstream with some of the tools of `kinds`.

    Args:
        names: The tools.
        keys: Keys of the transport.
        more: Further tables.
    """
    toml = f"""
        [upstreams.kinds]
        use = "kinds"
        tools = {list(names)}
        [transports.a2a]
        {keys}
        {more}
    """
    async with running_gateway(toml, plugins=[kinds]) as running:
        upstream = running.gateway.plane.upstreams["kinds"]
        assert isinstance(upstream, Kinds)
        web = Web(running.gateway, cast("Scripted", upstream), running.log)
        try:
            yield web, upstream
        finally:
            await web.close()


def order(tool: str, arguments: Json | None = None, **more: Any) -> SendMessageRequest:
    """A message that wants a tool called."""
    return saying({"tool": tool, "arguments": arguments or {}}, **more)


def saying(what: Any, **more: Any) -> SendMessageRequest:
    """A message of text, or of data."""
    part = (
        Part(text=what)
        if isinstance(what, str)
        else Part(data=json_format.ParseDict(what, struct_pb2.Value()))
    )
    message = Message(message_id="m1", role=Role.ROLE_USER, parts=[part], **more)
    return SendMessageRequest(message=message)


async def sent(client: Client, request: SendMessageRequest) -> list[StreamResponse]:
    """Everything that a message is answered with."""
    return [event async for event in client.send_message(request)]


async def task_of(client: Client, request: SendMessageRequest) -> Task:
    """The task that a message is answered with at the end."""
    events = await sent(client, request)
    assert [event.WhichOneof("payload") for event in events] == ["task"], events
    return events[0].task


def data_of(part: Part) -> Any:
    """What a data part says."""
    return json_format.MessageToDict(part.data)
