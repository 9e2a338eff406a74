"""Worker processes: real ones, killed, rolled and drained while clients call."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from portico._host import control
from portico.api import Json
from tests.kernel.cli.conftest import SMALL, environment, serving
from tests.kernel.staff import PATIENCE, Client, Failed, Gate, Load, alive, config, kill, staff


async def gone(pid: int) -> None:
    """Return when a process has ended."""
    async with asyncio.timeout(PATIENCE):
        while alive(pid):
            await asyncio.sleep(0)


def ready(status: Json, but: Sequence[int] = ()) -> int:
    """How many workers serve, some of them left aside."""
    return sum(each["state"] == "ready" and each["pid"] not in but for each in status["workers"])


# --- starting --------------------------------------------------------------------------------------------


def test_the_banner_comes_once_when_all_workers_serve(tmp_path: Path) -> None:
    with staff(tmp_path, config(workers=3)) as it:
        assert it.served.banner.count("Portico serves") == 1
        assert "gate  3 tools" in it.served.banner
        status = it.status()
        assert [each["state"] for each in status["workers"]] == ["ready"] * 3
        assert len({each["pid"] for each in status["workers"]} | {it.served.process.pid}) == 4
        assert it.served.stop() == 0
        assert [line["workers"] for line in it.log if line["event"] == "gateway.ready"] == [3]


def test_what_a_worker_was_told_does_not_show_in_its_command_line(tmp_path: Path) -> None:
    secret = "0123456789abcdef-0123456789abcdef"
    with staff(tmp_path, config(workers=2), "--set", f"gateway.secret='{secret}'") as it:
        for pid in it.pids():
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            assert words[1:4] == [b"-m", b"portico", b"_worker"]
            assert words[4].isdigit()
            assert secret.encode() not in Path(f"/proc/{pid}/environ").read_bytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_wrong_certificate_ends_the_start_with_its_place(tmp_path: Path, workers: int) -> None:
    text = config(workers) + "[listeners.http]\nuse = 'hypercorn'\ncertfile = 'no.crt'\nkeyfile = 'no.key'\n"
    (tmp_path / "gateway.toml").write_text(text)
    with tempfile.TemporaryDirectory(dir="/tmp") as runtime:
        done = subprocess.run(
            [sys.executable, "-m", "portico", "serve"],
            check=False,
            cwd=tmp_path,
            env=environment(XDG_RUNTIME_DIR=runtime),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert list(Path(runtime, "portico").iterdir()) == []
    assert done.returncode == 2
    assert "certfile" in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


# --- a worker dies ---------------------------------------------------------------------------------------


async def test_a_killed_worker_takes_no_other_along_and_is_replaced(tmp_path: Path) -> None:
    with staff(tmp_path, config(workers=3)) as it:
        load = Load(it.address, modern=9)
        await load.more(50)
        before = set(it.pids())
        victim = min(before)
        kill(victim)
        status = await it.until(lambda status: ready(status, but=[victim]) == 3)
        await load.more(50)
        await load.stop()
        after = {each["pid"] for each in status["workers"]}
        assert before - after == {victim}
        assert status["replaced"] == 1
        # A client loses what was in flight, and no more.
        assert len(load.failed) <= len(load.clients), load.failed
        assert all("IncompleteRead" in each or "Connection" in each for each in load.failed)
        assert [line["how"] for line in it.log if line["event"] == "worker.died"] == ["was ended by SIGKILL"]
        assert it.served.stop() == 0


async def test_when_all_workers_die_they_are_all_replaced(tmp_path: Path) -> None:
    with staff(tmp_path, config(workers=2)) as it:
        before = it.pids()
        for pid in before:
            kill(pid)
        await it.until(lambda status: ready(status, but=before) == 2)
        client = Client(it.address)
        assert "result" in await client.modern("echo")
        client.close()


async def test_workers_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    with staff(tmp_path, config(workers=2)) as it:
        pids = it.pids()
        kill(it.served.process.pid)
        for pid in pids:
            await gone(pid)


async def test_a_session_is_reached_on_every_connection_until_its_worker_dies(tmp_path: Path) -> None:
    with staff(tmp_path, config(workers=3)) as it:
        first = Client(it.address)
        assert (await first.legacy("echo"))[0] == 200
        (owner,) = [each["pid"] for each in it.status()["workers"] if each["load"]["sessions"]]
        clients = [Client(it.address) for _ in range(12)]
        for client in clients:
            client.session = first.session
        answers = await asyncio.gather(*(each.legacy("echo") for each in clients))
        assert [status for status, _ in answers] == [200] * 12
        kill(owner)
        await gone(owner)
        fresh = Client(it.address)
        fresh.session = first.session
        assert (await fresh.legacy("echo"))[0] == 404
        for client in (first, *clients, fresh):
            client.close()


# --- reload ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 3])
async def test_a_rolling_reload_fails_no_call_of_either_era(tmp_path: Path, workers: int) -> None:
    with staff(tmp_path, config(workers)) as it:
        load = Load(it.address, modern=4, legacy=4)
        await load.more(50)
        before = set(it.pids())
        done = await asyncio.to_thread(it.reload)
        assert done == {"ok": True, "generation": 2, "workers": workers}
        assert not before & set(await asyncio.to_thread(it.pids))
        await it.until(lambda status: len(status["workers"]) == workers)
        await load.more(50)
        await load.stop()
        assert load.failed == []
        assert load.again >= 1
        status = it.status()
        assert {each["generation"] for each in status["workers"]} == {2}
        assert it.served.stop() == 0


async def test_calls_in_flight_end_before_the_old_worker_does(tmp_path: Path) -> None:
    gate = Gate()
    with staff(tmp_path, config()) as it:
        client = Client(it.address)
        calling = asyncio.create_task(client.modern("wait", {"port": gate.port}))
        held = await gate.begun()
        assert (await asyncio.to_thread(it.reload))["ok"]
        held.close()
        assert "waited in" in str(await calling)
        client.close()
    gate.close()


async def test_a_parked_call_is_resumed_at_the_old_worker_after_a_reload(tmp_path: Path) -> None:
    with staff(tmp_path, config(workers=2)) as it:
        client = Client(it.address)
        result = (await client.modern("ask"))["result"]
        (key,) = result["inputRequests"]
        client.close()
        assert (await asyncio.to_thread(it.reload))["ok"]
        answers = {
            "inputResponses": {key: {"action": "accept", "content": {}}},
            "requestState": result["requestState"],
        }
        late = Client(it.address)
        assert "accept" in str((await late.modern("ask", **answers))["result"])
        again = await late.modern("ask", **answers)
        assert again["error"]["code"] == -32602
        late.close()


async def test_a_reload_that_fails_changes_nothing_and_says_why(tmp_path: Path) -> None:
    with staff(tmp_path, config(workers=2)) as it:
        before = it.pids()
        it.file.write_text(config(workers=2) + "[upstreams.x]\nuse = 'mpc'\n")
        done = it.reload()
        assert not done["ok"]
        assert "upstreams.x.use" in done["error"]
        it.file.write_text("[gateway\n")
        assert "gateway.toml" in it.reload()["error"]
        assert it.pids() == before
        assert it.status()["last_reload"]["ok"] is False
        # A worker that dies meanwhile is replaced with what served until now.
        kill(before[0])
        status = await it.until(lambda status: ready(status, but=before[:1]) == 2)
        assert {each["generation"] for each in status["workers"]} == {1}
        client = Client(it.address)
        assert "result" in await client.modern("echo")
        client.close()


async def test_a_reload_takes_another_number_of_workers_and_other_addresses(tmp_path: Path) -> None:
    with staff(tmp_path, config(workers=1)) as it:
        (old,) = it.status()["listen"]
        it.file.write_text(config(workers=3, listen='"localhost:0"'))
        assert it.reload()["workers"] == 3
        status = await it.until(lambda status: len(status["workers"]) == 3)
        (new,) = status["listen"]
        assert new != old
        client = Client(("127.0.0.1", int(new.rpartition(":")[2])))
        assert "result" in await client.modern("echo")
        client.close()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(it.address, timeout=5).close()
        it.file.write_text(config(workers=1, listen='"localhost:0"'))
        assert it.reload()["workers"] == 1
        assert (await it.until(lambda status: len(status["workers"]) == 1))["listen"] == [new]


async def test_an_address_that_is_taken_fails_the_reload(tmp_path: Path) -> None:
    with staff(tmp_path, config(workers=2)) as it, socket.create_server(("127.0.0.1", 0)) as taken:
        before = it.status()
        port = taken.getsockname()[1]
        it.file.write_text(config(workers=2, listen=f'"127.0.0.1:0", "127.0.0.1:{port}"'))
        assert "cannot listen" in it.reload()["error"]
        after = it.status()
        assert (after["listen"], after["generation"]) == (before["listen"], 1)


async def test_sighup_reloads(tmp_path: Path) -> None:
    with staff(tmp_path, config()) as it:
        it.served.process.send_signal(signal.SIGHUP)
        await it.until(lambda status: status["generation"] == 2 and status["last_reload"] is not None)


# --- the end ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
async def test_sigterm_lets_calls_finish_and_a_second_one_does_not(tmp_path: Path, workers: int) -> None:
    gate = Gate()
    with staff(tmp_path, config(workers)) as it:
        client = Client(it.address)
        calling = asyncio.create_task(client.modern("wait", {"port": gate.port}))
        held = await gate.begun()
        it.served.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            while not any(line["event"] == "gateway.draining" for line in it.log):
                await asyncio.sleep(0)
        held.close()
        assert "waited in" in str(await calling)
        assert await asyncio.to_thread(it.served.process.wait, 30) == 0
        client.close()
        assert list((it.runtime / "portico").iterdir()) == []
    with staff(tmp_path, config(workers, "drain_timeout = 600")) as it:
        client = Client(it.address)
        calling = asyncio.create_task(client.modern("wait", {"port": gate.port}))
        held = await gate.begun()
        it.served.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            while not any(line["event"] == "gateway.draining" for line in it.log):
                await asyncio.sleep(0)
        it.served.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(it.served.process.wait, 30) == 0
        (end,) = await asyncio.gather(calling, return_exceptions=True)
        assert isinstance(end, Failed) or end["error"]["code"] == 50303
        client.close()
        held.close()
    gate.close()


# --- service managers ------------------------------------------------------------------------------------


def test_a_service_manager_is_told(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = f"{folder}/notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(PATIENCE)
            with staff(tmp_path, config(workers=2), NOTIFY_SOCKET=path) as it:
                assert manager.recv(1024).startswith(b"READY=1\n")
                it.reload()
                assert manager.recv(1024).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
                assert manager.recv(1024).startswith(b"READY=1\n")
                it.served.stop()
                assert manager.recv(1024) == b"STOPPING=1"


def test_as_process_1_it_takes_leave_of_orphans(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    ready = unshare and subprocess.run([unshare, "-pf", "true"], check=False, capture_output=True).returncode
    if ready != 0:
        pytest.skip("unshare cannot make a process namespace here")
    inside = tmp_path / "inside.py"
    # Process 1 is the gateway; a grandchild of its upstream is orphaned, ends, and must not stay a zombie.
    inside.write_text(
        "import os, subprocess, sys\n"
        "subprocess.Popen(['sh', '-c', '(sleep 0.1 & echo $! > orphan) &'])\n"
        f"os.execv(sys.executable, {[sys.executable, *SMALL[1:]]!r})\n"
    )
    command = json.dumps([sys.executable, str(inside)])
    (tmp_path / "gateway.toml").write_text(
        f"[gateway]\nlisten = ['127.0.0.1:0']\n[upstreams.o]\nuse = 'mcp'\ncommand = {command}\n"
    )
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as runtime,
        (tmp_path / "stderr").open("w") as stderr,
    ):
        process = subprocess.Popen(
            [str(unshare), "-pf", "--mount-proc", sys.executable, "-m", "portico", "serve"],
            cwd=tmp_path,
            env=environment(XDG_RUNTIME_DIR=runtime),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line == "}\n":
                    break
            (folder,) = Path(runtime, "portico").iterdir()
            status = control.ask(folder / control.FILE, {"do": "status"}, PATIENCE)
            assert status["pid"] == 1
            (worker,) = status["workers"]
            assert worker["pid"] != 1
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            (init,) = children
            zombies = True
            while zombies:  # the orphan lives for a moment yet
                found = Path(f"/proc/{init}/task/{init}/children").read_text().split()
                zombies = len(found) > 1
            os.kill(int(init), signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait(30)
            process.stdout.close()


# --- the commands ----------------------------------------------------------------------------------------


def gateway(folder: Path, runtime: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "portico", *args],
        check=False,
        cwd=folder,
        env=environment(XDG_RUNTIME_DIR=str(runtime)),
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_status_and_reload_as_commands(tmp_path: Path) -> None:
    with staff(tmp_path, config(workers=2)) as it:
        shown = gateway(tmp_path, it.runtime, "status")
        assert shown.returncode == 0, shown.stderr
        lines = shown.stdout.splitlines()
        assert f"pid {it.served.process.pid}" in lines[0]
        assert lines[1].split()[:5] == ["PID", "STATE", "GENERATION", "AGE", "MEMORY"]
        assert [line.split()[:3] for line in lines[2:4]] == [[str(pid), "ready", "1"] for pid in it.pids()]
        assert [line.split()[:2] for line in lines[4:]] == [[], ["UPSTREAM", "STATE"], ["gate", "ready"]]
        machine = json.loads(gateway(tmp_path, it.runtime, "status", "--json").stdout)
        assert machine["workers"][0]["memory"] > 1_000_000
        carried = machine["workers"][0]["load"]
        assert carried.pop("loop_lag") < 10
        assert carried.pop("upstreams")["gate"]["state"] == "ready"
        counts = ("calls", "parked", "sessions", "forwarded", "owners_gone", "refused")
        assert carried == {"refusing": None, **dict.fromkeys(counts, 0)}
        done = gateway(tmp_path, it.runtime, "reload")
        assert (done.stdout, done.returncode) == ("generation 2 serves with 2 workers\n", 0)
        it.file.write_text("[gateway]\nworkers = 0\n")
        failed = gateway(tmp_path, it.runtime, "reload")
        assert failed.returncode == 1
        assert "gateway.workers" in failed.stderr
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        assert gateway(elsewhere, it.runtime, "status").returncode == 0  # there is but one
        wrong = gateway(elsewhere, it.runtime, "status", "--listen", "127.0.0.1:1")
        assert wrong.returncode == 1
        assert "no gateway answers" in wrong.stderr
        assert str(it.socket) in wrong.stderr


def test_a_gateway_without_a_file_is_found_by_its_address(tmp_path: Path) -> None:
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as runtime,
        serving(tmp_path, "--upstream", " ".join(SMALL), XDG_RUNTIME_DIR=runtime) as served,
    ):
        address = served.url.removeprefix("http://").removesuffix("/mcp")
        shown = gateway(tmp_path, Path(runtime), "status", "--listen", address)
        assert shown.returncode == 0, shown.stderr
        assert address in shown.stdout


def test_the_control_socket_is_where_the_file_says(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        path = f"{short}/c.sock"
        with staff(tmp_path, config(extra=f"control = '{path}'")) as it:
            assert Path(path).stat().st_mode & 0o777 == 0o600
            assert gateway(tmp_path, it.runtime, "status").returncode == 0
            assert it.served.stop() == 0
        assert not Path(path).exists()


def test_without_a_control_socket_there_is_none(tmp_path: Path) -> None:
    with staff(tmp_path, config(extra="control = ''")) as it:
        assert not it.socket.exists()
        assert it.served.stop() == 0


def test_the_sockets_are_for_this_user_only(tmp_path: Path) -> None:
    with staff(tmp_path, config(workers=2)) as it:
        assert it.socket.stat().st_mode & 0o777 == 0o600
        for folder in (it.socket.parent, it.socket.parent.parent):
            assert folder.stat().st_mode & 0o777 == 0o700


def test_a_second_gateway_of_the_same_file_leaves_the_first_ones_socket_alone(tmp_path: Path) -> None:
    with staff(tmp_path, config()) as it:
        with serving(tmp_path, listen=None, XDG_RUNTIME_DIR=str(it.runtime)) as second:
            assert it.status()["pid"] == it.served.process.pid
            assert "another gateway answers" in second.errors.read_text()
            assert second.stop() == 0
        assert it.status()["pid"] == it.served.process.pid
