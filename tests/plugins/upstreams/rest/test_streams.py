"""Answers that are streams: collected, shown as they come, bounded, and ended with the call."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from portico.api import UPSTREAM_BAD_RESPONSE, UPSTREAM_TIMEOUT, Json, Refused
from portico_plugins.upstreams.rest.config import OperationSettings, Shape
from tests.plugins.upstreams.kit import Client, call, text
from tests.plugins.upstreams.rest.kit import raw, running, simple

SSE = "text/event-stream"
LINES = "application/x-ndjson"
SEQ = "application/json-seq"


def head(kind: str, *more: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", f"Content-Type: {kind}", *more]).encode() + b"\r\n\r\n"


async def streamed(body: bytes, kind: str = SSE, client: Client | None = None, **config: Any) -> Json:
    """The result of a call that is answered with this stream."""
    config.setdefault("openapi_inline", simple())
    more: Json = {"client": client, "progress_token": "p"} if client is not None else {}
    async with raw(head(kind) + body) as server, running(base_url=server.origin, **config) as up:
        result = await up.send(call("op", **more))
        value: Json = json.loads(result.raw)
        return value


@pytest.mark.parametrize(
    ("kind", "body", "items"),
    [
        (SSE, b"data: 1\n\ndata: 2\n\n", [{"data": 1}, {"data": 2}]),
        (
            SSE,
            b': hello\n\nevent: add\nid: 7\ndata: {"a":\ndata: 1}\n\n',
            [{"event": "add", "id": "7", "data": {"a": 1}}],
        ),
        (SSE, b"data: [DONE]\n\nid: 3\n\nretry: 5\n\ndata: cut", [{"data": "[DONE]"}]),
        (SSE + "; charset=utf-8", "\ufeffdata: é\r\n\r\n".encode(), [{"data": "é"}]),
        (LINES, b'{"a": 1}\n\n  [2]\r\n"x"', [{"a": 1}, [2], "x"]),
        ("application/jsonl; charset=utf-8", b"12345678901234567890\n", [12345678901234567890]),
        (SEQ, b'\x1e{"a":\n 1}\n\x1e2\n', [{"a": 1}, 2]),
        (LINES, b"", []),
        (SSE, b"", []),
    ],
)
async def test_a_stream_is_collected_as_items(kind: str, body: bytes, items: list[Any]) -> None:
    found = await streamed(body, kind)
    assert found["structuredContent"] == {"items": items}
    assert json.loads(found["content"][0]["text"]) == {"items": items}
    assert found["isError"] is False


async def test_items_are_the_same_in_whatever_slices_they_come() -> None:
    body = b'{"a": "\xc3\xa9"}\n{"b": 2}\n'
    for kind, whole in ((LINES, body), (SSE, b"data: " + body[:10] + b"\r\n\r\ndata: 2\r\n\r\n")):

        async def serve(
            asked: bytes, writer: asyncio.StreamWriter, kind: str = kind, whole: bytes = whole
        ) -> None:
            writer.write(head(kind, "Transfer-Encoding: chunked"))
            for at in range(len(whole)):
                writer.write(b"1\r\n" + whole[at : at + 1] + b"\r\n")
                await writer.drain()
                await asyncio.sleep(0)
            writer.write(b"0\r\n\r\n")

        async with raw(serve) as server, running(openapi_inline=simple(), base_url=server.origin) as up:
            items = (await up.send(call("op"))).value["structuredContent"]["items"]
        assert items == [{"a": "é"}, {"b": 2}] if kind == LINES else len(items) == 2


class Slow:
    """A server that sends one line at a time, when it is told to, and says when its client has gone."""

    def __init__(self, kind: str = LINES) -> None:
        self.kind = kind
        self.lines: asyncio.Queue[bytes] = asyncio.Queue()
        self.gone = asyncio.Event()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Gives its origin."""
        listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        finally:
            listening.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head(self.kind))
        sending = asyncio.create_task(self._send(writer))
        with contextlib.suppress(ConnectionError):
            await reader.read()
        sending.cancel()
        writer.close()
        self.gone.set()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(await self.lines.get())
            await writer.drain()


async def test_each_item_is_progress_as_it_comes() -> None:
    slow, client = Slow(), Client()
    async with slow.serving() as origin, running(openapi_inline=simple(), base_url=origin) as up:
        task = asyncio.create_task(up.send(call("op", client=client, progress_token="p")))
        for n in (1, 2):
            client.news.clear()
            slow.lines.put_nowait(b'{"n": %d}\n' % n)
            await asyncio.wait_for(client.news.wait(), 30)
            params = {"progressToken": "p", "progress": n, "message": f'{{"n": {n}}}'}
            assert client.frames[-1] == ("notifications/progress", params)
        assert not task.done()
        task.cancel()
        await asyncio.wait_for(slow.gone.wait(), 30)
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_nothing_is_progress_without_a_token_and_large_items_are_not_shown() -> None:
    client = Client()
    async with (
        raw(head(LINES) + b"1\n2\n") as server,
        running(openapi_inline=simple(), base_url=server.origin) as up,
    ):
        await up.send(call("op", client=client))
        assert not client.frames
    await streamed(b'"' + b"x" * 20_000 + b'"\n', LINES, client)
    assert client.frames[0][1]["message"] == "an item of 20002 bytes"


@pytest.mark.parametrize(
    ("limits", "why", "most"),
    [({"max_stream_items": 3}, "max_stream_items", 3), ({"max_stream_bytes": 1024}, "max_stream_bytes", 512)],
)
async def test_a_stream_without_end_is_ended_at_the_limit(limits: Json, why: str, most: int) -> None:
    gone = asyncio.Event()

    async def flood(asked: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(head(LINES))
        try:
            while True:
                writer.write(b"1\n" * 100)
                await writer.drain()
        finally:
            writer.transport.abort()
            gone.set()

    async with raw(flood) as server, running(openapi_inline=simple(), base_url=server.origin, **limits) as up:
        value = (await up.send(call("op"))).value
        await asyncio.wait_for(gone.wait(), 30)
    assert value["isError"] is False
    assert value["structuredContent"]["truncated"] == why
    assert len(value["structuredContent"]["items"]) == most


@pytest.mark.parametrize("nearer", ["timeout", "deadline"])
async def test_what_came_in_time_is_the_result_when_time_is_up(nearer: str) -> None:
    slow = Slow()
    slow.lines.put_nowait(b"1\n")
    own = {"op": OperationSettings(timeout=1.5)} if nearer == "timeout" else {}
    seconds = 1.5 if nearer == "deadline" else 20
    async with (
        slow.serving() as origin,
        running(openapi_inline=simple(), base_url=origin, operations=own) as up,
    ):
        value = (await up.send(call("op", seconds=seconds))).value
        assert value["structuredContent"] == {"items": [1], "truncated": "deadline"}
        await asyncio.wait_for(slow.gone.wait(), 30)


async def refused(answer: bytes, **config: Any) -> tuple[int, str]:
    async with (
        raw(answer) as server,
        running(openapi_inline=simple(), base_url=server.origin, **config) as up,
    ):
        with pytest.raises(Refused) as found:
            await up.send(call("op"))
        return found.value.code, found.value.data["gateway"]["reason"]


async def test_a_stream_that_is_no_stream_fails_with_a_reason() -> None:
    own = {"op": OperationSettings(timeout=0.2)}
    async with (
        Slow().serving() as origin,
        running(openapi_inline=simple(), base_url=origin, operations=own) as up,
    ):
        with pytest.raises(Refused) as found:
            await up.send(call("op"))
        assert found.value.code == UPSTREAM_TIMEOUT
    assert await refused(head(LINES) + b"{") == (UPSTREAM_BAD_RESPONSE, "bad_json")
    assert await refused(head(SEQ) + b"\x1e{") == (UPSTREAM_BAD_RESPONSE, "bad_json")
    assert await refused(head(SSE) + b"data: \xff\n\n") == (UPSTREAM_BAD_RESPONSE, "bad_text")
    long = head(LINES) + b'"' + b"x" * 5000
    assert await refused(long, max_stream_bytes=1024) == (UPSTREAM_BAD_RESPONSE, "message_too_large")
    cut = head(LINES, "Content-Length: 100") + b"1"
    assert await refused(cut) == (UPSTREAM_BAD_RESPONSE, "answer_cut_short")


CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("answer", "why", "items"),
    [
        (head(LINES, CHUNKED) + b'9\r\n{"n": 1}\n\r\n3\r\n{"n\r\n', "answer_cut_short", [{"n": 1}]),
        (head(LINES, "Content-Length: 100") + b"1\n2\n", "answer_cut_short", [1, 2]),
        (head(SSE, CHUNKED) + b"9\r\ndata: 1\n\n\r\n", "answer_cut_short", [{"data": 1}]),
        (head(LINES) + b"{}\n{", "bad_json", [{}]),
        (head(LINES) + b"1\n" + b"x" * 5000, "message_too_large", [1]),
    ],
)
async def test_a_stream_that_breaks_off_gives_what_came_and_why(
    answer: bytes, why: str, items: list[Any]
) -> None:
    client, bounds = Client(), {"max_stream_bytes": 1024, "openapi_inline": simple()}

    async def cut(asked: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer[:-1])
        await writer.drain()
        await client.news.wait()  # an item has come
        writer.write(answer[-1:])

    async with raw(cut) as server, running(base_url=server.origin, **bounds) as up:
        value = (await up.send(call("op", client=client, progress_token="p"))).value
    assert value["isError"] is True
    said, came = (each["text"] for each in value["content"])
    assert said == f"The API's answer could not be taken to its end ({why}). What had come of it:"
    assert json.loads(came) == {"items": items, "truncated": why}
    assert "structuredContent" not in value
    assert value["_meta"] == {"portico/httpStatus": 200}
    assert len(client.frames) == len(items)


async def test_a_stream_that_breaks_off_gives_no_more_than_its_shape_and_no_success() -> None:
    own = {"op": OperationSettings(shape=Shape(jsonpath="$.items[*].n"))}
    body = head(LINES, "Content-Length: 100") + b'{"n": 1, "s": "s3"}\n'
    async with (
        raw(body) as server,
        running(openapi_inline=simple(), base_url=server.origin, operations=own) as up,
    ):
        value = (await up.send(call("op"))).value
    assert (value["isError"], value["content"][1]["text"]) == (True, "[1]")
    assert "s3" not in json.dumps(value)


async def test_a_stream_that_has_ended_leaves_its_connection_for_the_next_call() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(head(LINES, "Transfer-Encoding: chunked") + b"2\r\n1\n\r\n0\r\n\r\n")
        except asyncio.IncompleteReadError:
            writer.close()
            gone.set()

    connections = 0
    gone = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        async with running(openapi_inline=simple(), base_url=origin) as up:
            for _ in range(3):
                assert (await up.send(call("op"))).value["structuredContent"] == {"items": [1]}
        await asyncio.wait_for(gone.wait(), 30)
    assert connections == 1


async def test_the_document_can_say_what_the_items_are() -> None:
    item = {"type": "object", "properties": {"n": {"$ref": "#/components/schemas/N"}}}
    document = simple(responses={"200": {"content": {"application/jsonl": {"itemSchema": item}}}})
    document |= {"openapi": "3.2.0", "components": {"schemas": {"N": {"type": "integer"}}}}
    async with raw(head("application/jsonl") + b'{"n": 1}\n') as server:
        async with running(openapi_inline=document, base_url=server.origin, output="full") as up:
            (definition,) = up.upstream.offer.tools
            assert definition["outputSchema"]["properties"]["items"]["items"]["properties"]["n"] == {
                "$ref": "#/$defs/N"
            }
            assert (await up.send(call("op"))).value["structuredContent"] == {"items": [{"n": 1}]}
        assert b"\r\nAccept: application/jsonl, application/json;q=0.8, */*;q=0.5\r\n" in server.heads[0]
    async with (
        raw(head("application/jsonl") + b'{"n": "x"}\n') as server,
        running(openapi_inline=document, base_url=server.origin, output="full") as up,
    ):
        assert "output schema" in text(await up.send(call("op")))


async def test_what_may_be_a_stream_or_not_promises_neither() -> None:
    content = {SSE: {}, "application/json": {"schema": {"type": "object"}}}
    document = simple(responses={"200": {"content": content}})
    found = await streamed(b"data: 1\n\n", openapi_inline=document, output="full")
    assert found["structuredContent"] == {"items": [{"data": 1}]}


async def test_a_stream_is_shaped_as_a_whole_and_its_progress_shows_no_items() -> None:
    client = Client()
    own = {"op": OperationSettings(shape=Shape(jsonpath="$.items[*].n"))}
    found = await streamed(b'{"n": 1, "s": "s3"}\n{"n": 2}\n', LINES, client, operations=own)
    assert found["structuredContent"] == [1, 2]
    assert [params for _, params in client.frames] == [
        {"progressToken": "p", "progress": 1},
        {"progressToken": "p", "progress": 2},
    ]
