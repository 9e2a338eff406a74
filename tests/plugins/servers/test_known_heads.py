"""A head that comes again on its connection is not judged again, unless anything but its length differs."""

from __future__ import annotations

import pytest

from portico.api import Admission, Scope
from portico_plugins.servers.hypercorn import known
from tests.plugins.servers.direct import Hands
from tests.plugins.servers.serving import App, post, serving


class Judge(Hands):
    """Counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.judged: list[Scope] = []

    def admit(self, scope: Scope) -> Admission | None:
        self.judged.append(scope)
        return super().admit(scope)


async def test_the_same_head_with_another_length_is_judged_once() -> None:
    judge = Judge()
    async with serving(App(), admit=judge.admit) as served:
        wire = await served.connect()
        for size in (999, 1, 10, 100, 999):
            wire.write(post(b"x" * size, b"/mcp"))
            assert (await wire.answer())[1] == b"x" * size
        await wire.close()
    assert len(judge.judged) == 1


async def test_pipelined_requests_are_cut_by_their_own_lengths() -> None:
    judge = Judge()
    async with serving(App(), admit=judge.admit) as served:
        wire = await served.connect()
        wire.write(b"".join(post(b"y" * size, b"/mcp") for size in (30, 5, 22, 11)))
        assert [len((await wire.answer())[1]) for _ in range(4)] == [30, 5, 22, 11]
        await wire.close()


async def test_another_connection_is_judged_anew() -> None:
    judge = Judge()
    async with serving(App(), admit=judge.admit) as served:
        for _ in range(2):
            assert (await served.ask(post(b"a", b"/mcp", b"Connection: close"))).endswith(b"a")
    assert len(judge.judged) == 2


@pytest.mark.parametrize(
    "other",
    [
        post(b"12", b"/mcp", b"X: 2"),
        post(b"12", b"/mcp", b"X: 1", b"Y: 1"),
        post(b"12", b"/mcp?q"),
        post(b"12", b"/mcp", b"X: 1").replace(b"POST", b"PUT"),
        post(b"12", b"/mcp", b"X: 1").replace(b"localhost", b"localhosT"),
    ],
)
async def test_anything_else_that_differs_is_judged(other: bytes) -> None:
    judge = Judge()
    async with serving(App(), admit=judge.admit) as served:
        wire = await served.connect()
        for raw in (post(b"12", b"/mcp", b"X: 1"), other):
            wire.write(raw)
            assert (await wire.answer())[1] == b"12"
        await wire.close()
    assert len(judge.judged) == 2


@pytest.mark.parametrize(
    ("length", "status"),
    [
        (b"1001", 413),
        (b"99999999", 413),
        (b"-5", 400),
        (b"+5", 400),
        (b"0x5", 400),
        (b"5 5", 400),
        (b"5,5", 400),
        (b"", 400),
        (b"5\r\nContent-Length: 5", 400),
        (b"5\r\nTransfer-Encoding: chunked", 400),
        (b"5\nX: 1", 400),
        (b"\xb2", 400),
    ],
)
async def test_a_bad_length_in_a_head_that_is_known_is_refused_as_in_any_other(
    length: bytes, status: int
) -> None:
    good = post(b"12345", b"/mcp", b"Accept: */*")
    bad = good.replace(b"Length: 5", b"Length: " + length)
    judge = Judge()
    async with serving(App(), admit=judge.admit) as served:
        wire = await served.connect()
        wire.write(good)
        assert (await wire.answer())[1] == b"12345"
        wire.write(bad)
        assert (await wire.answer())[0].startswith(b"HTTP/1.1 %d " % status)
        await wire.close()
    assert judge.bodies == [b"12345"]


async def test_a_known_head_cut_anywhere_is_put_together() -> None:
    judge = Judge()
    raw = post(b"abc", b"/mcp")
    async with serving(App(), admit=judge.admit) as served:
        wire = await served.connect()
        for cut in range(len(raw)):
            wire.write(raw[:cut])
            await wire.writer.drain()
            wire.write(raw[cut:])
            assert (await wire.answer())[1] == b"abc"
        await wire.close()


async def test_a_connection_remembers_a_few_heads_and_a_server_a_few_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(known, "_MOST_CONNECTIONS", 2)
    judge = Judge()
    async with serving(App(), admit=judge.admit) as served:
        wires = [await served.connect() for _ in range(3)]

        async def asked(wire: int, tool: int) -> int:
            before = len(judge.judged)
            wires[wire].write(post(b"1", b"/mcp", b"Mcp-Name: t%d" % tool))
            assert (await wires[wire].answer())[1] == b"1"
            return len(judge.judged) - before

        assert [await asked(0, tool) for tool in (1, 2, 3, 4, 1, 2, 3, 4)] == [1, 1, 1, 1, 0, 0, 0, 0]
        assert await asked(0, 5) == 1
        assert [await asked(0, 5), await asked(1, 1), await asked(2, 1)] == [0, 1, 1]
        assert await asked(0, 5) == 1  # the third connection has taken the place of the first
        assert await asked(2, 1) == 0
        for wire in wires:
            await wire.close()


async def test_a_request_that_was_refused_is_refused_again() -> None:
    judge = Judge()
    async with serving(App(), admit=judge.admit) as served:
        for _ in range(2):
            assert (await served.ask(post(b"x", b"/mcp/refused"))).startswith(b"HTTP/1.1 403 ")
