from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from portico._core.protocol.stream import (
    KEEP_EVENTS,
    MAX_UNREAD,
    MAX_UNREAD_BYTES,
    MOST_UNREAD,
    MOST_UNREAD_BYTES,
    Stream,
    Unread,
)
from tests.kernel.doubles import jumping, settle


def numbers(stream: Stream, after: int = 0) -> list[int]:
    return [number for number, _ in stream.take(after)]


def test_frames_are_numbered_from_one_and_can_be_taken_after_any() -> None:
    stream = Stream("s")
    for text in (b"a", b"b", b"c"):
        stream.push(text)
    assert stream.take(0) == [(1, b"a"), (2, b"b"), (3, b"c")]
    assert stream.take(2) == [(3, b"c")]
    assert stream.take(3) == []


def test_nothing_comes_after_the_end() -> None:
    stream = Stream()
    stream.end()
    stream.push(b"late")
    assert stream.take(0) == []
    assert stream.last == 0


def test_while_nobody_reads_the_oldest_frames_go_first() -> None:
    stream = Stream()
    for _ in range(KEEP_EVENTS + 10):
        stream.push(b"x")
    kept = numbers(stream)
    assert kept == list(range(11, KEEP_EVENTS + 11))


def test_a_frame_too_big_to_remember_is_still_delivered() -> None:
    stream = Stream()
    stream.push(b"x")
    stream.push(b"y" * (MAX_UNREAD_BYTES + 1))
    assert numbers(stream) == [2]


def test_bytes_bound_what_is_remembered() -> None:
    stream = Stream()
    for _ in range(10):
        stream.push(b"x" * (MAX_UNREAD_BYTES // 4))
    assert len(stream.take(0)) == 4


def test_a_reader_is_given_everything_it_has_not_had() -> None:
    stream = Stream()
    stream.attach()
    for _ in range(KEEP_EVENTS + 10):
        stream.push(b"x")
    assert len(stream.take(0)) == KEEP_EVENTS + 10
    stream.push(b"x")
    assert len(stream.take(0)) == KEEP_EVENTS


@jumping
async def test_put_waits_until_the_reader_has_caught_up() -> None:
    stream = Stream()
    stream.attach()
    for _ in range(MAX_UNREAD):
        await stream.put(b"x")
    waiting = asyncio.ensure_future(stream.put(b"last"))
    await settle()
    assert not waiting.done()
    stream.take(0)
    await waiting
    assert stream.take(MAX_UNREAD) == [(MAX_UNREAD + 1, b"last")]


@jumping
async def test_put_waits_for_bytes_too_but_takes_one_big_frame() -> None:
    stream = Stream()
    stream.attach()
    await stream.put(b"x" * (MAX_UNREAD_BYTES + 1))
    await stream.put(b"y")
    waiting = asyncio.ensure_future(stream.put(b"z"))
    await settle()
    assert not waiting.done()
    stream.take(0)
    await waiting


@jumping
async def test_put_does_not_wait_while_nobody_reads() -> None:
    stream = Stream()
    for _ in range(MAX_UNREAD * 2):
        await stream.put(b"x")
    assert stream.last == MAX_UNREAD * 2


@jumping
async def test_put_no_longer_waits_for_a_reader_that_has_left() -> None:
    stream = Stream()
    stream.attach()
    for _ in range(MAX_UNREAD):
        await stream.put(b"x")
    waiting = [asyncio.ensure_future(stream.put(b"more")) for _ in range(3)]
    await settle()
    assert not any(each.done() for each in waiting)
    stream.detach(stream.reader)
    await asyncio.gather(*waiting)
    assert stream.last == MAX_UNREAD + 3


@jumping
async def test_put_ends_with_the_stream() -> None:
    stream = Stream()
    stream.attach()
    for _ in range(MAX_UNREAD):
        await stream.put(b"x")
    waiting = asyncio.ensure_future(stream.put(b"more"))
    await settle()
    stream.end()
    await waiting
    assert stream.last == MAX_UNREAD


@jumping
async def test_a_writer_that_is_cancelled_leaves_the_others_waiting() -> None:
    stream = Stream()
    stream.attach()
    for _ in range(MAX_UNREAD):
        await stream.put(b"x")
    one, other = (asyncio.ensure_future(stream.put(b"more")) for _ in range(2))
    await settle()
    one.cancel()
    await settle()
    assert not other.done()
    stream.take(0)
    await other


@jumping
async def test_a_reader_wakes_for_a_frame_an_end_and_being_sent_away() -> None:
    events: list[Callable[[Stream], None]] = [
        lambda s: s.push(b"x"), lambda s: s.end(), lambda s: s.poll(500),
    ]  # fmt: skip
    for event in events:
        stream = Stream()
        waiting = asyncio.ensure_future(stream.wait(0, 60))
        await settle()
        assert not waiting.done()
        event(stream)
        assert await waiting


@jumping
async def test_a_reader_waits_no_longer_than_it_said() -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    assert not await Stream().wait(0, 15)
    assert loop.time() - before == pytest.approx(15, abs=0.1)


@jumping
async def test_each_wait_lasts_as_long_as_it_said_whatever_was_waited_for_before() -> None:
    loop = asyncio.get_running_loop()
    stream = Stream()
    for seconds in (60, 5, 30):
        loop.call_later(1, stream.push, b"x")
        assert await stream.wait(stream.last, seconds)
        before = loop.time()
        assert not await stream.wait(stream.last, seconds)
        assert loop.time() - before == pytest.approx(seconds, abs=0.1)


@jumping
async def test_what_is_there_already_is_not_waited_for() -> None:
    stream = Stream()
    stream.push(b"x")
    assert stream.ready(0)
    assert await stream.wait(0, 60)
    assert not stream.ready(1)


def test_a_stream_is_attached_while_somebody_reads() -> None:
    stream = Stream()
    seen = [stream.attached]
    reader = stream.attach()
    seen.append(stream.attached)
    stream.detach(reader)
    seen.append(stream.attached)
    assert seen == [False, True, False]


@jumping
async def test_a_new_reader_takes_over_and_the_old_one_notices() -> None:
    stream = Stream()
    old = stream.attach()
    waiting = asyncio.ensure_future(stream.wait(0, 60))
    await settle()
    new = stream.attach()
    before = asyncio.get_running_loop().time()
    assert not await waiting
    assert asyncio.get_running_loop().time() == before
    assert stream.reader is new
    stream.detach(old)
    assert stream.reader is new


def test_a_reader_that_stopped_reading_is_not_kept_everything_for() -> None:
    stream = Stream()
    stream.attach()
    for _ in range(MOST_UNREAD * 2):
        stream.push(b"x")
    kept = numbers(stream)
    assert len(kept) == MOST_UNREAD
    assert kept[-1] == MOST_UNREAD * 2


def test_a_reader_that_stopped_reading_is_not_kept_every_byte_for() -> None:
    stream = Stream()
    stream.attach()
    for _ in range(40):
        stream.push(b"x" * MAX_UNREAD_BYTES)
    assert sum(len(frame) for _, frame in stream.take(0)) <= MOST_UNREAD_BYTES + MAX_UNREAD_BYTES


def test_a_stream_of_notices_ends_when_its_reader_is_stalled_and_far_behind() -> None:
    stream = Stream("", Unread(frames=3), notices=True)
    stream.attach()
    for _ in range(5):
        stream.push(b"x")  # the reader has not had its turn: that is no fault of its client
    assert stream.take(0)[-1][0] == 5
    stream.stalled = True
    for _ in range(4):
        stream.push(b"y")
    assert stream.ended
    assert stream.take(5) == [(6, b"y"), (7, b"y"), (8, b"y")]


def test_a_stream_that_has_caught_up_in_time_goes_on() -> None:
    stream = Stream("", Unread(bytes=10), notices=True)
    stream.attach()
    for _ in range(3):
        stream.stalled = True
        stream.push(b"x" * 8)
        stream.push(b"y" * 8)
        stream.stalled = False
        stream.take(stream.last - 2)
    assert not stream.ended
    assert stream.last == 6


def test_a_calls_answer_is_taken_however_far_behind_its_reader_is() -> None:
    stream = Stream("", Unread(frames=1))
    stream.attach()
    stream.stalled = True
    for _ in range(3):
        stream.push(b"x")
    assert numbers(stream) == [1, 2, 3]
