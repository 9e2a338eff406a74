"""What the official harness starts as "the client": a gateway in front of its mock, and a client of ours.

`python -m tests.interop.client_wrapper URL`, with `MCP_CONFORMANCE_SCENARIO`,
`MCP_CONFORMANCE_PROTOCOL_VERSION` and `MCP_CONFORMANCE_CONTEXT` in the environment. What the mock sees is the
gateway's upstream client; our own client only makes it act.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from tests.interop.processes import gateway
from tests.interop.raw_client import Json, RawClient, RpcError

Script = Callable[[RawClient, Json], Awaitable[None]]


def answer(method: str, params: Json) -> Json:
    """What a cooperative user says: accepts every form with its defaults."""
    if method == "elicitation/create":
        schema = params.get("requestedSchema") or {}
        properties = schema.get("properties") or {}
        return {"action": "accept", "content": {name: _fill(sub) for name, sub in properties.items()}}
    if method == "sampling/createMessage":
        return {"role": "assistant", "model": "none", "content": {"type": "text", "text": "Hello."}}
    return {"roots": [{"uri": "file:///work", "name": "work"}]}


def _fill(schema: Json) -> Any:
    if "default" in schema:
        return schema["default"]
    if "enum" in schema:
        return schema["enum"][0]
    return {"boolean": True, "integer": 1, "number": 1.5}.get(schema.get("type", ""), "text")


async def _list(client: RawClient, context: Json) -> None:
    await client.tools()


async def _add_numbers(client: RawClient, context: Json) -> None:
    await client.tools()
    await client.call("add_numbers", {"a": 5, "b": 3})


async def _every_tool(client: RawClient, context: Json) -> None:
    # Whatever is listed is called: a tool the gateway had to drop would be called too.
    for tool in await client.tools():
        await client.call(tool["name"])


async def _headers(client: RawClient, context: Json) -> None:
    await _every_tool(client, context)
    for resource in (await client.request("resources/list"))["resources"]:
        await client.request("resources/read", {"uri": resource["uri"]})
    for prompt in (await client.request("prompts/list"))["prompts"]:
        await client.request("prompts/get", {"name": prompt["name"]})


async def _custom_headers(client: RawClient, context: Json) -> None:
    await client.tools()
    for call in context["toolCalls"]:
        await client.call(call["name"], call["arguments"])


async def _invalid_headers(client: RawClient, context: Json) -> None:
    arguments = {"region": "us-west1", "query": "SELECT 1", "value": "x"}
    for tool in await client.tools():
        wanted = tool["inputSchema"].get("properties") or {}
        await client.call(tool["name"], {name: arguments.get(name, "x") for name in wanted})


async def _rounds(client: RawClient, context: Json) -> None:
    await client.tools()
    asked = await client.request("tools/call", {"name": "test_mrtr_echo_state", "arguments": {}})
    # Another call in between must carry nothing of the first.
    await client.call("test_mrtr_unrelated")
    answers = {
        key: answer(one["method"], one.get("params") or {}) for key, one in asked["inputRequests"].items()
    }
    again: Json = {"name": "test_mrtr_echo_state", "arguments": {}, "inputResponses": answers}
    await client.request("tools/call", {**again, "requestState": asked["requestState"]})
    await client.call("test_mrtr_no_state")
    await client.call("test_mrtr_no_result_type")


async def _echo_schema(client: RawClient, context: Json) -> None:
    schemas = {tool["name"]: tool["inputSchema"] for tool in await client.tools()}
    await client.call("json_schema_echo", {"schema": schemas["json_schema_2020_12_tool"]})


SCRIPTS: dict[str, Script] = {
    "initialize": _list,
    "tools_call": _add_numbers,
    "elicitation-sep1034-client-defaults": _every_tool,
    "sse-retry": _every_tool,
    "request-metadata": _list,
    "http-standard-headers": _headers,
    "http-custom-headers": _custom_headers,
    "http-invalid-tool-headers": _invalid_headers,
    "sep-2322-client-request-state": _rounds,
    "json-schema-ref-no-deref": _list,
    "json-schema-2020-12-preservation": _echo_schema,
}
"""What each scenario needs the gateway's client to do."""


async def drive(url: str, scenario: str, version: str, context: Json) -> None:
    """Act the scenario out against a gateway at `url`."""
    async with RawClient(url, version, answer) as client:
        await SCRIPTS[scenario](client, context)


def main() -> int:
    """Start the gateway, act, stop; 0 when every step was answered."""
    scenario = os.environ["MCP_CONFORMANCE_SCENARIO"]
    version = os.environ["MCP_CONFORMANCE_PROTOCOL_VERSION"]
    context = msgspec.json.decode(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    with TemporaryDirectory() as folder, gateway(sys.argv[-1], Path(folder)) as running:
        try:
            asyncio.run(drive(running.url, scenario, version, context))
        except (RpcError, TimeoutError) as error:
            print(f"{scenario}: {error}", file=sys.stderr)
            print(running.log.read_text()[-8000:], file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
