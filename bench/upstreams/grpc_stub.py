"""A gRPC server that echoes: the upstream of the bench's `grpc` rows.

`python -m bench.upstreams.grpc_stub` prints {"port": N} once it listens, and ends when its stdin does.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from functools import cache
from typing import Any

import grpc
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha._async import ReflectionServicer
from grpc_reflection.v1alpha.reflection_pb2_grpc import add_ServerReflectionServicer_to_server

FILLER = (
    "The quick brown fox jumps over the lazy dog while the five boxing wizards jump quickly over the sphinx "
    "of black quartz and judge my vow again."
)
"""As the stub in C has it."""


@cache
def pool() -> DescriptorPool:
    """`bench.Echo`: `echo` gives one message back, `count` as many as `frames` asks for."""
    file = descriptor_pb2.FileDescriptorProto(name="bench.proto", package="bench", syntax="proto3")
    said = file.message_type.add(name="Said")
    kinds = descriptor_pb2.FieldDescriptorProto
    said.field.add(name="text", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    said.field.add(name="frames", number=2, type=kinds.TYPE_INT32, label=kinds.LABEL_OPTIONAL)
    echo = file.service.add(name="Echo")
    echo.method.add(name="echo", input_type=".bench.Said", output_type=".bench.Said")
    echo.method.add(name="count", input_type=".bench.Said", output_type=".bench.Said", server_streaming=True)
    made = DescriptorPool()
    made.AddSerializedFile(file.SerializeToString())
    return made


@cache
def messages() -> dict[str, Any]:
    """The message classes by name."""
    return {"Said": GetMessageClass(pool().FindMessageTypeByName("bench.Said"))}


async def serve() -> None:
    """Serve until stdin ends."""
    said = messages()["Said"]

    async def echo(request: Any, context: Any) -> Any:
        return said(text=f"{request.text} {FILLER}")

    async def count(request: Any, context: Any) -> AsyncIterator[Any]:
        for number in range(1, request.frames + 1):
            yield said(text=request.text, frames=number)

    kinds: dict[str, Any] = {
        "request_deserializer": said.FromString,
        "response_serializer": said.SerializeToString,
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                "bench.Echo",
                {
                    "echo": grpc.unary_unary_rpc_method_handler(echo, **kinds),
                    "count": grpc.unary_stream_rpc_method_handler(count, **kinds),
                },
            ),
        )
    )
    add_ServerReflectionServicer_to_server(ReflectionServicer(["bench.Echo"], pool=pool()), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(json.dumps({"port": port}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0)


if __name__ == "__main__":
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    asyncio.run(serve())
