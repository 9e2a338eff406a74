"""The access log: the same lines as the ordinary log's, later and together, bounded whoever reads them."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import queue
import re
import select
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from portico._core.requests.call_records import CallRecord
from portico._host.logs import access, log
from portico._host.logs.access import INTERVAL, AccessLog, access_log, in_line
from portico._host.logs.lines import Lines, to_stderr
from tests.kernel.doubles import jumping

PATIENCE = 30.0


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def call(name: Any = "echo", **other: Any) -> CallRecord:
    """A call that has ended."""
    facts = {
        "request_id": "0a1b-2f", "principal": "alice", "server": "default", "upstream": "one",
        "method": "tools/call", "name": name, "era": "modern", "outcome": "ok", "ms": 1.5,
    }  # fmt: skip
    return tuple({**facts, **other}.values())  # type: ignore[return-value]


class Paper:
    """Takes in what a `Lines` writes, as slowly as it is told to; `stop` makes it take nothing."""

    def __init__(self) -> None:
        self.pages: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.go = threading.Event()
        self.go.set()

    def write(self, data: bytes) -> None:
        assert self.go.wait(PATIENCE)
        self.pages.put(data.decode())

    def lines(self, pages: int = 1) -> list[str]:
        """The lines of the next so many writes."""
        return [
            line for _ in range(pages) for line in self.pages.get(timeout=PATIENCE).splitlines(keepends=True)
        ]


def paper(most: int = 1 << 20) -> tuple[Lines, Paper]:
    sheet = Paper()
    return Lines(lambda count: f"{count} missing", sheet.write, most), sheet


def timeless(line: str) -> str:
    """A line without its time, which must be one."""
    left, found = re.subn(r"\d\d\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ|^\d\d:\d\d:\d\d\.\d\d\d", "T", line)
    assert found == 1
    return left


NAMES = [
    "echo",
    None,
    "",
    "a b=c",
    "caf\u00e9 \u2028 \u202e \x1b[2J \x7f \r\n level=error event=forged",
    '","ms":0.5,"x":"',
    '"request_id":"',
    "\ud800",
    "Bearer hunter2hunter2",
    "https://me:hunter2@h/?token=hunter2",
    "x" * 300,
    "x" * 100_000,
    7,
    {"token": "hunter2", "a": ["\n"], "ms": 0.5},
    ["x"],
]


@pytest.mark.parametrize("facts", [{}, {"worker": "w-1"}, {"worker": 'a","ms":0.5'}])
@pytest.mark.parametrize("format_", ["json", "console"])
@jumping
async def test_its_lines_are_those_of_the_ordinary_log(
    capsys: pytest.CaptureFixture[str], format_: Any, facts: Any
) -> None:
    log.configure(format_, **facts)
    records = [call(name) for name in NAMES]
    records += [call(name, ms=ms) for name in NAMES for ms in (0.0, 0.01, 12345.67)]
    records += [call(upstream=None), call(outcome="-32602"), call(era="legacy"), call(principal="al\nice")]
    records += [call(method="x" * 5000), call(method="tools/\u2028call")]
    for record in records:
        in_line(log.logger())(record)
    wanted = capsys.readouterr().err.splitlines(keepends=True)
    lines, sheet = paper(1 << 24)
    made = AccessLog(lines)
    for record in records:
        made(record)
    made.flush()
    lines.close(PATIENCE)
    got = "".join(sheet.lines(sheet.pages.qsize())).splitlines(keepends=True)
    assert [timeless(line) for line in got] == [timeless(line) for line in wanted]
    assert not any("hunter2" in line for line in got)
    if format_ == "json":
        assert [json.loads(line)["event"] for line in got] == ["call"] * len(records)


@jumping
async def test_a_line_says_when_its_call_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    log.configure("json")
    lines, sheet = paper()
    made = AccessLog(lines)
    times = iter([1_700_000_000.0, 1_700_000_000.1239, 1_700_000_059.9999, 1_700_000_060.0])
    monkeypatch.setattr(access.time, "time", lambda: next(times))
    for _ in range(4):
        made(call())
    made.flush()
    assert [json.loads(line)["time"] for line in sheet.lines()] == [
        "2023-11-14T22:13:20.000Z",
        "2023-11-14T22:13:20.123Z",
        "2023-11-14T22:14:19.999Z",
        "2023-11-14T22:14:20.000Z",
    ]
    lines.close(PATIENCE)


@jumping
async def test_lines_wait_for_each_other_but_not_long() -> None:
    log.configure("json")
    lines, sheet = paper()
    made = AccessLog(lines)
    made(call("a"))
    made(call("b"))
    assert sheet.pages.empty()
    await asyncio.sleep(INTERVAL + 0.01)
    assert [json.loads(line)["name"] for line in sheet.lines()] == ["a", "b"]
    made(call("c"))
    await asyncio.sleep(INTERVAL + 0.01)
    assert [json.loads(line)["name"] for line in sheet.lines()] == ["c"]
    lines.close(PATIENCE)


@jumping
async def test_many_or_long_lines_do_not_wait_at_all() -> None:
    log.configure("json")
    lines, sheet = paper()
    made = AccessLog(lines)
    for _ in range(1500):
        made(call())
    assert len(sheet.lines()) == 1024
    made(call("x" * 5000))
    assert len(sheet.lines()) == 1500 - 1024 + 1
    lines.close(PATIENCE)


@jumping
async def test_what_waits_is_written_when_the_log_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("json")
    with contextlib.suppress(KeyError):
        async with access_log() as made:
            made(call("last"))
            raise KeyError
    assert json.loads(capsys.readouterr().err)["name"] == "last"


def test_a_slow_reader_costs_lines_not_memory_and_is_told_how_many() -> None:
    lines, sheet = paper(most=100)
    sheet.go.clear()
    for number in range(50):
        lines.put([f"line {number:04}"])
    assert lines.dropped == 40
    sheet.go.set()
    assert lines.close(PATIENCE)
    written = sheet.lines(sheet.pages.qsize())
    kept = [line for line in written if line.startswith("line")]
    assert kept == [f"line {number:04}\n" for number in range(len(kept))]
    assert len(kept) == 10
    assert [line for line in written if "missing" in line] == ["40 missing\n"]


def test_there_is_room_again_when_the_reader_has_caught_up() -> None:
    lines, sheet = paper(most=100)
    sheet.go.clear()
    for _ in range(3):
        lines.put(["x" * 50])
    assert lines.dropped == 2
    sheet.go.set()
    assert sheet.lines(2) == ["x" * 50 + "\n", "2 missing\n"]
    lines.put(["y"])
    assert sheet.lines() == ["y\n"]
    assert lines.close(PATIENCE)


def test_closing_does_not_wait_for_ever() -> None:
    lines, sheet = paper()
    sheet.go.clear()
    lines.put(["x"])
    assert lines.close(0.01) is False
    sheet.go.set()
    assert sheet.lines() == ["x\n"]


def test_a_reader_that_went_away_costs_nothing_but_its_lines() -> None:
    seen: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def gone(data: bytes) -> None:
        seen.put(data)
        raise BrokenPipeError

    lines = Lines(str, gone)
    lines.put(["a"])
    lines.put(["b"])
    assert lines.close(PATIENCE)
    assert [seen.get_nowait(), seen.get_nowait()] == [b"a\n", b"b\n"]


@pytest.mark.parametrize("blocking", [True, False])
def test_a_pipe_gets_every_line_whole(monkeypatch: pytest.MonkeyPatch, blocking: bool) -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing, blocking)
    short = b"".join(b"%05d " % number + b"x" * (number % 300) + b"\n" for number in range(500))
    data = short + b"y" * 9000 + b"\nz\n"
    with os.fdopen(reading, "rb", buffering=0) as reader, os.fdopen(writing, "w") as stderr:
        monkeypatch.setattr("sys.stderr", stderr)
        writer = threading.Thread(target=to_stderr, args=(data,), daemon=True)
        writer.start()
        got = b""
        while len(got) < len(data):
            assert select.select([reader], [], [], PATIENCE)[0], "the writer has stopped"
            got += reader.read(4096)
            if len(got) <= len(short):
                assert got.endswith(b"\n")
        writer.join(PATIENCE)
        assert got == data


def test_without_a_stderr_lines_are_lost_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    lines = Lines(str)
    lines.put(["x"])
    assert lines.close(PATIENCE)
