from __future__ import annotations

import asyncio

import pytest

from portico_plugins.transports.stdio.pipe import Pipe, split


def test_a_frame_with_raw_line_breaks_is_written_as_one_line() -> None:
    pipe = Pipe()
    pipe.end(b'{"result":', b'{\r\n  "a": "x\\ny"\n}', b"}")
    assert pipe._frames == [b'{"result":{    "a": "x\\ny" }}\n']


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_lines_are_found_whatever_the_pieces_they_come_in(size: int) -> None:
    text = b"one\n\n  \ntwo\r\n" + b"x" * 11 + b"\n" + b"y" * 10 + b"\n" + b"z" * 40 + b"\nlast"
    pieces = iter([text[at : at + size] for at in range(0, len(text), size)])
    lines = list(split(lambda: next(pieces, b""), 10))
    assert lines == [b"one", b"two\r", None, b"y" * 10, None, b"last"]


def test_a_line_too_long_that_never_ends_is_told_once() -> None:
    pieces = iter([b"x" * 8] * 5)
    assert list(split(lambda: next(pieces, b""), 10)) == [None]


async def test_a_reader_that_stalls_is_waited_for() -> None:
    pipe = Pipe()
    for number in range(300):
        pipe.push(b"%d" % number)
    waiting = asyncio.ensure_future(pipe.put(b"next"))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert await pipe.take()
    assert await pipe.take() is not None  # what was taken before has been written
    await waiting
