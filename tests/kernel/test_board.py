"""What workers know of each other: who has how many connections, and whose loop turns."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from portico._host import board as module
from portico._host.board import Board, Slot


class Time:
    """A monotonic clock that goes when it is told."""

    def __init__(self) -> None:
        self.ms = 1_000_000

    def monotonic_ns(self) -> int:
        return self.ms * 1_000_000


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(module, "time", time)
    return time


@pytest.fixture
def board(time: Time) -> Iterator[Board]:
    board = Board()
    yield board
    board.close()


def slot(board: Board, held: int | None = None) -> Slot:
    made = Slot(board, board.claim())
    made.turn()
    if held is not None:
        made.hold(held)
    return made


def test_a_worker_that_is_alone_takes_everything(board: Board) -> None:
    assert slot(board, 5000).room(5000) > 5000


def test_a_worker_gets_a_little_ahead_of_the_one_with_the_fewest_and_no_further(board: Board) -> None:
    mine, few = slot(board), slot(board, 10)
    slot(board, 30)
    rooms = [mine.room(held) for held in (0, 10, 13, 14, 50)]
    assert rooms == [14, 4, 1, 0, -36]
    few.hold(11)
    assert mine.room(14) == 1


def test_a_worker_that_needs_a_connection_leaves_none_to_the_others(board: Board) -> None:
    mine, _ = slot(board), slot(board, 10)
    mine.eager = lambda: True
    assert [mine.room(held) for held in (0, 13, 14, 50)] == [14, 1, 1, 1]


def test_nobody_waits_for_a_worker_that_takes_none(board: Board) -> None:
    mine, other = slot(board, 9), slot(board)
    assert mine.room(9) > 1000
    other.hold(0)
    assert mine.room(9) < 0
    other.hold(None)
    assert mine.room(9) > 1000


def test_nobody_waits_for_a_worker_that_is_stuck(board: Board, time: Time) -> None:
    mine, other = slot(board, 9), slot(board, 0)
    time.ms += 500
    assert mine.room(9) < 0
    time.ms += 1
    assert mine.room(9) > 1000
    other.turn()
    assert mine.room(9) < 0


def test_what_one_process_writes_another_reads(board: Board) -> None:
    mine = slot(board, 3)
    there = Board(board.fd)
    assert there.held(mine.number) == 3
    assert there.turned(mine.number) == board.turned(mine.number) > 0
    there.hold(mine.number, 4)
    assert board.held(mine.number) == 4


def test_the_slot_of_a_worker_that_has_ended_is_blank_and_used_again(board: Board) -> None:
    first, second = slot(board, 1), slot(board, 2)
    board.release(first.number)
    assert board.held(first.number) is None
    assert board.turned(first.number) == 0
    assert second.room(99) > 1000
    assert board.claim() == first.number
    assert board.claim() not in (first.number, second.number)


def test_there_is_room_for_two_thousand_workers_and_then_no_more(board: Board) -> None:
    slots = {board.claim() for _ in range(2047)}
    assert len(slots) == 2047
    board.hold(max(slots), 7)
    assert Board(board.fd).held(2047) == 7
    with pytest.raises(IndexError):
        board.claim()
