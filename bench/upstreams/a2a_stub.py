"""An A2A agent that echoes: the upstream of the `a2a` row of the bench, made without the SDK.

`python -m bench.upstreams.a2a_stub` prints {"port": N} once it listens, and ends when its stdin does. Each
message is answered by a stream of a task, what it is doing, an artifact and its end, as agents do.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import msgspec

FILLER = (
    "The quick brown fox jumps over the lazy dog while the five boxing wizards jump quickly over the sphinx "
    "of black quartz and judge my vow again."
)
"""As the stub in C has it."""
IDS = {"taskId": "task-1", "contextId": "context-1"}


def card(port: int) -> dict[str, Any]:
    """What the agent says of itself."""
    url = f"http://127.0.0.1:{port}/rpc"
    skill = {"id": "echo", "name": "Echo", "description": "Echoes.", "tags": ["bench"]}
    return {
        "name": "Bench",
        "description": "Echoes.",
        "version": "1",
        "capabilities": {"streaming": True},
        "defaultInputModes": ["application/json"],
        "defaultOutputModes": ["text/plain"],
        "supportedInterfaces": [{"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
        "skills": [skill],
    }


def events(text: str) -> list[dict[str, Any]]:
    """What a message is answered with."""
    status = {"state": "TASK_STATE_WORKING"}
    artifact = {"artifactId": "a", "parts": [{"text": f"{text} {FILLER}"}]}
    return [
        {"task": {"id": "task-1", "contextId": "context-1", "status": {"state": "TASK_STATE_SUBMITTED"}}},
        {"statusUpdate": {**IDS, "status": status}},
        {"artifactUpdate": {**IDS, "artifact": artifact, "lastChunk": True}},
        {"statusUpdate": {**IDS, "status": {"state": "TASK_STATE_COMPLETED"}}},
    ]


def answer(body: bytes) -> bytes:
    """The stream a message is answered with, as HTTP."""
    asked = msgspec.json.decode(body)
    part = asked["params"]["message"]["parts"][0]
    text = part["data"]["text"] if "data" in part else part["text"]
    frames = (
        msgspec.json.encode({"jsonrpc": "2.0", "id": asked["id"], "result": each}) for each in events(text)
    )
    data = b"".join(b"data: %b\n\n" % frame for frame in frames)
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n%b" % (
        len(data),
        data,
    )


async def serve() -> None:
    """Serve until stdin ends."""
    port = 0

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET "):
                    body = msgspec.json.encode(card(port))
                    said = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                    writer.write(said % len(body) + body)
                    continue
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
                writer.write(answer(await reader.readexactly(length)))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(json.dumps({"port": port}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    if sys.platform != "win32":
        import uvloop

        uvloop.run(serve())
    else:
        asyncio.run(serve())
