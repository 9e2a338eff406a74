"""Whose turn it is to accept: a share is kept to, and nobody who connects is left waiting for it."""

from __future__ import annotations

import asyncio
import socket

import pytest

from portico_plugins.servers.hypercorn.turns import Turns
from tests.plugins.servers.serving import App, serving


class Fixed:
    """A share that a test decides on; remembers what it was told."""

    def __init__(self, room: int) -> None:
        self.left = room
        self.told: list[int | None] = []

    def hold(self, held: int | None) -> None:
        self.told.append(held)

    def room(self, held: int) -> int:
        return self.left


@pytest.fixture
def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def test_within_its_share_a_process_accepts_what_is_left_of_it() -> None:
    assert Turns(Fixed(7)).most(3, 0.0) == 7


def test_beyond_it_one_is_taken_when_the_others_leave_it_for_long() -> None:
    turns = Turns(Fixed(0))
    times = (1.0, 1.001, 1.019, 1.021, 1.022, 1.040, 1.042)
    assert [turns.most(9, now) for now in times] == [0, 0, 0, 1, 0, 0, 1]


def test_when_the_others_have_taken_what_waited_the_next_one_waits_anew(listener: socket.socket) -> None:
    turns = Turns(Fixed(-3))
    with listener:
        assert turns.most(9, 1.0) == 0
        turns.look(listener)
        assert turns.most(9, 2.0) == 0
        with socket.create_connection(listener.getsockname()):
            turns.look(listener)  # somebody waits yet
            assert turns.most(9, 2.1) == 1


async def test_a_server_tells_what_it_holds_and_that_it_takes_no_more() -> None:
    share = Fixed(100)
    async with serving(App(), share=share) as served:
        wires = [await served.connect() for _ in range(3)]
        for wire in wires:
            await wire.close()
        async with asyncio.timeout(30):
            while share.told[-1] != 0 or 3 not in share.told:
                await asyncio.sleep(0)
    assert share.told[0] == 0
    assert share.told[-1] is None
    assert share.told.count(None) == 1


async def test_beyond_its_share_a_server_still_serves_whom_nobody_else_serves() -> None:
    share = Fixed(-50)
    async with serving(App(), share=share) as served:
        request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        answers = await asyncio.gather(*(served.status(request) for _ in range(5)))
    assert answers == [200] * 5
