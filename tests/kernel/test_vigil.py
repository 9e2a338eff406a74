"""What a supervisor sees to: workers that are stuck, share connections, count what they forward."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import tempfile
from pathlib import Path

import pytest

from portico._config.tables import GatewaySettings
from portico._core.contracts.json import Json
from portico._host.notify import watchdog
from portico._host.workers.base import Worker
from portico._host.workers.vigil import end_stuck
from portico.testing import RecordingLog
from tests.kernel.staff import PATIENCE, Client, Failed, alive, config, kill, staff
from tests.kernel.test_supervisor import gone, ready

# --- stuck workers ---------------------------------------------------------------------------------------


async def test_a_worker_whose_loop_stands_still_is_killed_and_replaced(tmp_path: Path) -> None:
    with staff(tmp_path, config(workers=2, extra="hang_timeout = 2")) as it:
        before = it.pids()
        victim = before[0]
        os.kill(victim, signal.SIGSTOP)
        await gone(victim)
        status = await it.until(lambda status: ready(status, but=[victim]) == 2)
        assert before[1] in {each["pid"] for each in status["workers"]}
        assert status["replaced"] == 1
        (stuck,) = [line for line in it.log if line["event"] == "worker.stuck"]
        assert stuck["pid"] == victim
        assert stuck["seconds"] >= 2
        assert [line["how"] for line in it.log if line["event"] == "worker.died"] == ["was ended by SIGKILL"]


async def test_the_others_serve_while_a_worker_stands_still(tmp_path: Path) -> None:
    with staff(tmp_path, config(workers=2, extra="hang_timeout = 0")) as it:
        victim = it.pids()[0]
        os.kill(victim, signal.SIGSTOP)
        try:
            answered = 0
            for _ in range(20):
                # What the one that stands still had accepted before, nobody else can answer.
                client = Client(it.address)
                assert "result" in await client.modern("echo")
                answered += 1
                client.close()
            assert answered == 20
            assert alive(victim)
        finally:
            os.kill(victim, signal.SIGCONT)
        await it.until(lambda status: ready(status) == 2)


class Stub(Worker):
    """A worker that has been stuck for longer at each look."""

    def __init__(self, allowed: float) -> None:
        super().__init__(None, 1)
        self.state = "ready"
        self.wants = {"hang_timeout": allowed}
        self.stuck = 0.0
        self.killed = asyncio.Event()

    def look(self, seconds: float) -> float:
        self.stuck += 1.0
        return self.stuck

    def kill(self) -> None:
        self.killed.set()


async def test_only_workers_that_serve_and_have_a_limit_are_ended() -> None:
    unlimited, starting, stuck, patient = Stub(0), Stub(3), Stub(3), Stub(1000)
    starting.state = "starting"
    log = RecordingLog()
    looking = asyncio.create_task(end_stuck(lambda: [unlimited, starting, stuck, patient], log, each=0.001))
    async with asyncio.timeout(PATIENCE):
        await stuck.killed.wait()
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    assert not any(each.killed.is_set() for each in (unlimited, starting, patient))
    assert log.lines[0].facts["seconds"] == 3


@pytest.mark.parametrize("seconds", [-1, 0.5])
def test_a_limit_that_would_end_healthy_workers_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="expected 0, or at least 1"):
        GatewaySettings(hang_timeout=seconds)


# --- connections -----------------------------------------------------------------------------------------


def held(status: Json) -> list[int]:
    return [each["connections"] for each in status["workers"]]


@pytest.mark.parametrize("lane", ["true", "false"])
async def test_a_burst_of_connections_is_shared_out(tmp_path: Path, lane: str) -> None:
    text = config(workers=2) + f"[listeners.http]\nuse = 'hypercorn'\nfast_lane = {lane}\n"
    with staff(tmp_path, text) as it:
        burst = [socket.create_connection(it.address, timeout=PATIENCE) for _ in range(64)]
        status = await it.until(lambda status: sum(held(status)) == 64)
        # Four ahead at most; more only if the other was kept from running, one each 20 ms.
        assert max(held(status)) <= 40, held(status)
        for sock in burst:
            sock.close()
        await it.until(lambda status: held(status) == [0, 0])


async def test_a_new_worker_gets_the_connections_until_it_has_as_many(tmp_path: Path) -> None:
    with staff(tmp_path, config(workers=2)) as it:
        before = it.pids()
        burst = [socket.create_connection(it.address, timeout=PATIENCE) for _ in range(40)]
        await it.until(lambda status: sum(held(status)) == 40)
        kill(before[0])
        status = await it.until(lambda status: ready(status, but=before[:1]) == 2)
        (kept,) = [each["connections"] for each in status["workers"] if each["pid"] == before[1]]
        assert 0 < kept < 40
        more = [socket.create_connection(it.address, timeout=PATIENCE) for _ in range(kept - 4)]
        status = await it.until(lambda status: sum(held(status)) == 2 * kept - 4)
        (fresh,) = [each["connections"] for each in status["workers"] if each["pid"] != before[1]]
        assert fresh >= kept / 2, held(status)
        for sock in (*burst, *more):
            sock.close()


# --- what is forwarded -----------------------------------------------------------------------------------


async def test_status_counts_what_was_forwarded_and_whose_owner_was_gone(tmp_path: Path) -> None:
    with staff(tmp_path, config(workers=2)) as it:
        first = Client(it.address)
        assert (await first.legacy("echo"))[0] == 200
        (owner,) = [each["pid"] for each in it.status()["workers"] if each["load"]["sessions"]]
        clients = [Client(it.address) for _ in range(12)]
        for client in clients:
            client.session = first.session
            assert (await client.legacy("echo"))[0] == 200
        counted = {
            each["pid"]: (each["load"]["forwarded"], each["load"]["owners_gone"], each["connections"])
            for each in it.status()["workers"]
        }
        (other,) = counted.keys() - {owner}
        assert counted[owner][:2] == (0, 0)
        assert counted[other][0] == counted[other][2] > 0
        kill(owner)
        await gone(owner)
        lost = 0
        for client in clients:
            if client.connections == 1:
                status, _ = await _legacy(client)
                lost += status == 404
        status = await it.until(lambda status: ready(status, but=[owner]) == 2)
        (mine,) = [each["load"] for each in status["workers"] if each["pid"] == other]
        assert mine["owners_gone"] == lost == counted[other][0]
        assert mine["forwarded"] == 2 * lost
        for client in (first, *clients):
            client.close()


async def _legacy(client: Client) -> tuple[int, Json]:
    """A call on the connection there is; (0, {}) if its worker was the one that died."""
    try:
        return await client.legacy("echo")
    except Failed:
        return 0, {}


# --- the service manager's watchdog ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("period", "whose", "pause"),
    [
        ("3000000", "", 1.5),
        ("3000000", "mine", 1.5),
        ("3000000", "1", None),
        ("0", "", None),
        ("soon", "", None),
        (None, "", None),
    ],
)
def test_the_watchdog_is_told_twice_in_its_period(
    monkeypatch: pytest.MonkeyPatch, period: str | None, whose: str, pause: float | None
) -> None:
    for name, value in (("WATCHDOG_USEC", period), ("WATCHDOG_PID", whose)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, str(os.getpid()) if value == "mine" else value)
    assert watchdog() == pause


@pytest.mark.parametrize("workers", [1, 2])
def test_the_watchdog_hears_of_the_gateway_and_of_nobody_else(tmp_path: Path, workers: int) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = f"{folder}/notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(PATIENCE)
            manager.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            told: set[tuple[bytes, int]] = set()
            pings = 0
            with staff(tmp_path, config(workers), NOTIFY_SOCKET=path, WATCHDOG_USEC="100000") as it:
                while pings < 5:
                    data, ancillary, _, _ = manager.recvmsg(1024, 1024)
                    pid = int.from_bytes(ancillary[0][2][:4], "little")
                    told.add((data.split(b"\n")[0], pid))
                    pings += data == b"WATCHDOG=1"
                me = it.served.process.pid
            assert (b"WATCHDOG=1", me) in told
            assert {pid for _, pid in told} == {me}
