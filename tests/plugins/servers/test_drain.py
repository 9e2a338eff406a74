"""Drain and stop: no answer is lost, and nothing outlives its time."""

from __future__ import annotations

import asyncio
import gc
import socket
from contextlib import suppress

import pytest

from tests.plugins.servers.serving import App, post, serving

pytestmark = pytest.mark.usefixtures("lane")


async def test_answers_say_close_once_draining_has_begun_and_listeners_stay_open() -> None:
    async with serving(App()) as served:
        wire = await served.connect()
        wire.write(post(b"before"))
        assert b"connection: close" not in (await wire.answer())[0].lower()
        served.drain.set()
        wire.write(post(b"after"))
        head, body = await wire.answer()
        assert b"connection: close" in head.lower()
        assert body == b"after"
        assert await wire.rest() == b""
        await wire.close()
        answer = await served.ask(post(b"new"))  # a new connection: still accepted, answered once
        assert b"connection: close" in answer.lower()
        assert answer.endswith(b"new")


@pytest.mark.parametrize("tls", [False, True])
async def test_a_call_in_flight_finishes_after_the_stop(tls: bool) -> None:
    app = App()
    async with serving(app, tls=tls, stop_timeout=10) as served:
        idle = await served.connect()
        idle.write(post(b"x"))
        await idle.answer()
        app.entered.clear()
        wire = await served.connect()
        wire.write(post(b"x" * 200_000, b"/hang"))
        await app.started()
        served.stop.set()
        assert await idle.rest() == b""  # idle connections end at once
        with pytest.raises(ConnectionRefusedError):
            await served.connect()
        app.let_go.set()
        head, body = await wire.answer()
        assert b"connection: close" in head.lower()
        assert len(body) == 200_000
        assert await wire.rest() == b""
        await wire.close()
        await idle.close()
        async with asyncio.timeout(30):
            await served.task


async def test_a_call_that_does_not_finish_is_cut_after_the_stop_timeout() -> None:
    app = App()
    async with serving(app, stop_timeout=0.1) as served:
        wire = await served.connect()
        wire.write(post(b"", b"/hang"))
        await app.started()
        served.stop.set()
        async with asyncio.timeout(30):
            await served.task
        assert served.log.names == ["server.connections_cut"]
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await wire.reader.readexactly(1)
        await wire.close()


async def test_cancelling_ends_everything_at_once() -> None:
    app = App()
    async with serving(app, stop_timeout=60) as served:
        wire = await served.connect()
        wire.write(post(b"", b"/hang"))
        await app.started()
        served.task.cancel()
        async with asyncio.timeout(30):
            await asyncio.wait({served.task})
        assert served.task.cancelled()
        await wire.close()
        served.task = asyncio.ensure_future(asyncio.sleep(0))


async def test_a_connection_that_waited_to_be_accepted_is_answered_after_the_stop() -> None:
    async with serving(App(), stop_timeout=10) as served:
        wire = await served.connect()
        wire.write(post(b"x"))
        await wire.answer()
        served.stop.set()  # the sockets below are in the kernel's queue when the listener closes
        opened = [asyncio.ensure_future(served.connect()) for _ in range(5)]
        answered = 0
        for connecting in opened:
            try:
                late = await connecting
            except OSError:
                continue  # after the close: refused, not reset
            late.write(post(b"late"))
            answered += (await late.rest()).endswith(b"late")
            await late.close()
        await wire.close()
        async with asyncio.timeout(30):
            await served.task
    assert answered + sum(task.exception() is not None for task in opened) == 5


async def test_a_connection_just_opened_gets_a_moment_for_its_first_request() -> None:
    async with serving(App(), stop_timeout=10) as served:
        first = await served.connect()
        first.write(post(b"x"))
        await first.answer()
        fresh = await served.connect()
        probe = await served.connect()  # accepted after `fresh`, so `fresh` is
        probe.write(post(b"x"))
        await probe.answer()
        served.stop.set()
        assert await first.rest() == b""
        fresh.write(post(b"in time"))
        assert (await fresh.rest()).endswith(b"in time")
        for wire in (first, fresh, probe):
            await wire.close()


async def test_a_connection_that_nobody_came_to_serve_is_closed() -> None:
    async with serving(App(), stop_timeout=60) as served:
        with socket.create_connection(("127.0.0.1", served.port), timeout=30) as late:
            # Told to end in the moment in which it accepts: what it accepted never begins to run.
            asyncio.get_running_loop().call_soon(served.task.cancel)
            async with asyncio.timeout(30):
                await asyncio.wait({served.task})
            gc.collect()  # a socket that was forgotten tells now
            with suppress(ConnectionResetError):
                assert await asyncio.to_thread(late.recv, 1) == b""
        served.task = asyncio.ensure_future(asyncio.sleep(0))
