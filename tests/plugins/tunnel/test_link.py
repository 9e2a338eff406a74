"""Tunnels between two ends in one process: turns, credit, silence, and what no honest peer sends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.testing import FakeClock
from portico_plugins.tunnel.channel import Channel, ChannelLost, TooLong
from portico_plugins.tunnel.frames import LONGEST, PIECE, WINDOW, Code, Kind, Violation, credit, frame
from portico_plugins.tunnel.link import Link, Pace

MB = 1024 * 1024
PATIENCE = 20.0


class Wired:
    """One end of a connection in memory, which holds a few frames only."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[bytes | None] = asyncio.Queue(4)
        self.other: Wired
        self.closed: tuple[int, str] | None = None

    async def send(self, data: bytes) -> None:
        if self.closed or self.other.closed:
            raise OSError("closed")
        await self.other.inbox.put(data)

    async def receive(self) -> bytes | None:
        return await self.inbox.get()

    async def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)
        if not self.other.closed:
            await self.other.inbox.put(None)


@attrs.define
class Ends:
    """Both ends, which run."""

    gateway: Link
    dialler: Link
    sockets: tuple[Wired, Wired]
    clock: FakeClock
    opened: list[tuple[Channel, Any]]


def ends(longest: int = 4 * MB, pace: Pace | None = None) -> Ends:
    one, two = Wired(), Wired()
    one.other, two.other = two, one
    clock = FakeClock()
    opened: list[tuple[Channel, Any]] = []
    pace = pace or Pace()
    gateway = Link(one, clock, pace, longest, longest)
    dialler = Link(two, clock, pace, longest, longest, lambda channel, said: opened.append((channel, said)))
    return Ends(gateway, dialler, (one, two), clock, opened)


@contextlib.asynccontextmanager
async def connected(longest: int = 4 * MB) -> AsyncIterator[Ends]:
    both = ends(longest)
    running = [asyncio.create_task(link.run()) for link in (both.gateway, both.dialler)]
    try:
        async with asyncio.timeout(PATIENCE):
            yield both
    finally:
        both.gateway.end("over")
        both.dialler.end("over")
        await asyncio.gather(*running)


class Taken:
    """What a channel's other end takes, and gives room for."""

    def __init__(self, channel: Channel, *, slow: bool = False) -> None:
        self.messages: asyncio.Queue[bytes] = asyncio.Queue()
        self._channel = channel
        self._slow = slow
        channel.received = self._take

    def _take(self, message: bytes) -> None:
        self.messages.put_nowait(message)
        if not self._slow:
            self._channel.consumed(message)

    async def next(self) -> bytes:
        message = await self.messages.get()
        if self._slow:
            self._channel.consumed(message)
        return message


async def opened(both: Ends, *, slow: bool = False) -> tuple[Channel, Taken]:
    """A channel, and what comes out of its far end."""
    before = len(both.opened)
    channel = both.gateway.open({"owner": "alice"})
    while len(both.opened) == before:
        await asyncio.sleep(0)
    return channel, Taken(both.opened[-1][0], slow=slow)


async def test_messages_of_any_length_arrive_whole_and_in_order() -> None:
    async with connected() as both:
        channel, taken = await opened(both)
        sent = [b"%d" % number + b"x" * size for number, size in enumerate((0, PIECE, PIECE + 1, 3 * MB, 5))]
        sending = asyncio.gather(*(channel.send(each) for each in sent))
        assert [await taken.next() for _ in sent] == sent
        await sending
        assert both.opened[0][1] == {"owner": "alice"}


async def test_answers_come_back_on_the_same_channel() -> None:
    async with connected() as both:
        channel, taken = await opened(both)
        back = Taken(channel)
        await channel.send(b"question")
        assert await taken.next() == b"question"
        await both.opened[0][0].send(b"answer")
        assert await back.next() == b"answer"


async def test_a_long_message_does_not_hold_up_another_channel() -> None:
    async with connected() as both:
        first, long = await opened(both)
        second, short = await opened(both)
        first.post(b"x" * (4 * MB))
        second.post(b"short")
        assert await short.next() == b"short"
        assert long.messages.empty()
        assert len(await long.next()) == 4 * MB


async def test_who_does_not_read_is_waited_for_and_nobody_else() -> None:
    async with connected() as both:
        stuck, unread = await opened(both, slow=True)
        other, read = await opened(both)
        flood = asyncio.create_task(_flood(stuck, 64))
        for number in range(100):
            await other.send(b"%d" % number)
            assert await read.next() == b"%d" % number
        assert not flood.done()
        held = unread.messages.qsize() * 64 * 1024
        assert held <= WINDOW
        for _ in range(64):
            await unread.next()
        await flood


async def _flood(channel: Channel, count: int) -> None:
    for _ in range(count):
        await channel.send(b"x" * 64 * 1024)


async def test_a_message_that_the_other_side_does_not_take_is_not_sent() -> None:
    async with connected(longest=MB) as both:
        channel, taken = await opened(both)
        with pytest.raises(TooLong):
            await channel.send(b"x" * (MB + 1))
        await channel.send(b"x" * MB)
        assert len(await taken.next()) == MB


async def test_a_message_that_grows_too_long_ends_its_channel_alone() -> None:
    async with connected(longest=MB) as both:
        channel, _ = await opened(both)
        other, read = await opened(both)
        lost = asyncio.get_running_loop().create_future()
        channel.on_lost = lost.set_result
        channel._most = 2 * MB
        await channel.send(b"x" * 2 * MB)
        assert await lost == "message_too_large"
        await other.send(b"fine")
        assert await read.next() == b"fine"


async def test_what_runs_on_a_tunnel_ends_with_it() -> None:
    async with connected() as both:
        channel, _ = await opened(both, slow=True)
        why: list[str] = []
        channel.on_lost = why.append
        flood = asyncio.create_task(_flood(channel, 64))
        both.dialler.end("gone")
        with pytest.raises(ChannelLost):
            await flood
        assert why == ["closed_by_peer"]
        with pytest.raises(ChannelLost):
            both.gateway.open({})


async def test_no_channel_is_opened_on_a_tunnel_that_is_left_and_those_that_are_go_on() -> None:
    async with connected() as both:
        channel, taken = await opened(both)
        both.dialler.leave()
        while not both.gateway.leaving:
            await asyncio.sleep(0)
        with pytest.raises(ChannelLost):
            both.gateway.open({})
        await channel.send(b"still")
        assert await taken.next() == b"still"


async def test_a_retired_tunnel_ends_when_its_last_channel_does() -> None:
    async with connected() as both:
        channel, _ = await opened(both)
        both.gateway.retire()
        assert not both.gateway.ended
        channel.close()
        assert both.gateway.ended == "leaving"


# --- silence --------------------------------------------------------------------------------------


async def sent(link: Link, wired: Wired) -> bytes:
    """The next frame a link sends, while it runs."""
    async with asyncio.timeout(PATIENCE):
        data = await wired.inbox.get()
        assert data is not None
        return data


async def test_a_peer_that_is_half_gone_is_asked_and_then_given_up() -> None:
    both = ends(pace=Pace(15, 10))
    link, clock = both.gateway, both.clock
    running = asyncio.create_task(link.run())
    clock.advance(14)
    link.look()
    clock.advance(1)
    link.look()
    assert await sent(link, both.sockets[1]) == frame(Kind.PING)
    clock.advance(9)
    link.look()
    assert not link.ended
    clock.advance(1)
    link.look()
    assert await running == "peer_silent"


async def test_whoever_says_anything_is_there() -> None:
    both = ends(pace=Pace(15, 10))
    link, clock = both.gateway, both.clock
    for _ in range(5):
        clock.advance(15)
        link.look()
        clock.advance(9)
        link.take(frame(Kind.PONG))
        link.look()
    assert not link.ended


async def test_a_machine_that_slept_asks_before_it_gives_up() -> None:
    both = ends(pace=Pace(15, 10))
    both.clock.advance(3600)
    both.gateway.look()
    assert not both.gateway.ended
    both.gateway.look()
    assert not both.gateway.ended


async def test_many_pings_are_one_answer() -> None:
    both = ends()
    for _ in range(1000):
        both.gateway.take(frame(Kind.PING))
    running = asyncio.create_task(both.gateway.run())
    assert await sent(both.gateway, both.sockets[1]) == frame(Kind.PONG)
    both.gateway.end("over")
    await running
    assert both.sockets[1].inbox.get_nowait() is None


# --- what no honest peer sends --------------------------------------------------------------------

BAD = {
    "short": (b"\x01\x00", "short_frame"),
    "no such kind": (b"\x63\x00\x00\x00\x01", "unknown_frame"),
    "too long": (b"\x02" + b"\0" * LONGEST, "frame_too_long"),
    "a channel nobody opened": (frame(Kind.LAST, 7, b"x"), "unknown_channel"),
    "channel zero": (frame(Kind.LAST, 0, b"x"), "unknown_channel"),
    "an empty piece": (frame(Kind.MORE, 1), "empty_piece"),
    "credit for nothing": (credit(1, 1), "credit_out_of_range"),
    "credit without a number": (frame(Kind.CREDIT, 1, b"1"), "malformed_credit"),
    "a channel opened by the dialler": (frame(Kind.OPEN, 2, b"{}"), "unexpected_open"),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_frame_that_cannot_be_ends_the_tunnel(case: str) -> None:
    data, why = BAD[case]
    both = ends()
    both.gateway.open({})
    await both.sockets[0].inbox.put(data)
    assert await both.gateway.run() == why
    assert both.sockets[0].closed == (Code.TOO_BIG if case == "too long" else Code.BROKEN, why)


async def test_more_than_there_is_credit_for_ends_the_tunnel() -> None:
    both = ends()
    channel = both.gateway.open({})
    channel.received = lambda message: None
    for _ in range(WINDOW // PIECE):
        both.gateway.take(frame(Kind.LAST, 1, b"x" * PIECE))
    with pytest.raises(Violation, match="credit_exceeded"):
        both.gateway.take(frame(Kind.LAST, 1, b"x"))


async def test_what_still_comes_for_a_closed_channel_is_nothing() -> None:
    both = ends()
    both.gateway.open({}).close()
    both.gateway.take(frame(Kind.LAST, 1, b"late"))
    assert not both.gateway.ended


@given(
    st.lists(
        st.binary(max_size=40)
        | st.builds(frame, st.sampled_from(Kind), st.integers(0, 3), st.binary(max_size=20)),
        max_size=20,
    )
)
def test_whatever_comes_is_taken_or_is_a_violation(data: list[bytes]) -> None:
    async def take() -> None:
        both = ends(longest=64)
        both.gateway.open({}).received = lambda message: None
        for link in (both.gateway, both.dialler):
            with contextlib.suppress(Violation):
                for each in data:
                    link.take(each)
            assert len(link.channels) <= 20

    asyncio.run(take())


@pytest.mark.parametrize("said", [b"", b"[]", b"\xff", b"[" * 32_000])
async def test_a_channel_opened_with_no_object_ends_the_tunnel(said: bytes) -> None:
    both = ends()
    with pytest.raises(Violation, match="malformed_open"):
        both.dialler.take(frame(Kind.OPEN, 1, said))
