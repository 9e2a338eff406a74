"""Servers on the pipes of a child process."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from typing import Any

import psutil
import pytest

from portico.api import Era, Json, Refused, Secret, State
from portico.testing import RecordingLog
from portico_plugins.upstreams.mcp import process
from tests.plugins.upstreams.kit import (
    ALICE,
    BOB,
    HERE,
    Client,
    Running,
    accept,
    call,
    running,
    text,
)
from tests.plugins.upstreams.test_mcp_legacy import never
from tests.plugins.upstreams.test_mcp_modern import ODD

ERAS = [("--legacy", Era.LEGACY), ("--modern", Era.MODERN)]


def server(*flags: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-E", str(HERE / "stdio_server.py"), *flags)


async def pid(up: Running, **changes: Any) -> int:
    return int(text(await up.send(call("pid", **changes))))


async def gone(process: int) -> None:
    """Wait until a process is no more (a zombie that waits for init counts as gone)."""
    async with asyncio.timeout(30):
        while True:
            try:
                if psutil.Process(process).status() == psutil.STATUS_ZOMBIE:
                    return
            except psutil.NoSuchProcess:
                return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(("flag", "era"), ERAS)
async def test_a_server_is_started_asked_and_ended_with_the_gateway(flag: str, era: Era) -> None:
    async with running(command=server(flag)) as up:
        assert up.upstream.offer.eras == {era}
        got = await up.send(call("echo", {"text": "hé\n"}))
        assert (text(got), got.era) == ("hé\n", era)
        process = await pid(up)
    await gone(process)


@pytest.mark.parametrize(("flag", "era"), ERAS)
async def test_a_result_passes_byte_for_byte(flag: str, era: Era) -> None:
    async with running(command=server(flag)) as up:
        got = await up.send(call("raw", {"json": ODD.decode()}, era))
    assert got.raw == ODD


@pytest.mark.parametrize(("flag", "era"), ERAS)
async def test_many_calls_share_a_pipe_and_each_gets_its_own_answer(flag: str, era: Era) -> None:
    async with running(command=server(flag)) as up:
        got = await asyncio.gather(*(up.send(call("echo", {"text": str(n)}, era)) for n in range(100)))
    assert [text(one) for one in got] == [str(n) for n in range(100)]


async def test_each_principal_has_a_process_of_its_own() -> None:
    async with running(command=server()) as up:
        alice = await pid(up)
        assert await pid(up) == alice
        assert await pid(up, era=Era.MODERN) == alice
        assert await pid(up, principal=BOB) != alice
        assert await pid(up, capabilities={"roots": {}}) != alice


async def test_a_shared_server_is_one_process_for_everybody_the_gateway_included() -> None:
    async with running(command=server(), shared=True) as up:
        both = {await pid(up), await pid(up, principal=BOB, capabilities={"roots": {}})}
        assert len(both) == 1
        assert set(json.loads(up.upstream.offer.instructions)) == {"elicitation", "roots", "sampling"}
        running_now = psutil.Process().children()
        assert {child.pid for child in running_now if "stdio_server" in "".join(child.cmdline())} == both


async def test_progress_and_questions_reach_the_client_of_the_call() -> None:
    client = Client(accept)
    async with running(command=server()) as up:
        await up.send(call("progress", {"to": 3}, client=client, progress_token="p"))
        got = await up.send(call("ask", client=client, capabilities={"elicitation": {}}))
    assert client.frames == [
        ("notifications/progress", {"progressToken": "p", "progress": i}) for i in (1, 2, 3)
    ]
    assert json.loads(text(got))["result"]["action"] == "accept"


async def test_a_question_is_answered_even_when_the_call_it_seemed_to_belong_to_is_over() -> None:
    over = asyncio.Event()

    async def late(method: str, params: Json) -> Json:
        await over.wait()
        return await accept(method, params)

    async with running(command=server()) as up:
        request = call("ask-and-go", client=Client(late), capabilities={"roots": {}})
        assert text(await up.send(request)) == "gone"
        over.set()
        await up.wiring.until(lambda: bool(up.wiring.announced))
    assert up.wiring.announced[0][2]["data"] == {"result": {"roots": [{"uri": "file:///work"}]}}


async def test_a_question_nobody_answers_ends_some_time_after_its_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("portico_plugins.upstreams.mcp.ask._AFTERWARDS", 0.05)

    async with running(command=server()) as up:
        await up.send(call("ask-and-go", client=Client(never), capabilities={"roots": {}}))
        await up.wiring.until(lambda: bool(up.wiring.announced))
    assert up.wiring.announced[0][2]["data"]["error"]["code"] == -32600


async def test_a_shared_servers_question_is_put_to_the_only_caller_and_else_to_nobody() -> None:
    client, other = Client(accept), Client()
    async with running(command=server(), shared=True) as up:
        got = await up.send(call("ask", client=client, capabilities={"elicitation": {}}))
        assert json.loads(text(got))["result"]["action"] == "accept"
        hanging = asyncio.create_task(up.send(call("hang", client=other, principal=BOB)))
        await asyncio.wait_for(other.news.wait(), 60)
        got = await up.send(call("ask", client=client, capabilities={"elicitation": {}}))
        hanging.cancel()
    assert json.loads(text(got))["error"]["code"] == -32601
    assert len(client.questions) == 1
    assert other.questions == []


async def test_cancelling_a_call_is_said_to_the_server() -> None:
    client = Client()
    async with running(command=server()) as up:
        task = asyncio.create_task(up.send(call("hang", client=client)))
        await asyncio.wait_for(client.news.wait(), 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await up.wiring.until(lambda: bool(up.wiring.announced))
    principal, _, params = up.wiring.announced[0]
    assert principal == ALICE
    assert set(params["data"]) == {"requestId"}


@pytest.mark.parametrize(
    ("tool", "arguments", "code", "reason"),
    [
        ("crash", {}, 50300, "process_exited"),
        ("mute", {}, 50300, "process_exited"),
        ("garbage", {}, 50200, "malformed_message"),
        ("long", {"size": 5000}, 50200, "message_too_large"),
    ],
)
async def test_a_server_that_breaks_fails_its_call_and_is_started_anew(
    tool: str, arguments: dict[str, Any], code: int, reason: str
) -> None:
    async with running(command=server(), max_message_bytes=4096) as up:
        first = await pid(up)
        hanging = asyncio.create_task(up.send(call("hang", client=(client := Client()))))
        await asyncio.wait_for(client.news.wait(), 60)
        for failing in (up.send(call(tool, arguments)), hanging):
            with pytest.raises(Refused) as caught:
                await failing
            assert (caught.value.code, caught.value.data["gateway"]["reason"]) == (code, reason)
        await gone(first)
        assert await pid(up) != first
        assert up.upstream.state is State.READY


async def test_a_servers_own_children_end_with_it() -> None:
    async with running(command=server()) as up:
        child = int(text(await up.send(call("child"))))
        assert psutil.pid_exists(child)
        with pytest.raises(Refused):
            await up.send(call("crash"))
        await gone(child)
        other = int(text(await up.send(call("child"))))
    await gone(other)


async def test_restarts_leave_no_process_and_no_file_open() -> None:
    async with running(command=server(), restarts=1000) as up:
        await pid(up)
        process = psutil.Process()
        before = (process.num_fds(), len(process.children(recursive=True)))
        for _ in range(4):
            with pytest.raises(Refused):
                await up.send(call("crash"))
            await pid(up)
        async with asyncio.timeout(30):
            while (process.num_fds(), len(process.children(recursive=True))) != before:
                await asyncio.sleep(0.02)


async def test_a_server_that_ignores_every_hint_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portico_plugins.upstreams.mcp.process._POLITE", 0.1)
    monkeypatch.setattr("portico_plugins.upstreams.mcp.process._PATIENT", 0.2)
    async with running(command=server("--stubborn"), shared=True) as up:
        process = await pid(up)
    await gone(process)


async def test_a_server_that_keeps_ending_is_left_alone_for_a_while() -> None:
    async with running(command=server(), restarts=1, restart_window=1000) as up:
        for _ in range(2):
            with pytest.raises(Refused) as caught:
                await up.send(call("crash"))
            assert caught.value.data["gateway"]["reason"] == "process_exited"
        with pytest.raises(Refused) as caught:
            await up.send(call("pid"))
        assert caught.value.data["gateway"]["reason"] == "restart_budget"
        assert await pid(up, principal=BOB)  # one principal's crashes are no one else's


async def test_a_catalog_process_that_keeps_ending_is_unavailable_with_a_reason() -> None:
    async with running(command=server("--exit-at-once"), restarts=1, restart_window=1000) as up:
        await up.wiring.until(lambda: up.upstream.reason.startswith("restart_budget"))
        assert up.upstream.state is State.UNAVAILABLE
        assert sys.executable in up.upstream.reason


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"command": ("no-such-command-anywhere", "x")}, "command_not_found: no-such-command-anywhere"),
        ({"command": (str(HERE),)}, f"command_not_runnable: {HERE}"),
        ({"command": ("true",), "cwd": HERE / "nowhere"}, "cwd_not_found: true"),
    ],
)
async def test_a_command_that_cannot_run_is_one_clear_reason(config: dict[str, Any], reason: str) -> None:
    async with running(**config) as up:
        assert (up.upstream.state, up.upstream.reason) == (State.UNAVAILABLE, reason)
        with pytest.raises(Refused) as caught:
            await up.send(call("t"))
        assert caught.value.code == 50300
        assert "no-such-command" not in str(caught.value.body())
    assert up.log.events().count("upstream_degraded") == 1


async def test_a_server_that_dies_of_the_probe_is_started_without_it() -> None:
    async with running(command=server("--die-of-probe")) as up:
        await up.until_state(State.READY)
        assert await pid(up)


async def test_a_server_that_is_deaf_to_the_probe_gets_the_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portico_plugins.upstreams.mcp.connect._PROBE", 0.2)
    async with running(command=server("--deaf-to-probe")) as up:
        assert up.upstream.offer.eras == {Era.LEGACY}


async def test_a_slow_modern_server_is_not_taken_for_a_legacy_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portico_plugins.upstreams.mcp.connect._PROBE", 0.001)
    async with running(command=server("--modern")) as up:
        assert up.upstream.offer.eras == {Era.MODERN}


async def test_a_greeting_on_stdout_is_noted_and_harms_nothing() -> None:
    async with running(command=server("--noisy")) as up:
        assert await pid(up)
    noise = [facts["line"] for _, event, facts in up.log.lines if event == "upstream_stdout_noise"]
    assert noise[0] == "Welcome! Server running on stdio"


async def test_the_environment_is_minimal_and_what_was_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTICO_SECRET_OF_THE_GATEWAY", "x")
    monkeypatch.setenv("LANG", "C.UTF-8")
    async with running(command=server(), env={"KEY": Secret("hush")}) as up:
        env = json.loads(text(await up.send(call("env"))))
    assert env["KEY"] == "hush"
    assert env["LANG"] == "C.UTF-8"
    allowed = {"PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TERM", "USER", "SHELL", "LOGNAME", "TMPDIR"}
    assert set(env) <= allowed | {"KEY"}
    assert "hush" not in str(up.log.lines)


async def test_stderr_becomes_log_lines_of_bounded_length_and_number() -> None:
    async with running(command=server()) as up:
        await up.send(call("stderr", {"text": "one\n" + "y" * 5000 + "\n" + "z\n" * 500}))
        await up.send(call("stderr", {"text": "last\n"}))
        await pid(up)
    lines = [facts["line"] for _, event, facts in up.log.lines if event == "upstream_stderr"]
    assert lines[:2] == ["one", "y" * 2048]
    assert len(lines) <= 203


async def test_both_eras_of_an_sdk_server_have_processes_of_their_own() -> None:
    command = (sys.executable, str(HERE / "sdk_server.py"), "stdio")
    async with running(command=command, start_grace=30) as up:
        client = Client(accept)
        for era in Era:
            assert (await up.send(call("add", {"a": 1, "b": 2}, era))).era is era
        asking = call("ask", {"question": "?"}, client=client, capabilities={"elicitation": {}})
        assert text(await up.send(asking)) == "accept yes"
        await up.send(call("grow", era=Era.MODERN))
        await up.send(call("count", {"to": 1}, Era.MODERN, client=client, progress_token=9))
        assert ("notifications/progress", {"progressToken": 9, "progress": 1, "total": 1}) in client.frames
    assert os.getpid() not in [child.pid for child in psutil.Process().children()]


async def test_no_garbage_is_collected_between_fork_and_exec() -> None:
    parent, looking = os.getpid(), True

    def look() -> None:  # after every fork from now on: there is no taking it back
        if looking and os.getppid() == parent and gc.isenabled():
            os._exit(7)

    os.register_at_fork(after_in_child=look)
    argv = (sys.executable, "-S", "-E", "-c", "import sys; sys.stdin.read()")
    child = await process.Child.start(argv, {}, None, RecordingLog(), lambda data: None, lambda code: None)
    running = psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE
    looking = False
    await child.stop()
    assert running
    assert gc.isenabled()


@pytest.mark.parametrize("steps", range(1, 8))
async def test_a_process_whose_start_is_given_up_is_gone(steps: int) -> None:
    before = set(psutil.Process().children())
    argv = (sys.executable, "-S", "-E", "-c", "import sys; sys.stdin.read()")
    start = process.Child.start(argv, {}, None, RecordingLog(), lambda data: None, lambda code: None)
    starting = asyncio.create_task(start)
    for _ in range(steps):
        await asyncio.sleep(0)
    starting.cancel()
    try:
        child = await starting
    except asyncio.CancelledError:
        assert set(psutil.Process().children()) <= before
    else:
        await child.stop()
