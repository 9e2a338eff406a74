"""Types and extensions that no service names, and descriptors made of .proto files."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer

from portico.api import Refused, State
from portico_plugins.upstreams.grpc import config
from portico_plugins.upstreams.grpc.config import GrpcConfig
from tests.plugins.upstreams.grpc_kit import (
    PROTOS,
    Shop,
    descriptor_set,
    grpc_server,
    names,
    reflection,
    shop_handlers,
    tool,
    upstream,
)
from tests.plugins.upstreams.kit import Client, call, text

HIDDEN = "type.googleapis.com/acme.hidden.v1.Hidden"
BASE = "type.googleapis.com/acme.hidden.v1.Base"
NESTED = {"@type": HIDDEN, "text": "a", "base": {"number": "7"}, "more": {"@type": BASE, "number": "8"}}


def whole(*files: str) -> DescriptorPool:
    pool = DescriptorPool()
    seen = set()
    for name in files:
        for file in descriptor_pb2.FileDescriptorSet.FromString(descriptor_set(name)).file:
            if file.name not in seen:
                seen.add(file.name)
                file.ClearField("source_code_info")
                pool.AddSerializedFile(file.SerializeToString())
    return pool


def echoing(pool: DescriptorPool, service: str) -> list[Any]:
    """Handlers that give the message back, once or three times."""

    async def once(request: Any, context: Any) -> Any:
        return request

    async def thrice(request: Any, context: Any) -> AsyncIterator[Any]:
        for _ in range(3):
            yield request

    made = {}
    for method in pool.FindServiceByName(service).methods:
        make = (
            grpc.unary_stream_rpc_method_handler
            if method.server_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        work = thrice if method.server_streaming else once
        kind = GetMessageClass(method.input_type)
        made[method.name] = make(work, kind.FromString, lambda each: each.SerializeToString())
    return [grpc.method_handlers_generic_handler(service, made)]


class Asked:
    """Reflection that remembers what it was asked."""

    def __init__(self, services: list[str], pool: DescriptorPool) -> None:
        self.symbols: list[str] = []
        self._work = ReflectionServicer(services, pool=pool)

    async def info(self, requests: Any, context: Any) -> Any:
        async def noted() -> AsyncIterator[Any]:
            async for each in requests:
                if each.WhichOneof("message_request") == "file_containing_symbol":
                    self.symbols.append(each.file_containing_symbol)
                yield each

        async for answer in self._work.ServerReflectionInfo(noted(), context):
            yield answer


def content(result: Any) -> Any:
    return result.value["structuredContent"]


# --- Any -------------------------------------------------------------------------------------------------


async def test_a_type_that_no_service_names_is_asked_for_when_it_comes_and_then_known() -> None:
    pool = whole("boxes.proto", "hidden.proto")
    asked = Asked(["acme.boxes.v1.Boxes"], pool)
    handlers = [
        *echoing(pool, "acme.boxes.v1.Boxes"),
        *reflection([], pool, servicer=asked.info),
    ]
    client = Client()
    async with grpc_server(handlers) as port, upstream(port) as running:
        for _ in range(2):  # in what is sent
            result = await running.send(call("Boxes_Echo", {"content": dict(NESTED)}))
            assert content(result) == {"content": NESTED}
        assert asked.symbols == ["acme.boxes.v1.Boxes", "acme.hidden.v1.Hidden"]
        async with upstream(port) as other:  # in what comes: it was not this one that sent it
            request = call("Boxes_Open", {"content": dict(NESTED)}, client=client, progress_token=1)
            assert content(await other.send(request))["items"] == [{"content": NESTED}] * 3
    assert len(client.frames) == 3


async def test_a_type_that_comes_from_the_server_alone_is_asked_for() -> None:
    pool = whole("boxes.proto", "hidden.proto")
    hidden = GetMessageClass(pool.FindMessageTypeByName("acme.hidden.v1.Hidden"))(text="out of nowhere")

    async def gives(request: Any, context: Any) -> bytes:
        box = GetMessageClass(pool.FindMessageTypeByName("acme.boxes.v1.Box"))()
        box.content.type_url, box.content.value = HIDDEN, hidden.SerializeToString()
        return bytes(box.SerializeToString())

    handler = grpc.method_handlers_generic_handler(
        "acme.boxes.v1.Boxes", {"Echo": grpc.unary_unary_rpc_method_handler(gives)}
    )
    handlers = [handler, *reflection(["acme.boxes.v1.Boxes"], pool)]
    async with grpc_server(handlers) as port, upstream(port) as running:
        found = content(await running.send(call("Boxes_Echo", {})))["content"]
        assert (found["@type"], found["text"]) == (HIDDEN, "out of nowhere")


@pytest.mark.parametrize("name", ["nobody.Knows", "../../x", "a" * 400, "", "acme.boxes.v1.Boxes"])
async def test_a_type_that_the_server_does_not_know_is_said_and_asked_for_once(name: str) -> None:
    pool = whole("boxes.proto")
    asked = Asked(["acme.boxes.v1.Boxes"], pool)
    handlers = [*echoing(pool, "acme.boxes.v1.Boxes"), *reflection([], pool, servicer=asked.info)]
    async with grpc_server(handlers) as port, upstream(port) as running:
        for _ in range(3):
            result = await running.send(call("Boxes_Echo", {"content": {"@type": f"x.example/{name}"}}))
            assert result.value["isError"] is True
            assert "Can not find message descriptor" in text(result)
        assert asked.symbols.count(name) <= 1 + (name == "acme.boxes.v1.Boxes")
        assert len(asked.symbols) <= 2


async def test_types_beyond_the_limit_of_descriptors_are_not_taken() -> None:
    pool = whole("boxes.proto", "hidden.proto")
    handlers = [
        *echoing(pool, "acme.boxes.v1.Boxes"),
        *reflection(["acme.boxes.v1.Boxes"], pool),
    ]
    large = descriptor_pb2.FileDescriptorProto(name="large.proto", package="large", syntax="proto3")
    large.message_type.add(name="Large").field.add(name="x" * 5000, number=1, label=1, type=9)
    pool.AddSerializedFile(large.SerializeToString())
    async with grpc_server(handlers) as port, upstream(port, max_descriptor_bytes=4000) as running:
        assert running.upstream.state is State.READY
        result = await running.send(call("Boxes_Echo", {"content": {"@type": "a/large.Large"}}))
        assert "Can not find message descriptor" in text(result)
        fine = await running.send(call("Boxes_Echo", {"content": {"@type": BASE, "number": "1"}}))
        assert content(fine)["content"]["number"] == "1"


async def test_a_file_that_contradicts_what_is_known_changes_nothing() -> None:
    pool = whole("boxes.proto")
    liar = descriptor_pb2.FileDescriptorProto(name="liar.proto", package="acme.boxes.v1", syntax="proto3")
    liar.message_type.add(name="Box")
    liar.message_type.add(name="Liar")

    async def info(requests: Any, context: Any) -> Any:
        true = ReflectionServicer(["acme.boxes.v1.Boxes"], pool=pool)
        async for request in requests:
            if request.file_containing_symbol == "acme.boxes.v1.Liar":
                answer = reflection_pb2.ServerReflectionResponse()
                answer.file_descriptor_response.file_descriptor_proto.append(liar.SerializeToString())
                yield answer
                continue

            async def one(asked: Any = request) -> AsyncIterator[Any]:
                yield asked

            async for answer in true.ServerReflectionInfo(one(), context):
                yield answer

    handlers = [*echoing(pool, "acme.boxes.v1.Boxes"), *reflection([], pool, servicer=info)]
    async with grpc_server(handlers) as port, upstream(port) as running:
        result = await running.send(call("Boxes_Echo", {"content": {"@type": "a/acme.boxes.v1.Liar"}}))
        assert result.value["isError"] is True
        own = {"@type": "a/acme.boxes.v1.Box"}
        assert content(await running.send(call("Boxes_Echo", {"content": dict(own)}))) == {"content": own}


# --- proto2 ----------------------------------------------------------------------------------------------


async def test_extensions_of_other_files_are_found_by_reflection_and_go_both_ways() -> None:
    pool = whole("old.proto", "old_more.proto")
    handlers = [*echoing(pool, "acme.old.v1.Olds"), *reflection(["acme.old.v1.Olds"], pool)]
    given = {
        "name": "n",
        "tries": 0,
        "line": {"text": "t", "marks": [1, 2]},
        "part": [{"text": "p"}],
        "[acme.old.v1.note]": "later",
        "[acme.old.v1.Old.Nested.nested]": {"text": "in"},
        "[acme.old.v1.counts]": ["1", "2"],
        "[acme.more.v1.tint]": "RED",
    }
    async with grpc_server(handlers) as port, upstream(port) as running:
        properties = tool(running, "Olds_Echo")["inputSchema"]["properties"]
        assert properties["[acme.more.v1.tint]"] == {"type": "string", "enum": ["RED", "BLUE"]}
        assert content(await running.send(call("Olds_Echo", dict(given)))) == given
        lacking = await running.send(call("Olds_Echo", {"tries": 1}))
        assert "missing required fields: name" in text(lacking)


async def test_a_server_that_knows_nothing_of_extensions_is_fine() -> None:
    pool = whole("old.proto")

    async def info(requests: Any, context: Any) -> Any:
        async for request in requests:
            if request.WhichOneof("message_request") == "all_extension_numbers_of_type":
                await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")

            async def one(asked: Any = request) -> AsyncIterator[Any]:
                yield asked

            work = ReflectionServicer(["acme.old.v1.Olds"], pool=pool)
            async for answer in work.ServerReflectionInfo(one(), context):
                yield answer

    handlers = [*echoing(pool, "acme.old.v1.Olds"), *reflection([], pool, servicer=info)]
    async with grpc_server(handlers) as port, upstream(port) as running:
        assert running.upstream.state is State.READY
        assert content(await running.send(call("Olds_Echo", {"name": "n"})))["name"] == "n"


# --- .proto files ----------------------------------------------------------------------------------------


async def test_proto_files_take_the_place_of_reflection_and_bring_comments(tmp_path: Path) -> None:
    shutil.copytree(PROTOS / "buf", tmp_path / "vendor" / "buf")
    shutil.copy(PROTOS / "shop.proto", tmp_path)
    files = {"protos": (Path("shop.proto"),), "proto_paths": (Path("vendor"),)}
    async with (
        grpc_server(shop_handlers(Shop())) as port,
        upstream(port, base=tmp_path, **files) as running,
    ):
        create = tool(running, "Orders_Create")
        assert create["description"] == "Create an order\nand give it back.\n\nOrders: Orders of the shop."
        assert create["inputSchema"]["properties"]["customerId"]["description"] == "Who pays."
        assert content(await running.send(call("Orders_Get", {"id": "7"})))["id"] == "7"


async def test_a_folder_of_proto_files_is_all_of_them_and_a_changed_one_is_seen(tmp_path: Path) -> None:
    folder = tmp_path / "protos"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(PROTOS / "boxes.proto", folder)
    shutil.copy(PROTOS / "old.proto", folder / "deep")
    async with (
        grpc_server([]) as port,
        upstream(port, base=tmp_path, protos=(Path("protos"),)) as running,
    ):
        assert names(running) == ["Boxes_Echo", "Boxes_Open", "Olds_Echo"]
        source = (folder / "boxes.proto").read_text()
        (folder / "boxes.proto").write_text(source.replace("rpc Open", "rpc Unpack"))
        await running.upstream.refresh()
        await running.wiring.until(lambda: "Boxes_Unpack" in names(running))
        assert "Boxes_Open" not in names(running)


async def test_a_proto_file_that_is_wrong_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "bad.proto").write_text('syntax = "proto3";\nmessage {}\n')
    async with (
        grpc_server([]) as port,
        upstream(port, base=tmp_path, protos=(Path("bad.proto"),)) as running,
    ):
        assert running.upstream.state is State.DEGRADED
        assert "bad.proto:2:9: Expected message name" in running.upstream.reason
        assert str(tmp_path) not in running.upstream.reason
    async with upstream(1, base=tmp_path, protos=(Path("bad.proto"),)) as running:
        with pytest.raises(Refused):
            await running.send(call("x", {}))


async def test_a_proto_file_that_is_missing_is_named(tmp_path: Path) -> None:
    async with (
        grpc_server([]) as port,
        upstream(port, base=tmp_path, protos=(Path("gone.proto"),)) as running,
    ):
        assert running.upstream.reason.startswith("file_not_readable")
        assert "gone.proto" in running.upstream.reason
    (tmp_path / "empty").mkdir()
    async with grpc_server([]) as port, upstream(port, base=tmp_path, protos=(Path("empty"),)) as running:
        assert "no .proto file in 'empty'" in running.upstream.reason


def test_proto_files_need_a_compiler_and_exclude_a_descriptor_set(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"url": "grpc://a:1", "protos": (Path("a.proto"),)}
    GrpcConfig(**found)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="two ways to say the same"):
        GrpcConfig(**found, descriptors=Path("a.pb"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="means nothing without"):
        GrpcConfig(url="grpc://a:1", proto_paths=(Path("a"),))
    real = config.find_spec
    monkeypatch.setattr(config, "find_spec", lambda name: None if name == "grpc_tools" else real(name))
    with pytest.raises(ValueError, match=r"pip install 'portico\[grpc-tools\]'"):
        GrpcConfig(**found)  # type: ignore[arg-type]


async def test_what_a_service_leaves_out_of_reflection_is_what_files_are_for() -> None:
    """With files, an unknown type is not asked for: whoever gave them has decided what is known."""
    pool = whole("boxes.proto", "hidden.proto")
    asked = Asked(["acme.boxes.v1.Boxes"], pool)
    handlers = [*echoing(pool, "acme.boxes.v1.Boxes"), *reflection([], pool, servicer=asked.info)]
    async with (
        grpc_server(handlers) as port,
        upstream(port, base=PROTOS, protos=(Path("boxes.proto"),)) as running,
    ):
        result = await running.send(call("Boxes_Echo", {"content": dict(NESTED)}))
        assert "Can not find message descriptor" in text(result)
    await asyncio.sleep(0)
    assert asked.symbols == []
