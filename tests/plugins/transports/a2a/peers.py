"""Real clients of the A2A SDK, in front of a gateway in the same process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
from a2a.client import Client, ClientConfig, create_client
from a2a.types import Message, Part, Role, SendMessageRequest, StreamResponse, Task
from google.protobuf import json_format, struct_pb2

from portico.api import Json
from tests.plugins.transports.web import Web

HOST = "http://localhost"


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
    transport = httpx.ASGITransport(web.gateway.app)
    async with httpx.AsyncClient(transport=transport, headers=dict(headers or {}), timeout=10) as http:
        config = ClientConfig(httpx_client=http, supported_protocol_bindings=[binding], streaming=streaming)
        async with await create_client(HOST + path, client_config=config) as client:
            yield client


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
