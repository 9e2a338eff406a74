"""What a gRPC server has: found through reflection or a descriptor set, and not believed blindly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2

from portico.api import State
from portico_plugins.upstreams.grpc.descriptors import Unusable
from portico_plugins.upstreams.grpc.reflection import Reflection
from tests.plugins.upstreams.grpc_kit import (
    SERVICES,
    V1,
    V1ALPHA,
    Shop,
    descriptor_set,
    grpc_server,
    names,
    pool_from,
    reflection,
    shop,
    shop_handlers,
    shop_upstream,
    tool,
    upstream,
)
from tests.plugins.upstreams.grpc_wire import Stream, wire_server
from tests.plugins.upstreams.kit import call, text


@pytest.mark.parametrize("versions", [[V1], [V1ALPHA], [V1, V1ALPHA]], ids=["v1", "v1alpha", "both"])
async def test_services_are_found_by_either_version_of_reflection(versions: list[str]) -> None:
    handlers = [*shop_handlers(Shop()), *reflection(SERVICES, shop(), versions)]
    async with grpc_server(handlers) as port, upstream(port) as running:
        assert (running.upstream.state, running.upstream.reason) == (State.READY, "")
        assert {"Orders_Create", "Watch", "Orders_Watch"} & set(names(running)) == {
            "Orders_Create",
            "Orders_Watch",
        }
        assert not any("Reflection" in name for name in names(running))


async def test_a_server_without_reflection_says_so() -> None:
    async with grpc_server(shop_handlers(Shop())) as port, upstream(port) as running:
        assert running.upstream.state is State.DEGRADED
        assert "no server reflection" in running.upstream.reason


async def test_a_descriptor_set_takes_the_place_of_reflection_and_brings_comments(tmp_path: Path) -> None:
    (tmp_path / "shop.pb").write_bytes(descriptor_set())
    async with (
        grpc_server(shop_handlers(Shop())) as port,
        upstream(port, base=tmp_path, descriptors=Path("shop.pb")) as running,
    ):
        create = tool(running, "Orders_Create")
        assert create["description"] == ("Create an order\nand give it back.\n\nOrders: Orders of the shop.")
        properties = create["inputSchema"]["properties"]
        assert properties["customerId"]["description"] == "Who pays."
        assert "STATUS_OPEN: Not paid yet." in properties["status"]["description"]
        result = await running.send(call("Orders_Get", {"id": "7"}))
        assert result.value["structuredContent"]["id"] == "7"


async def test_a_descriptor_set_that_is_none_or_lacks_imports_is_named(tmp_path: Path) -> None:
    whole = descriptor_pb2.FileDescriptorSet.FromString(descriptor_set())
    alone = descriptor_pb2.FileDescriptorSet(file=[each for each in whole.file if each.name == "shop.proto"])
    async with grpc_server(shop_handlers(Shop())) as port:
        for content, said in (
            (b"\xff\xff", "no descriptor set"),
            (alone.SerializeToString(), "--include_imports"),
        ):
            (tmp_path / "shop.pb").write_bytes(content)
            async with upstream(port, base=tmp_path, descriptors=Path("shop.pb")) as running:
                assert said in running.upstream.reason
        async with upstream(port, base=tmp_path, descriptors=Path("gone.pb")) as running:
            assert running.upstream.reason.startswith("file_not_readable")


async def test_services_and_methods_are_chosen_by_pattern() -> None:
    async with grpc_server([*shop_handlers(Shop()), *reflection(SERVICES, shop())]) as port:
        async with upstream(port, services=("acme.shop.v1.Orders/C*", "*.Lines")) as running:
            assert names(running) == ["Lines_Create", "Orders_Create", "Orders_Cancel", "Orders_Chat"]
        async with upstream(port, services=("*.Orders",), exclude=("*/C*", "*/*a*")) as running:
            assert names(running) == [
                f"Orders_{each}" for each in ("Get", "Peek", "Ping", "Shout", "Free", "Slow", "Mirror")
            ]


async def test_patterns_that_leave_nothing_or_fit_nothing_are_told() -> None:
    async with grpc_server([*shop_handlers(Shop()), *reflection(SERVICES, shop())]) as port:
        for more in ({"services": ("nothing.*",)}, {"exclude": ("*",)}, {"services": ("*/Nothing",)}):
            async with upstream(port, **more) as running:
                assert (names(running), running.upstream.state) == ([], State.DEGRADED)
                assert running.upstream.reason.startswith("no_methods (`services` and `exclude` leave none")
        patterns = ("acme.shop.v1.Orders", "acme.shop.v1.Line")
        async with upstream(port, services=patterns, exclude=("*/C*",)) as running:
            assert running.upstream.state is State.READY
            told = [facts for _, event, facts in running.log.lines if event == "grpc_pattern_fits_nothing"]
            assert told == [{"pattern": patterns[1], "hint": "did you mean 'acme.shop.v1.Lines'?"}]


async def test_tools_of_one_short_name_have_their_full_names() -> None:
    async with grpc_server([*shop_handlers(Shop()), *reflection(SERVICES, shop())]) as port:
        async with upstream(port, services=("*/Create", "*/Get"), names="method") as running:
            assert names(running) == ["acme_shop_v1_Lines_Create", "acme_shop_v1_Orders_Create", "Get"]
        async with upstream(port, services=("*/Get",), names="full") as running:
            assert names(running) == ["acme_shop_v1_Orders_Get"]


def _pool(*files: descriptor_pb2.FileDescriptorProto) -> Any:
    return pool_from(descriptor_pb2.FileDescriptorSet(file=files).SerializeToString())


async def test_two_upstreams_may_define_the_same_thing_differently() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="shop.proto", package="acme.shop.v1", syntax="proto3")
    file.message_type.add(name="Order").field.add(name="other", number=1, type=9, label=1, json_name="other")
    service = file.service.add(name="Orders")
    service.method.add(name="Get", input_type=".acme.shop.v1.Order", output_type=".acme.shop.v1.Order")
    async with (
        shop_upstream() as one,
        grpc_server(reflection(["acme.shop.v1.Orders"], _pool(file))) as port,
        upstream(port) as two,
    ):
        assert "customerId" in tool(one, "Orders_Create")["inputSchema"]["properties"]
        assert list(tool(two, "Orders_Get")["inputSchema"]["properties"]) == ["other"]


async def test_a_listed_service_that_nobody_can_describe_is_left_out() -> None:
    services = [*SERVICES, "acme.Gone"]
    async with (
        grpc_server([*shop_handlers(Shop()), *reflection(services, shop())]) as port,
        upstream(port) as running,
    ):
        assert running.upstream.state is State.READY
        assert "Orders_Get" in names(running)
        assert "grpc_service_left_out" in running.log.events()


def _answering(*answers: reflection_pb2.ServerReflectionResponse, listed: str = "evil.Service") -> Any:
    """A reflection that lists one service, and then gives these answers, the last one again and again."""
    given = iter(answers)
    last = answers[-1]

    async def info(requests: Any, context: Any) -> Any:
        async for request in requests:
            if request.HasField("list_services"):
                answer = reflection_pb2.ServerReflectionResponse()
                answer.list_services_response.service.add(name=listed)
                yield answer
            else:
                yield next(given, last)

    return reflection([], shop(), [V1], info)


def _file(*files: descriptor_pb2.FileDescriptorProto | bytes) -> reflection_pb2.ServerReflectionResponse:
    answer = reflection_pb2.ServerReflectionResponse()
    for file in files:
        raw = file if isinstance(file, bytes) else file.SerializeToString()
        answer.file_descriptor_response.file_descriptor_proto.append(raw)
    return answer


def _proto(name: str = "evil.proto", package: str = "evil", imports: tuple[str, ...] = ()) -> Any:
    return descriptor_pb2.FileDescriptorProto(name=name, package=package, dependency=imports, syntax="proto3")


def _nested(depth: int) -> Any:
    file = _proto()
    here = file.message_type.add(name="M")
    for _ in range(depth):
        here = here.nested_type.add(name="M")
    return file


def _unresolved() -> Any:
    file = _proto()
    file.service.add(name="Service").method.add(name="Do", input_type=".evil.No", output_type=".evil.No")
    return file


def _impostor() -> Any:
    file = _proto(package="google.protobuf")
    file.message_type.add(name="Timestamp")
    return file


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (_file(b"\xff\xff\xff"), "malformed"),
        (_file(_proto(imports=("gone.proto",))), "which is missing"),
        (_file(_proto(imports=("evil.proto",))), "imports itself"),
        (_file(_proto(imports=("b.proto",)), _proto("b.proto", imports=("evil.proto",))), "imports itself"),
        (_file(_nested(40)), "nested deeper"),
        (_file(_unresolved()), "make no sense"),
        (_file(_impostor()), "claims the package"),
        (_file(*(_proto(f"{n}.proto") for n in range(2100))), "more than 2000 files"),
    ],
    ids=["garbage", "missing", "self", "cycle", "deep", "unresolved", "impostor", "many"],
)
async def test_descriptors_that_make_no_sense_are_refused_with_a_reason(answer: Any, said: str) -> None:
    async with grpc_server(_answering(answer)) as port, upstream(port) as running:
        assert running.upstream.state is State.DEGRADED
        assert said in running.upstream.reason
        assert running.upstream.offer.tools == ()


async def test_descriptors_beyond_the_limit_are_not_taken() -> None:
    async with (
        grpc_server([*shop_handlers(Shop()), *reflection(SERVICES, shop())]) as port,
        upstream(port, max_descriptor_bytes=2000) as running,
    ):
        assert "larger than 2000 bytes" in running.upstream.reason


async def test_an_endless_chain_of_imports_ends() -> None:
    numbers = iter(range(10**6))

    async def info(requests: Any, context: Any) -> Any:
        async for request in requests:
            answer = reflection_pb2.ServerReflectionResponse()
            if request.HasField("list_services"):
                answer.list_services_response.service.add(name="evil.Service")
                yield answer
                continue
            number = next(numbers)
            name = request.file_by_filename or "0.proto"
            yield _file(
                _proto(name, imports=(f"{number + 1}.proto",)).SerializeToString() + b"\x62\x00" * 50_000
            )

    async with (
        grpc_server(reflection([], shop(), [V1], info)) as port,
        upstream(port, max_descriptor_bytes=1_000_000) as running,
    ):
        assert "larger than 1000000 bytes" in running.upstream.reason
        assert next(numbers) < 30


async def test_a_well_known_type_is_ours_whatever_the_server_says_it_is() -> None:
    lie = _proto("google/protobuf/timestamp.proto", "google.protobuf")
    lie.message_type.add(name="Timestamp").field.add(name="gotcha", number=1, type=9, label=1)
    file = _proto(imports=("google/protobuf/timestamp.proto",))
    kind = ".google.protobuf.Timestamp"
    file.service.add(name="Service").method.add(name="Do", input_type=kind, output_type=kind)

    async def same(request: bytes, context: Any) -> bytes:
        return request

    handler = grpc.method_handlers_generic_handler(
        "evil.Service", {"Do": grpc.unary_unary_rpc_method_handler(same)}
    )
    async with grpc_server([handler, *_answering(_file(file, lie))]) as port, upstream(port) as running:
        result = await running.send(call("Service_Do", {"value": "2026-11-21T00:00:00Z"}))
        assert text(result) == '{"value":"2026-11-21T00:00:00Z"}'


async def test_reflection_that_does_not_answer_is_given_up() -> None:
    async def info(requests: Any, context: Any) -> Any:
        async for _ in requests:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "late")
            yield

    async with grpc_server(reflection([], shop(), [V1], info)) as port, upstream(port) as running:
        assert "does not answer in time" in running.upstream.reason


async def test_reflection_that_is_refused_before_it_is_asked_is_not_there() -> None:
    async def refuse(stream: Stream) -> None:
        stream.refuse(12)

    async with wire_server(refuse, early=True) as port:
        for _ in range(60):
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                await channel.channel_ready()
                with pytest.raises(Unusable, match="no server reflection"):
                    await Reflection(channel, (), 30, 1000).services()
