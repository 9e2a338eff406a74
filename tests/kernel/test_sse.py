from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico._core.protocol.sse import (
    SseError,
    SseEvent,
    SseParser,
    sse_event,
    sse_events,
    sse_numbered,
)


def parse(*slices: bytes, cap: int = 1 << 20) -> list[SseEvent]:
    parser = SseParser(cap)
    return [event for part in slices for event in parser.feed(part)]


STREAM = (
    b"\xef\xbb\xbf: hello\r\ndata: one\r\ndata:  two\r\nid: 7\r\n\r\nevent: endpoint\rdata:/m\r\r"
    b"retry: 500\nid: p\ndata:\n\n: ping\n\nunknown: x\ndata\ndata: \xc3\xa9\n\nretry: soon\n\ndata: cut"
)
EVENTS = [
    SseEvent("message", "one\n two", "7"),
    SseEvent("endpoint", "/m"),
    SseEvent("message", "", "p", 500),
    SseEvent("message", "\né"),
]


def test_every_line_ending_field_and_comment_is_understood() -> None:
    assert parse(STREAM) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_slices_make_no_difference(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    assert parse(*(STREAM[a:b] for a, b in itertools.pairwise(edges))) == EVENTS


def test_single_bytes_make_no_difference() -> None:
    assert parse(*(STREAM[i : i + 1] for i in range(len(STREAM)))) == EVENTS


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.one_of(st.none(), st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]))),
    st.sampled_from(["message", "endpoint", "x y"]),
    st.one_of(st.none(), st.integers(0, 10**8)),
)
def test_an_event_survives_being_written_and_read(
    text: str, ident: str | None, kind: str, retry: int | None
) -> None:
    unified = text.replace("\r\n", "\n").replace("\r", "\n")
    assert parse(sse_event(text.encode(), ident, kind, retry)) == [SseEvent(kind, unified, ident, retry)]


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 200, b"data: x\n" * 40, b":" + b"x" * 200])
def test_an_event_beyond_the_cap_is_refused(stream: bytes) -> None:
    with pytest.raises(SseError):
        parse(stream, cap=100)


def test_many_events_within_the_cap_are_fine() -> None:
    assert len(parse(b"data: 12345678\n\n" * 100, cap=100)) == 100


def test_what_is_not_utf8_is_refused() -> None:
    with pytest.raises(SseError):
        parse(b"data: \xff\n\n")


PIECES = [
    b"data: {}\n\n", b"event: message\ndata: {}\n\n", b"data: \n\n", b"data:x\n\n", b"id: 1\ndata: y\n\n",
    b"event: endpoint\ndata: z\n\n", b"data: a\ndata: b\n\n", b"\n", b"\n\n\n", b": c\n\n", b": c\n",
    b"data: cut", b"data: d\r\n\r\n", b"\r", b"retry: 5\n\n", b"\xef\xbb\xbf",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=12), st.lists(st.integers(0, 200), max_size=4))
def test_events_that_come_together_are_what_they_are_byte_by_byte(
    pieces: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(pieces)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    slices = [stream[a:b] for a, b in itertools.pairwise(edges)]
    assert parse(*slices) == parse(*(stream[i : i + 1] for i in range(len(stream))))


def test_an_event_beyond_the_cap_is_refused_between_others_too() -> None:
    with pytest.raises(SseError):
        parse(b"data: a\n\n", b"data: b\n\ndata: " + b"x" * 200 + b"\n\ndata: c\n\n", cap=100)


TEXTS = st.lists(st.sampled_from([b"{}", b"a\nb", b"c\r", b"\n\ndata: d", b""]), min_size=1, max_size=6)


@given(TEXTS)
def test_many_events_are_written_as_each_would_be(frames: list[bytes]) -> None:
    assert sse_events(frames) == b"".join(sse_event(frame) for frame in frames)
    numbered = list(enumerate(frames, 7))
    assert sse_numbered(numbered, "s") == b"".join(sse_event(f, id=f"s-{n}") for n, f in numbered)
