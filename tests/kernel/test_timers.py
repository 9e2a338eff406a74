from __future__ import annotations

import asyncio

from portico._core.timers import TICK, Timer, Timers, timers
from tests.kernel.doubles import jumping


@jumping
async def test_a_timer_rings_at_its_time_or_a_tick_after_it() -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    rang: dict[float, float] = {}
    for seconds in (0.0, 0.01, 0.049, 0.05, 1.0, 1.03, 60.0):
        timers().after(seconds, lambda seconds=seconds: rang.setdefault(seconds, loop.time() - begun))
    await asyncio.sleep(61)
    assert list(rang) == sorted(rang)
    for seconds, at in rang.items():
        assert seconds <= at <= seconds + TICK + 0.003


@jumping
async def test_a_cancelled_timer_does_not_ring() -> None:
    rang: list[str] = []
    cancelled = timers().after(1, rang.append, "cancelled")
    timers().after(1, rang.append, "kept")
    cancelled.cancel()
    cancelled.cancel()
    await asyncio.sleep(2)
    assert rang == ["kept"]


@jumping
async def test_a_timer_cancelled_by_one_that_rings_with_it_does_not_ring() -> None:
    rang: list[str] = []
    later: list[Timer] = []

    def cancel_it() -> None:
        later.pop().cancel()

    timers().at(5.01, cancel_it)
    later.append(timers().at(5.01, rang.append, "second"))
    await asyncio.sleep(6)
    assert rang == []


@jumping
async def test_an_earlier_timer_set_later_rings_first() -> None:
    rang: list[int] = []
    timers().after(10, rang.append, 2)
    timers().after(1, rang.append, 1)
    await asyncio.sleep(2)
    assert rang == [1]
    await asyncio.sleep(10)
    assert rang == [1, 2]


@jumping
async def test_one_that_fails_does_not_silence_the_others() -> None:
    rang: list[int] = []
    failed: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, said: failed.append(type(said["exception"]).__name__)
    )
    timers().after(1, [].pop)
    timers().after(1, rang.append, 1)
    await asyncio.sleep(2)
    assert rang == [1]
    assert failed == ["IndexError"]


@jumping
async def test_cancelled_timers_leave_nothing_behind() -> None:
    each = Timers(asyncio.get_running_loop())
    for number in range(100):
        each.after(number, print).cancel()
    assert each._armed is not None
    await asyncio.sleep(1)
    assert not each._shelves
    assert each._armed is None


async def test_each_loop_has_timers_of_its_own() -> None:
    mine = timers()
    assert timers() is mine
    other = await asyncio.to_thread(asyncio.run, _theirs())
    assert other is not mine
    assert timers().loop is asyncio.get_running_loop()


async def _theirs() -> Timers:
    return timers()
