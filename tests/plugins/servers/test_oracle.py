"""The fast lane reads requests as h11 does, or refuses them: bounded here, open-ended in `fuzz_fastlane`."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plugins.servers.oracle import FRAGMENTS, by_fast_lane, by_h11, cut, disagreement

_PARTS = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=3)), max_size=12)
_CUTS = st.lists(st.integers(min_value=0, max_value=2000), max_size=4)


@settings(max_examples=400, deadline=None)
@given(parts=_PARTS, places=_CUTS)
def test_anything_is_read_as_h11_reads_it_or_refused(parts: list[bytes], places: list[int]) -> None:
    assert disagreement(cut(b"".join(parts), places)) == ""


@settings(max_examples=300, deadline=None)
@given(
    names=st.lists(st.from_regex(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}", fullmatch=True), max_size=4),
    values=st.lists(st.from_regex(r"[\t -~]{0,20}", fullmatch=True), min_size=4, max_size=4),
    body=st.binary(max_size=30),
    chunks=st.lists(st.integers(min_value=1, max_value=9), max_size=6),
    places=_CUTS,
)
def test_a_well_formed_request_is_never_refused(
    names: list[str], values: list[str], body: bytes, chunks: list[int], places: list[int]
) -> None:
    fields = [f"X-{name}: {value}\r\n".encode() for name, value in zip(names, values, strict=False)]
    head = b"POST /mcp?x=1 HTTP/1.1\r\nHost: a\r\n" + b"".join(fields)
    rest, framed = body, b""
    for size in chunks:
        piece, rest = rest[:size], rest[size:]
        framed += b"%x;e=1\r\n%s\r\n" % (len(piece), piece) if piece else b""
    framed += (b"%X\r\n%s\r\n" % (len(rest), rest) if rest else b"") + b"0\r\n\r\n"
    raw = head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    raw += head + b"Transfer-Encoding: chunked\r\n\r\n" + framed
    pieces = cut(raw, places)
    assert disagreement(pieces) == ""
    reading = by_fast_lane(pieces)
    assert reading.refused is None
    assert [request[-1] for request in reading.requests] == [body, body]


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_each_fragment_alone_and_after_a_request_is_judged_alike(fragment: bytes) -> None:
    for before in (b"", b"GET / HTTP/1.1\r\nHost: a\r\n", FRAGMENTS[-2], FRAGMENTS[-1]):
        for after in (b"", b"\r\n", b"Host: a\r\n\r\n", b"0\r\n\r\n"):
            raw = before + fragment + after
            assert disagreement([raw]) == ""
            assert disagreement([raw[i : i + 1] for i in range(len(raw))]) == ""


def test_the_oracle_sees_what_there_is_to_see() -> None:
    raw = FRAGMENTS[-3] + FRAGMENTS[-1] + b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"
    for reading in (by_h11([raw]), by_fast_lane([raw])):
        assert [request[-1] for request in reading.requests] == [b"abc", b"abc"]
        assert reading.refused == 400
