"""A lean client, run as a program: the direct side of the kinds that the C load generator does not speak.

`python -m bench.upstreams.lean KIND WHERE --connections N --seconds S --warmup S [--frames N]` prints what
`native/load.c` prints.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec

Call = Callable[[str], Awaitable[bool]]
"""Makes one call with a text; whether the answer is right."""


@asynccontextmanager
async def grpc_calls(where: str, frames: int) -> AsyncIterator[Call]:
    """Calls of the gRPC stub on one channel, as the gateway has one."""
    import grpc

    from bench.upstreams.grpc_stub import messages

    said = messages()["Said"]
    async with grpc.aio.insecure_channel(where) as channel:
        kinds: dict[str, Any] = {
            "request_serializer": said.SerializeToString,
            "response_deserializer": said.FromString,
        }
        unary = channel.unary_unary("/bench.Echo/echo", **kinds)
        stream = channel.unary_stream("/bench.Echo/count", **kinds)

        async def one(text: str) -> bool:
            answer = await unary(said(text=text))
            return str(answer.text).startswith(text)

        async def many(text: str) -> bool:
            count = 0
            async for each in stream(said(text=text, frames=frames)):
                count += each.text.startswith(text)
            return count == frames

        yield many if frames else one


@asynccontextmanager
async def stdio_calls(where: str, frames: int) -> AsyncIterator[Call]:
    """Calls of an MCP server on its stdin and stdout, several in flight at once."""
    process = await asyncio.create_subprocess_exec(
        *shlex.split(where), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None
    waiting: dict[int, asyncio.Future[bytes]] = {}

    async def read() -> None:
        while line := await stdout.readline():
            future = waiting.pop(msgspec.json.decode(line)["id"], None)
            if future is not None:
                future.set_result(line)

    last = 0

    async def ask(method: str, params: dict[str, Any]) -> bytes:
        nonlocal last
        last += 1
        future = waiting[last] = asyncio.get_running_loop().create_future()
        stdin.write(
            msgspec.json.encode({"jsonrpc": "2.0", "id": last, "method": method, "params": params}) + b"\n"
        )
        return await future

    async def call(text: str) -> bool:
        answer = await ask("tools/call", {"name": "echo", "arguments": {"text": text}})
        return text.encode() in answer

    reader = asyncio.create_task(read())
    await ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {}})
    try:
        yield call
    finally:
        stdin.close()
        await process.wait()
        reader.cancel()


@asynccontextmanager
async def a2a_calls(where: str, frames: int) -> AsyncIterator[Call]:
    """Messages to the A2A stub, one at a time on each of as many connections as are needed."""
    host, _, port = where.rpartition(":")
    free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    head = (
        f"POST /rpc HTTP/1.1\r\nHost: {where}\r\nContent-Type: application/json\r\n"
        "Accept: text/event-stream\r\nA2A-Version: 1.0\r\nContent-Length: "
    ).encode()

    async def call(text: str) -> bool:
        reader, writer = free.pop() if free else await asyncio.open_connection(host, int(port))
        message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"data": {"text": text}}]}
        asked = {"jsonrpc": "2.0", "id": 1, "method": "SendStreamingMessage", "params": {"message": message}}
        body = msgspec.json.encode(asked)
        writer.write(head + b"%d\r\n\r\n" % len(body) + body)
        said = await reader.readuntil(b"\r\n\r\n")
        length = int(said.partition(b"Content-Length:")[2].partition(b"\r\n")[0])
        data = await reader.readexactly(length)
        free.append((reader, writer))
        events = [msgspec.json.decode(line[6:]) for line in data.split(b"\n\n") if line]
        return len(events) == 4 and text.encode() in data

    try:
        yield call
    finally:
        for _, writer in free:
            writer.close()


KINDS: dict[str, Callable[[str, int], AbstractAsyncContextManager[Call]]] = {
    "a2a": a2a_calls,
    "grpc": grpc_calls,
    "stdio": stdio_calls,
}


async def run(call: Call, connections: int, seconds: float, warmup: float) -> dict[str, Any]:
    """A closed loop of so many callers; gives the figures."""
    took: list[float] = []
    errors: list[str] = []
    counting = stopped = False

    async def caller(number: int) -> None:
        count = 0
        while not stopped:
            count += 1
            began = time.perf_counter()
            right = await call(f"call {count:08d} of connection {number:05d}")
            if not right:
                errors.append("not the text sent")
                return
            if counting and not stopped:
                took.append(time.perf_counter() - began)

    async with asyncio.TaskGroup() as group:
        for number in range(connections):
            group.create_task(caller(number))
        await asyncio.sleep(warmup)
        print(json.dumps({"event": "start"}), flush=True)
        counting, began, cpu = True, time.perf_counter(), time.process_time()
        await asyncio.sleep(seconds)
        stopped = True
        passed, spent = time.perf_counter() - began, time.process_time() - cpu
        print(json.dumps({"event": "stop"}), flush=True)
    took.sort()
    calls = len(took)

    def at(part: float) -> float:
        return took[min(calls - 1, int(part * calls))] * 1000 if calls else 0.0

    return {
        "calls": calls,
        "calls_per_second": calls / passed,
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
        "max_ms": at(1),
        "errors": len(errors),
        "reconnects": 0,
        "sse": 0,
        "first_error": errors[0] if errors else "",
        "cpu_us": spent / calls * 1e6 if calls else None,
    }


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("where")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--warmup", type=float, default=0.0)
    parser.add_argument("--frames", type=int, default=0)
    options = parser.parse_args()

    async def go() -> dict[str, Any]:
        async with KINDS[options.kind](options.where, options.frames) as call:
            return await run(call, options.connections, options.seconds, options.warmup)

    if sys.platform != "win32":
        import uvloop

        found = uvloop.run(go())
    else:
        found = asyncio.run(go())
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
