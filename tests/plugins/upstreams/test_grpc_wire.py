"""Answers that are none: one clear error each, nothing of the server in it, the next call left alone."""

from __future__ import annotations

import asyncio
import json
import struct
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from portico.api import Refused, State
from portico.testing import running_gateway
from tests.plugins.upstreams.grpc_kit import (
    SERVICES,
    Shop,
    descriptor_set,
    grpc_server,
    message,
    names,
    reflection,
    shop,
    shop_handlers,
    upstream,
)
from tests.plugins.upstreams.grpc_wire import OK, Stream, framed, wire_server
from tests.plugins.upstreams.kit import Client, call, text

HTML = ("content-type", "text/html")


def happening(number: int) -> bytes:
    return bytes(message("Happening", number=number).SerializeToString())


def begin(stream: Stream) -> None:
    """Answer, with a message where it is the only one: of a stream that breaks, gRPC may give it or not."""
    stream.head()
    if stream.headers[":path"].endswith("/Get"):
        stream.message(happening(0))


async def reset(stream: Stream) -> None:
    begin(stream)
    stream.h2.reset_stream(stream.number, 2)
    stream.flush()


async def page(stream: Stream) -> None:
    stream.head((":status", "200"), HTML)
    stream.raw(b"<html>secret.internal 10.0.0.1</html>", end=True)


async def unavailable(stream: Stream) -> None:
    stream.head((":status", "503"), HTML)


async def not_found(stream: Stream) -> None:
    stream.head((":status", "404"), HTML)


async def redirect(stream: Stream) -> None:
    stream.head((":status", "302"), ("location", "http://169.254.169.254/"))


async def without_status(stream: Stream) -> None:
    begin(stream)
    stream.h2.end_stream(stream.number)
    stream.flush()


async def badly_compressed(stream: Stream) -> None:
    stream.head(*OK, ("grpc-encoding", "gzip"))
    stream.raw(framed(b"this is no gzip", 1))
    stream.status(0)


async def large_head(stream: Stream) -> None:
    stream.head(*OK, *((f"x-{number}", "v" * 1000) for number in range(40)))
    stream.status(0)


async def large_message(stream: Stream) -> None:
    stream.head()
    stream.raw(struct.pack(">BI", 0, 2**31 - 1) + b"x" * 100)
    stream.status(0)


async def garbled(stream: Stream) -> None:
    stream.head()
    stream.message(b"\x0a\xff\xff\xff")
    stream.status(0)


async def goes_away(stream: Stream) -> None:
    begin(stream)
    stream.goaway(stream.number, 11)
    stream.writer.close()


async def hangs_up(stream: Stream) -> None:
    stream.head()
    stream.cut()


LOST_NOW = (50300, "connection_lost")
LOST = (50300, {"connection_lost"})
ROWS: dict[Any, tuple[int, set[str]]] = {
    reset: (50200, {"answer_cut_short"}),
    page: (50200, {"answer_cut_short", "not_grpc"}),
    unavailable: (50300, {"not_grpc"}),
    not_found: (50200, {"not_grpc"}),
    redirect: (50200, {"not_grpc"}),
    without_status: (50200, {"answer_cut_short"}),
    badly_compressed: (50200, {"bad_compression"}),
    large_head: (50200, {"message_too_large"}),
    large_message: (50200, {"message_too_large"}),
    garbled: (50200, {"malformed_message"}),
    goes_away: LOST,
    hangs_up: LOST,
}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "shop.pb").write_bytes(descriptor_set())
    return tmp_path


@pytest.mark.parametrize("tool", ["Orders_Watch", "Orders_Get"])
@pytest.mark.parametrize("broken", ROWS, ids=lambda work: str(work.__name__))
async def test_an_answer_that_is_none_is_one_error_and_the_next_call_is_served(
    broken: Any, tool: str, base: Path
) -> None:
    count = 0

    async def work(stream: Stream) -> None:
        nonlocal count
        count += 1
        if count == 1:
            await broken(stream)
            return
        stream.head()
        if tool == "Orders_Get":
            stream.message(message("Order", id="fine").SerializeToString())
        stream.status(0)

    code, reasons = ROWS[broken]
    async with (
        wire_server(work) as port,
        upstream(port, base=base, descriptors=Path("shop.pb")) as running,
    ):
        with pytest.raises(Refused) as caught:
            await running.send(call(tool, {"id": "1"}))
        assert caught.value.code == code
        assert caught.value.data["gateway"]["reason"] in reasons
        assert not caught.value.data["gateway"]["retryable"]
        said = f"{caught.value.message} {caught.value.data}"
        assert not any(word in said for word in ("secret", "127.0.0.1", "169.254", str(port)))
        if (code, reasons) == LOST:
            await running.upstream._link.lost()  # gRPC has noticed, too
        result = await running.send(call(tool, {"id": "1"}))
        assert "isError" not in (result.value or {})
        assert count == 2  # nothing was sent twice


def says_goodbye(stream: Stream) -> None:
    stream.goaway(stream.number, 11)
    stream.writer.close()


def cuts(stream: Stream) -> None:
    stream.cut()


def resets(stream: Stream) -> None:
    stream.h2.reset_stream(stream.number, 2)
    stream.flush()


def wants_other_metadata(stream: Stream) -> None:
    stream.status(16)


AWAY = ("UNAVAILABLE", "The upstream is not available. (connection_lost)")


@pytest.mark.parametrize(
    ("breaks", "code", "said"),
    [
        (says_goodbye, *AWAY),
        (cuts, *AWAY),
        (resets, "INTERNAL", "The upstream's answer could not be used. (answer_cut_short)"),
        (
            wants_other_metadata,
            "UNAUTHENTICATED",
            "The upstream is not available. (upstream_unauthorized)",
        ),
    ],
)
async def test_a_stream_that_breaks_off_gives_what_came_and_says_nothing_of_the_server(
    breaks: Any, code: str, said: str, base: Path
) -> None:
    client = Client()
    calls = 0

    async def work(stream: Stream) -> None:
        nonlocal calls
        calls += 1
        stream.head()
        stream.message(happening(7))
        await client.news.wait()  # it has come
        breaks(stream)

    async with (
        wire_server(work) as port,
        upstream(port, base=base, descriptors=Path("shop.pb")) as running,
    ):
        request = call("Orders_Watch", {"id": "1"}, client=client, progress_token=1)
        result = await running.send(request)
    assert result.value["isError"] is True
    assert json.loads(text(result)) == {"code": code, "message": said, "items": [{"number": 7, "text": ""}]}
    assert calls == 1


@pytest.mark.parametrize("tool", ["Orders_Chat", "Orders_Total"])
@pytest.mark.parametrize("messages", [1, 3])
async def test_a_stream_that_is_refused_while_it_is_sent_is_no_answer_of_the_method(
    tool: str, messages: int, base: Path
) -> None:
    async def refuse(stream: Stream) -> None:
        stream.refuse(16)

    known = {"upstream_unauthorized"} if messages == 1 else {"upstream_unauthorized", "answer_cut_short"}
    async with (
        wire_server(refuse, early=True) as port,
        upstream(port, base=base, descriptors=Path("shop.pb")) as running,
    ):
        for _ in range(40):
            with pytest.raises(Refused) as caught:
                await running.send(call(tool, {"messages": [{}] * messages}))
            assert caught.value.data["gateway"]["reason"] in known


async def test_a_call_that_meets_the_goodbye_of_a_server_fails_and_is_not_sent_again(base: Path) -> None:
    seen: list[int] = []

    async def work(stream: Stream) -> None:
        seen.append(stream.number)
        stream.goaway(0)

    async with (
        wire_server(work) as port,
        upstream(port, base=base, descriptors=Path("shop.pb")) as running,
    ):
        with pytest.raises(Refused) as caught:
            await running.send(call("Orders_Get", {}, seconds=5))
        assert (caught.value.code, caught.value.data["gateway"]["reason"]) == LOST_NOW
    assert len(seen) == 1


async def test_a_server_that_goes_away_kindly_may_finish_and_is_called_elsewhere_after(base: Path) -> None:
    begun, going = asyncio.Event(), asyncio.Event()
    connections = set()

    async def work(stream: Stream) -> None:
        connections.add(stream.writer)
        if len(connections) == 1 and begun.is_set():
            return  # sent before the goodbye was seen, and not read
        stream.head()
        stream.message(happening(0))
        if len(connections) == 1:
            stream.goaway(stream.number)
            begun.set()
            await going.wait()
        stream.message(happening(1))
        stream.status(0)

    async with (
        wire_server(work) as port,
        upstream(port, base=base, descriptors=Path("shop.pb")) as running,
    ):
        first = asyncio.create_task(running.send(call("Orders_Watch", {})))
        await begun.wait()
        await running.upstream._link.lost()  # gRPC has seen the goodbye
        second = await running.send(call("Orders_Watch", {}))
        going.set()
        for result in (await first, second):
            assert [each["number"] for each in result.value["structuredContent"]["items"]] == [0, 1]
    assert len(connections) == 2


async def test_what_is_sent_is_compressed_where_that_is_configured(base: Path) -> None:
    seen: list[dict[str, str]] = []

    async def work(stream: Stream) -> None:
        seen.append(stream.headers)
        stream.head()
        stream.message(b"")
        stream.status(0)

    for compression in ("gzip", "none"):
        config: Any = {"descriptors": Path("shop.pb"), "compression": compression}
        async with wire_server(work) as port, upstream(port, base=base, **config) as running:
            await running.send(call("Orders_Get", {"id": "x" * 5000}))
    assert [each.get("grpc-encoding", "") for each in seen] == ["gzip", ""]
    assert all("gzip" in each["grpc-accept-encoding"] for each in seen)


async def test_the_servers_deadline_is_the_callers(base: Path) -> None:
    seen: list[str] = []

    async def work(stream: Stream) -> None:
        seen.append(stream.headers["grpc-timeout"])
        stream.head()
        stream.message(b"")
        stream.status(0)

    async with (
        wire_server(work) as port,
        upstream(port, base=base, descriptors=Path("shop.pb")) as running,
    ):
        await running.send(call("Orders_Get", {}, seconds=5))
    unit = {"S": 1.0, "m": 0.001, "u": 1e-6, "n": 1e-9}[seen[0][-1]]
    assert 3 < int(seen[0][:-1]) * unit <= 5.1


async def test_a_certificate_of_another_authority_is_refused_by_the_server(tmp_path: Path) -> None:
    ours, others = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(tmp_path / "ca.pem")
    wrong = others.issue_cert("client@example.com")
    wrong.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    wrong.private_key_pem.write_to_path(tmp_path / "client.key")
    cert = ours.issue_cert("localhost")
    pair = (cert.private_key_pem.bytes(), cert.cert_chain_pems[0].bytes())
    credentials = grpc.ssl_server_credentials([pair], ours.cert_pem.bytes(), True)
    shown = {"client_cert": Path("client.pem"), "client_key": Path("client.key"), "ca_file": Path("ca.pem")}
    handlers = [*shop_handlers(Shop()), *reflection(SERVICES, shop())]
    async with (
        grpc_server(handlers, credentials) as port,
        upstream(f"grpcs://localhost:{port}", base=tmp_path, connect_timeout=2, **shown) as running,
    ):
        assert running.upstream.state is State.UNAVAILABLE
        assert running.upstream.offer.tools == ()
        with pytest.raises(Refused) as caught:
            await running.send(call("Orders_Get", {}))
        assert caught.value.code == 50300


# --- what changes ----------------------------------------------------------------------------------------


class Changing:
    """Reflection whose services may change, and how often it was asked for them."""

    def __init__(self, services: list[str]) -> None:
        self.services = services
        self.asked = asyncio.Semaphore(0)

    async def info(self, requests: Any, context: Any) -> Any:
        from grpc_reflection.v1alpha._async import ReflectionServicer

        work = ReflectionServicer(self.services, pool=shop())
        async for answer in work.ServerReflectionInfo(requests, context):
            yield answer
            if answer.HasField("list_services_response"):
                self.asked.release()


async def test_a_method_that_is_gone_has_the_server_asked_again_at_once() -> None:
    has = Changing(["acme.shop.v1.Orders", "acme.shop.v1.Lines"])
    # The server has no `Lines` any more; the timer would notice in five minutes.
    handlers = [*shop_handlers(Shop(), ("acme.shop.v1.Orders",)), *reflection([], shop(), servicer=has.info)]
    async with grpc_server(handlers) as port, upstream(port) as running:
        assert "Lines_Create" in names(running)
        has.services = ["acme.shop.v1.Orders"]
        result = await running.send(call("Lines_Create", {}))
        assert "UNIMPLEMENTED" in result.value["content"][0]["text"]
        await running.wiring.until(lambda: "Lines_Create" not in names(running))
        assert frozenset({"tools"}) in running.wiring.offers[1:]


async def test_the_timer_finds_what_changed() -> None:
    has = Changing(["acme.shop.v1.Orders"])
    handlers = [*shop_handlers(Shop()), *reflection([], shop(), servicer=has.info)]
    async with grpc_server(handlers) as port, upstream(port, refresh_seconds=0.05) as running:
        has.services = [*has.services, "acme.shop.v1.Lines"]
        await running.wiring.until(lambda: "Lines_Create" in names(running))
        for _ in range(4):
            await has.asked.acquire()  # it goes on looking
        assert running.wiring.offers.count(frozenset({"tools"})) == 2


async def test_a_definition_that_changed_is_kept_back_until_it_is_approved() -> None:
    has = Changing(["acme.shop.v1.Orders"])
    descriptor: list[str] = []

    async def work(requests: Any, context: Any) -> Any:
        async for answer in has.info(requests, context):
            if descriptor and answer.HasField("file_descriptor_response"):
                files = answer.file_descriptor_response.file_descriptor_proto
                for index, raw in enumerate(files):
                    # `street` is called `poison` now: the schema of `Create` says so.
                    files[index] = raw.replace(b"\x06street", b"\x06poison")
            yield answer

    handlers = [*shop_handlers(Shop()), *reflection([], shop(), servicer=work)]
    async with grpc_server(handlers) as port:
        toml = (
            f'[upstreams.shop]\nuse = "grpc"\nurl = "grpc://127.0.0.1:{port}"\n'
            'refresh_seconds = 0.05\non_change = "quarantine"\n'
        )
        async with running_gateway(toml) as running:
            assert {"Orders_Create", "Orders_Total"} <= set(await running.names())
            descriptor.append("changed")
            while "Orders_Create" in await running.names():
                await asyncio.sleep(0.02)
            assert "Orders_Total" in await running.names()  # what did not change stays
            with pytest.raises(Refused) as caught:
                await running.call("Orders_Create", {"customerId": "1"})
            assert caught.value.code == 40900


# --- a long stream ---------------------------------------------------------------------------------------


async def test_ten_thousand_messages_are_never_all_alive() -> None:
    import tracemalloc

    made = Shop()
    ahead = 0

    class Counting(Client):
        count = 0

        async def notify(self, method: str, params: Any) -> None:
            nonlocal ahead
            self.count += 1
            ahead = max(ahead, made.sent - self.count)

    client = Counting()
    handlers = [*shop_handlers(made), *reflection(SERVICES, shop())]
    limits: Any = {"max_stream_messages": 10_000, "max_stream_bytes": 16 * 1024 * 1024}
    async with grpc_server(handlers) as port, upstream(port, **limits) as running:
        await running.send(call("Orders_Watch", {"id": "warm", "n": 10}))
        request = call(
            "Orders_Watch", {"id": "x" * 1000, "n": 10_000}, client=client, progress_token=1, seconds=60
        )
        tracemalloc.start()
        try:
            result = await running.send(request)
            kept, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert client.count == 10_000
    assert ahead < 5000  # held back by flow control, not by memory
    size = len(result.raw or b"")
    assert size > 20_000_000  # as text and structured
    assert kept < size + 2_000_000
    assert peak < 3 * size
