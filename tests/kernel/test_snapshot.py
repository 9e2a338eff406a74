from __future__ import annotations

import asyncio
import os
import stat
import threading
from pathlib import Path

import pytest

from portico._host.managed.snapshot import Snapshot
from portico.api import About, Record

RECORDS = [
    Record(
        "upstreams", "ä", {"url": "x", "n": 2**70}, About(tags=("a", "b"), enabled=False), 3, 7, 1.5, "me"
    ),
    Record("servers", "s", {}),
]


def test_what_was_kept_is_read_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "records.json"
    Snapshot(path).keep(7, RECORDS)
    assert Snapshot(path).read() == (7, RECORDS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    Snapshot(path).keep(8, [])
    assert Snapshot(path).read() == (8, [])
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"form":2,"revision":1,"records":[]}',
        b'{"form":1,"revision":1,"records":[{}]}',
    ],
)
def test_what_is_no_snapshot_is_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "records.json"
    if content is not None:
        path.write_bytes(content)
    assert Snapshot(path).read() is None


def test_a_snapshot_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "records.json"
    Snapshot(path).keep(1, RECORDS)

    def full(descriptor: int) -> None:
        raise OSError("full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="full"):
        Snapshot(path).keep(2, [])
    assert Snapshot(path).read() == (1, RECORDS)
    assert list(tmp_path.iterdir()) == [path]


async def test_what_is_being_written_when_everything_ends_is_written_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "records.json"
    begun, on = threading.Event(), threading.Event()
    fsync = os.fsync

    def slow(descriptor: int) -> None:
        begun.set()
        on.wait(30)
        fsync(descriptor)

    monkeypatch.setattr("os.fsync", slow)
    keeping = asyncio.create_task(Snapshot(path).keep_aside(1, RECORDS))
    await asyncio.to_thread(begun.wait, 30)
    keeping.cancel()
    await asyncio.sleep(0)
    assert not keeping.done()
    on.set()
    with pytest.raises(asyncio.CancelledError):
        await keeping
    assert Snapshot(path).read() == (1, RECORDS)
