"""A real gRPC server with every feature of protobuf in it, and an upstream in front of it."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import attrs
import google.api
import grpc
import grpc_tools
from google.protobuf import any_pb2, descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer
from grpc_tools import protoc

from portico.api import Host
from portico_plugins.upstreams.grpc import GRPC
from portico_plugins.upstreams.grpc.config import GrpcConfig
from tests.plugins.upstreams.kit import HERE, Clock, Log, Running, Wiring

PROTOS = HERE / "protos"
SERVICES = ("acme.shop.v1.Orders", "acme.shop.v1.Lines", "acme.shop.v1.Checks")
V1 = "grpc.reflection.v1.ServerReflection"
V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"


@cache
def descriptor_set(name: str = "shop.proto", folder: Path = PROTOS) -> bytes:
    """A compiled file with everything it imports, and comments."""
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "set.pb"
        includes = [
            folder,
            PROTOS,
            Path(next(iter(google.api.__path__))).parents[1],
            Path(grpc_tools.__file__).parent / "_proto",
        ]
        flags = ("--include_imports", "--include_source_info", f"--descriptor_set_out={out}")
        code = protoc.main(["protoc", *(f"-I{each}" for each in includes), *flags, name])
        assert code == 0
        return out.read_bytes()


def pool_from(raw: bytes) -> DescriptorPool:
    pool = DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(raw).file:
        file.ClearField("source_code_info")  # as servers have it
        pool.AddSerializedFile(file.SerializeToString())
    return pool


@cache
def shop() -> DescriptorPool:
    return pool_from(descriptor_set())


def message(name: str, **fields: Any) -> Any:
    return GetMessageClass(shop().FindMessageTypeByName(f"acme.shop.v1.{name}"))(**fields)


@attrs.define
class Shop:
    """What the server does, and what it has seen.

    Attributes:
        begun: Set when `Slow` or an endless `Watch` has begun.
        ended: Set when it was cancelled.
        sent: How many messages `Watch` has sent.
    """

    begun: asyncio.Event = attrs.field(factory=asyncio.Event)
    ended: asyncio.Event = attrs.field(factory=asyncio.Event)
    sent: int = 0
    calls: list[str] = attrs.field(factory=list)

    async def create(self, request: Any, context: Any) -> Any:
        return message("Created", order=request, version="1")

    async def get(self, request: Any, context: Any) -> Any:
        return message("Order", id=request.id)

    async def ping(self, request: Any, context: Any) -> Any:
        return GetMessageClass(shop().FindMessageTypeByName("google.protobuf.Timestamp"))(seconds=0)

    async def shout(self, request: Any, context: Any) -> Any:
        return type(request)(value=request.value.upper())

    async def free(self, request: Any, context: Any) -> Any:
        value = GetMessageClass(shop().FindMessageTypeByName("google.protobuf.Value"))()
        value.struct_value.CopyFrom(request)
        return value

    async def watch(self, request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            for number in range(request.n or 10**9):
                self.sent += 1
                yield message("Happening", number=number, text=request.id)
                if request.id == "fails" and number == 2:
                    await context.abort(grpc.StatusCode.DATA_LOSS, "the rest is gone")
                if request.id == "stalls" and number == 2:
                    self.begun.set()
                    await asyncio.Event().wait()
        finally:
            self.ended.set()

    async def total(self, requests: AsyncIterator[Any], context: Any) -> Any:
        lines = [each async for each in requests]
        return message("Sum", amount=sum(each.amount for each in lines), texts=[each.text for each in lines])

    async def chat(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for each in requests:
            yield message("Line", text=each.text[::-1], amount=-each.amount)

    async def fail(self, request: Any, context: Any) -> Any:
        details = []
        bad = error_details_pb2.BadRequest()
        bad.field_violations.add(field="id", description="too short")
        for each in (
            bad,
            error_details_pb2.DebugInfo(stack_entries=["/srv/secret.py"]),
            message("Line", text="own"),
            error_details_pb2.RetryInfo(),
        ):
            detail = any_pb2.Any()
            detail.Pack(each)
            details.append(detail)
        details[-1].value = error_details_pb2.RetryInfo(
            retry_delay={"seconds": 2}  # type: ignore[arg-type]
        ).SerializeToString()
        details.append(any_pb2.Any(type_url="type.googleapis.com/nobody.Knows", value=b"\x00\x01"))
        code = grpc.StatusCode[request.id or "INVALID_ARGUMENT"]
        status = status_pb2.Status(code=code.value[0], message="no good", details=details)
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        await context.abort(code, "no good")

    async def slow(self, request: Any, context: Any) -> Any:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()

    async def large(self, request: Any, context: Any) -> Any:
        return message("Order", id="x" * request.n)

    async def garbled(self, request: Any, context: Any) -> bytes:
        if request.id == "any":
            extra = any_pb2.Any(type_url="type.googleapis.com/nobody.Knows", value=b"\x08\x01")
            inner = extra.SerializeToString()
            return b"\xca\x01" + bytes([len(inner)]) + inner
        return b"\x0a\xff\xff\xff"

    async def mirror(self, request: Any, context: Any) -> Any:
        seen = {
            key: value if isinstance(value, str) else value.hex()
            for key, value in context.invocation_metadata()
        }
        return message("Seen", metadata=seen, seconds=context.time_remaining() or 0)

    async def check(self, request: Any, context: Any) -> Any:
        return request


def _handler(shop_: Shop, method: Any) -> Any:
    work = {"Peek": shop_.get, "Cancel": shop_.ping}.get(method.name) or getattr(shop_, method.name.lower())
    if method.containing_service.name == "Lines":
        work = shop_.check

    def encode(each: Any) -> bytes:
        return each if isinstance(each, bytes) else each.SerializeToString()

    if method.name == "Cancel":
        empty = GetMessageClass(method.output_type)

        async def work(request: Any, context: Any) -> Any:
            return empty()

    kinds = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    make = kinds[method.client_streaming, method.server_streaming]
    return make(work, GetMessageClass(method.input_type).FromString, encode)


def reflection(
    services: Sequence[str],
    pool: DescriptorPool,
    versions: Sequence[str] = (V1, V1ALPHA),
    servicer: Callable[..., Any] | None = None,
) -> list[Any]:
    """Handlers of server reflection."""
    from grpc_reflection.v1alpha import reflection_pb2 as pb

    work = servicer or ReflectionServicer([*services, V1ALPHA], pool=pool).ServerReflectionInfo
    handler = grpc.stream_stream_rpc_method_handler(
        work, pb.ServerReflectionRequest.FromString, lambda each: each.SerializeToString()
    )
    return [
        grpc.method_handlers_generic_handler(each, {"ServerReflectionInfo": handler}) for each in versions
    ]


class Health:
    """The health service."""

    def __init__(self) -> None:
        self.status: Any = health_pb2.HealthCheckResponse.SERVING

    async def check(self, request: Any, context: Any) -> Any:
        return health_pb2.HealthCheckResponse(status=self.status)

    def handlers(self) -> list[Any]:
        handler = grpc.unary_unary_rpc_method_handler(
            self.check,
            health_pb2.HealthCheckRequest.FromString,
            health_pb2.HealthCheckResponse.SerializeToString,
        )
        return [grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler})]


def shop_handlers(shop_: Shop, services: Sequence[str] = SERVICES) -> list[Any]:
    return [
        grpc.method_handlers_generic_handler(
            name, {each.name: _handler(shop_, each) for each in shop().FindServiceByName(name).methods}
        )
        for name in services
    ]


@contextlib.asynccontextmanager
async def grpc_server(
    handlers: Sequence[Any], credentials: Any = None, port: int = 0, **options: Any
) -> AsyncIterator[int]:
    """A server on a free port; gives that."""
    server = grpc.aio.server(
        options=[("grpc.so_reuseport", 0), ("grpc.max_send_message_length", -1)], **options
    )
    server.add_generic_rpc_handlers(tuple(handlers))
    address = f"127.0.0.1:{port}"
    bound = (
        server.add_insecure_port(address)
        if credentials is None
        else server.add_secure_port(address, credentials)
    )
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(0)


@contextlib.asynccontextmanager
async def upstream(
    url: str | int, component: Any = None, base: Path = HERE, **config: Any
) -> AsyncIterator[Running]:
    """An upstream, started with this configuration."""
    wiring, log = Wiring(), Log()
    host = Host("up", "upstreams", log, Clock(), base, lambda _: component, wiring)
    where = url if isinstance(url, str) else f"grpc://127.0.0.1:{url}"
    async with GRPC.create(GrpcConfig(url=where, **config), host) as started:
        yield Running(started, wiring, log)


@contextlib.asynccontextmanager
async def shop_upstream(shop_: Shop | None = None, **config: Any) -> AsyncIterator[Running]:
    """The shop, and an upstream in front of it."""
    shop_ = shop_ or Shop()
    async with (
        grpc_server([*shop_handlers(shop_), *reflection(SERVICES, shop())]) as port,
        upstream(port, **config) as running,
    ):
        yield running


def tool(running: Running, name: str) -> Any:
    return next(each for each in running.upstream.offer.tools if each["name"] == name)


def names(running: Running) -> list[str]:
    return [each["name"] for each in running.upstream.offer.tools]


def now() -> float:
    return time.monotonic()
