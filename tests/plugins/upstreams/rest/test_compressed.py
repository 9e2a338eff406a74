"""Answers that are compressed although they were asked for as they are."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from typing import Any

import attrs
import pytest

from portico.api import Era, Refused
from portico_plugins.http1.coding import Garbled, Unpacker
from tests.plugins.upstreams.kit import call
from tests.plugins.upstreams.rest.kit import http, raw, running, simple

BODY = json.dumps({"a": list(range(500))}).encode()


def bare(data: bytes) -> bytes:
    packing = zlib.compressobj(wbits=-15)
    return packing.compress(data) + packing.flush()


CODED = [
    ("gzip", gzip.compress(BODY)),
    ("GZip", gzip.compress(BODY)),
    ("x-gzip", gzip.compress(BODY)),
    ("gzip", gzip.compress(BODY[:100]) + gzip.compress(BODY[100:])),
    ("deflate", zlib.compress(BODY)),
    ("deflate", bare(BODY)),
]


async def result(answer: Any, **config: Any) -> Any:
    async with (
        raw(answer) as server,
        running(openapi_inline=simple(), base_url=server.origin, **config) as up,
    ):
        said = json.loads((await up.send(call("op", era=Era.MODERN))).raw)
        assert b"Accept-Encoding: identity\r\n" in server.heads[0]
        return said


async def reason(answer: Any, **config: Any) -> str:
    with pytest.raises(Refused) as found:
        await result(answer, **config)
    assert found.value.code == 50200
    return str(found.value.data["gateway"]["reason"])


@pytest.mark.parametrize(("coding", "data"), CODED, ids=range(len(CODED)))
async def test_an_answer_that_is_compressed_unasked_is_unpacked(coding: str, data: bytes) -> None:
    whole = http(data, "application/json", "200 OK", f"Content-Encoding: {coding}")
    assert (await result(whole))["structuredContent"] == json.loads(BODY)


@pytest.mark.parametrize(("coding", "data"), CODED, ids=range(len(CODED)))
def test_it_is_unpacked_however_it_is_cut(coding: str, data: bytes) -> None:
    unpacker = Unpacker.of(coding.encode())
    assert unpacker is not None
    assert unpacker.finished
    pieces = []
    for at in range(len(data)):
        pieces += unpacker.feed(data[at : at + 1])
    assert b"".join(pieces) == BODY
    assert unpacker.finished


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 131_072, 1_000_000])
def test_no_piece_is_large_and_nothing_is_left_behind(size: int) -> None:
    unpacker = Unpacker(b"gzip")
    pieces = list(unpacker.feed(gzip.compress(b"x" * size)))
    assert max(map(len, pieces)) == min(size, 65_536)
    assert b"".join(pieces) == b"x" * size
    assert unpacker.finished


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "gzip, identity", ""])
def test_other_codings_and_several_are_not_undone(coding: str) -> None:
    assert Unpacker.of(coding.encode()) is None


def test_members_are_not_without_end() -> None:
    unpacker = Unpacker(b"gzip")
    with pytest.raises(Garbled):
        list(unpacker.feed(gzip.compress(b"") * 2000))


async def test_a_compressed_answer_keeps_its_connection_and_an_equal_head_its_meaning() -> None:
    """An answer like the last is taken without the parser, which is what would see that it is compressed."""
    bodies = [gzip.compress(f'{{"a":{n}}}'.encode(), mtime=0) for n in range(3)]
    assert len({len(body) for body in bodies}) == 1
    taken: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(writer)
        for body in bodies:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(http(body, "application/json", "200 OK", "Content-Encoding: gzip"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, running(openapi_inline=simple(), base_url=origin) as up:
        for n in range(3):
            said = json.loads((await up.send(call("op", era=Era.MODERN))).raw)
            assert said["structuredContent"] == {"a": n}
    assert len(taken) == 1


@pytest.mark.parametrize("status", ["200 OK", "204 No Content"])
async def test_a_coding_of_nothing_is_nothing(status: str) -> None:
    length = () if status.startswith("204") else ("Content-Length: 0",)
    head = "\r\n".join([f"HTTP/1.1 {status}", *length, "Content-Encoding: gzip", "", ""])
    assert (await result(head.encode()))["isError"] is False


async def test_the_body_of_an_error_is_unpacked() -> None:
    said = await result(http(gzip.compress(b"why"), "text/plain", "400 Bad", "Content-Encoding: gzip"))
    assert said["isError"] is True
    assert said["content"][0]["text"].endswith("why")


PACKED = gzip.compress(BODY, mtime=0)


@pytest.mark.parametrize(
    "data",
    [
        PACKED[:-1],
        PACKED[:20],
        PACKED[:-8] + b"\x00" * 8,
        PACKED + b"more",
        b"{}",
        b"\x1f",
        zlib.compress(BODY),
    ],
    ids=range(7),
)
@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
async def test_what_cannot_be_unpacked_fails_the_call(data: bytes, kind: str) -> None:
    assert await reason(http(data, kind, "200 OK", "Content-Encoding: gzip")) == "bad_compression"


@pytest.mark.parametrize(
    "data", [b"\x78", b"{}", zlib.compress(BODY)[:-1], zlib.compress(BODY) + b"x"], ids=range(4)
)
async def test_deflate_that_is_none_fails_the_call(data: bytes) -> None:
    answer = http(data, "application/json", "200 OK", "Content-Encoding: deflate")
    assert await reason(answer) == "bad_compression"


async def test_the_limit_is_one_of_what_comes_out() -> None:
    limit = {"max_response_bytes": len(BODY)}
    coded = "Content-Encoding: gzip"
    assert (await result(http(PACKED, "application/json", "200 OK", coded), **limit))["isError"] is False
    limit = {"max_response_bytes": len(BODY) - 1}
    assert await reason(http(PACKED, "application/json", "200 OK", coded), **limit) == "message_too_large"


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream", "application/x-ndjson"])
async def test_a_bomb_stops_at_the_limit(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out = 0
    unpacked = Unpacker._unpacked

    def counted(self: Unpacker, data: bytes) -> Any:
        nonlocal out
        for piece in unpacked(self, data):
            out += len(piece)
            yield piece

    monkeypatch.setattr(Unpacker, "_unpacked", counted)
    bomb = http(gzip.compress(b"x" * 20_000_000), kind, "200 OK", "Content-Encoding: gzip")
    limits = {"max_response_bytes": 100_000, "max_stream_bytes": 100_000}
    assert await reason(bomb, **limits) == "message_too_large"
    assert out <= 100_000 + 65_536


@attrs.define
class Shown:
    """Takes what is shown of a stream as it comes."""

    items: asyncio.Queue[Any] = attrs.field(factory=asyncio.Queue)

    async def notify(self, method: str, params: Any) -> None:
        await self.items.put(params["message"])


@pytest.mark.parametrize(
    ("kind", "item"), [("text/event-stream", b"data: %d\n\n"), ("application/x-ndjson", b"%d\n")]
)
async def test_a_compressed_stream_is_unpacked_as_it_comes(kind: str, item: bytes) -> None:
    go = asyncio.Event()

    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        packing = zlib.compressobj(wbits=31)
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Encoding: gzip\r\n\r\n".encode())
        writer.write(packing.compress(item % 1) + packing.flush(zlib.Z_SYNC_FLUSH))
        await go.wait()
        writer.write(packing.compress(item % 2) + packing.flush())

    shown = Shown()
    async with raw(answer) as server, running(openapi_inline=simple(), base_url=server.origin) as up:
        exchange = attrs.evolve(call("op", era=Era.MODERN), progress_token="t", client=shown)
        running_call = asyncio.create_task(up.send(exchange))
        try:
            async with asyncio.timeout(60):
                assert "1" in await shown.items.get()  # the server waits with the rest
                go.set()
                said = json.loads((await running_call).raw)
        finally:
            go.set()
            running_call.cancel()
    assert len(said["structuredContent"]["items"]) == 2
