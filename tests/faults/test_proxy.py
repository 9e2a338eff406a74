"""The fault proxy does what it says, and the same every time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.faults.proxy import CALM, Behaviour, Fault, FaultProxy
from tests.faults.schedule import FAULTS

BODY = bytes(range(256)) * 40


@asynccontextmanager
async def echo_behind_proxy() -> AsyncIterator[FaultProxy]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(4096):
                writer.write(data)
                await writer.drain()
            writer.write_eof()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, FaultProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        yield proxy


async def exchange(proxy: FaultProxy, body: bytes = BODY) -> bytes:
    """Send a body and the end, and give what comes back until the end.

    Raises:
        OSError: The connection was reset.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        writer.write(body)
        writer.write_eof()
        async with asyncio.timeout(20):
            return await reader.read(-1)
    finally:
        writer.close()


def down(behaviour: Behaviour) -> Fault:
    return lambda dice, way: behaviour if way == "down" else CALM


@pytest.mark.parametrize("behaviour", [CALM, Behaviour(slices=7), Behaviour(jitter=0.001, rate=1e6)])
async def test_faults_that_lose_nothing_pass_every_byte(behaviour: Behaviour) -> None:
    async with echo_behind_proxy() as proxy:
        proxy.set(lambda dice, way: behaviour, "s")
        assert await exchange(proxy) == BODY


async def test_a_connection_can_die_after_n_bytes() -> None:
    async with echo_behind_proxy() as proxy:
        proxy.set(down(Behaviour(end="close", end_after=1000)), "s")
        assert await exchange(proxy) == BODY[:1000]
        assert [(each.way, each.what, each.at) for each in proxy.log] == [("down", "close", 1000)]


async def test_a_reset_is_seen_as_one() -> None:
    async with echo_behind_proxy() as proxy:
        proxy.set(down(Behaviour(end="reset", end_after=10)), "s")
        with pytest.raises(ConnectionResetError):
            await exchange(proxy)


async def test_after_a_half_close_the_other_direction_goes_on() -> None:
    async with echo_behind_proxy() as proxy:
        proxy.set(down(Behaviour(end="half_close", end_after=5)), "s")
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"0123456789")
        assert await reader.read(-1) == b"01234"
        writer.write(b"still here")
        await writer.drain()
        assert not writer.is_closing()
        assert proxy.connections == 1
        writer.close()


async def test_a_black_hole_takes_bytes_and_gives_none_until_it_is_healed() -> None:
    async with echo_behind_proxy() as proxy:
        proxy.set(down(Behaviour(end="blackhole", end_after=4)), "s")
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"0123")
        assert await reader.readexactly(4) == b"0123"
        writer.write(b"4567")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await reader.read(1)
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        writer.close()
        assert await exchange(proxy) == BODY


async def test_corruption_changes_bytes_and_no_more_than_those() -> None:
    async with echo_behind_proxy() as proxy:
        proxy.set(down(Behaviour(corrupt_every=500)), "s")
        got = await exchange(proxy)
        wrong = [one ^ other for one, other in zip(got, BODY, strict=True) if one != other]
        assert 5 < len(wrong) < 60
        assert all(each.bit_count() == 1 for each in wrong)


async def test_a_shut_proxy_refuses_and_an_opened_one_is_at_the_same_port() -> None:
    async with echo_behind_proxy() as proxy:
        port = proxy.port
        proxy.shut()
        with pytest.raises(ConnectionRefusedError):
            await exchange(proxy)
        await proxy.open()
        assert proxy.port == port
        assert await exchange(proxy) == BODY


async def _storm(seed: str) -> list[bytes]:
    async with echo_behind_proxy() as proxy:
        proxy.set(lambda dice, way: Behaviour(corrupt_every=dice.randint(50, 500)), seed)
        return [await exchange(proxy) for _ in range(5)]


async def test_a_seed_decides_what_happens_to_which_byte_of_which_connection() -> None:
    first, again, other = await _storm("7"), await _storm("7"), await _storm("8")
    assert first == again
    assert first != other
    assert len(set(first)) > 1


def test_every_fault_is_drawn_from_the_dice_alone() -> None:
    from random import Random

    for name, fault in FAULTS.items():
        drawn = [[fault(Random(seed), way) for seed in range(40)] for way in ("up", "down") for _ in (1, 2)]
        assert drawn[0] == drawn[1], name
        assert drawn[2] == drawn[3], name
