"""`gateway tunnel` when things come, go and break: real processes on both sides."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
import trustme
from mcp import Client
from mcp.shared.exceptions import MCPError

from portico._host.rundir import folder_of
from tests.interop.passing import PATIENCE, SERVER, gone
from tests.interop.processes import ROOT
from tests.interop.test_wrapper import Heard, said
from tests.interop.tunnelling import NEXT, SECRET, Gateway, begun, gateway, tunnel
from tests.ports import free_port

LATEST = "2026-07-28"
BRIEFLY = ("--stdio", SERVER, "--set", "transports.tunnel_client.refused_seconds=0.1")
WRONG = "wrong-0123456789abcdef0123456789"


async def ready(running: Gateway, count: int = 1) -> None:
    """Wait until the gateway has listed what dialled in."""
    await running.process.until("upstream_ready", count, component="upstreams.lab")


async def away(running: Gateway, count: int = 1) -> None:
    """Wait until the gateway knows that nobody is dialled in."""
    await running.process.until("upstream_degraded", count, component="upstreams.lab", reason="no_tunnel")


async def state_of(running: Gateway) -> Any:
    async with httpx2.AsyncClient() as http:
        return (await http.get(f"http://127.0.0.1:{running.port}/readyz")).json()["upstreams"]["lab"]


@contextlib.asynccontextmanager
async def hanging(client: Client) -> AsyncIterator[asyncio.Task[Any]]:
    """A call that is in flight at the far end, and does not come back by itself."""
    heard = Heard()
    task = asyncio.create_task(client.call_tool("hang", {}, progress_callback=heard.report))
    try:
        async with asyncio.timeout(PATIENCE):
            await heard.progressed.wait()
        yield task
    finally:
        task.cancel()


async def refused(task: asyncio.Task[Any]) -> Any:
    """The error that a call ends with."""
    with pytest.raises(MCPError) as caught:
        async with asyncio.timeout(PATIENCE / 2):
            await task
    return caught.value.error


# --- the ends die ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["legacy", LATEST])
async def test_a_killed_tunnel_fails_its_calls_at_once_and_the_next_one_is_found(
    tmp_path: Path, mode: str
) -> None:
    async with gateway(tmp_path) as running:
        assert await state_of(running) == {"state": "unavailable", "reason": "no tunnel is connected"}
        async with tunnel(running.entrance, folder=tmp_path) as first, running.client(mode) as client:
            await ready(running)
            assert await state_of(running) == {"state": "ready"}
            before = said(await client.call_tool("pid", {}))
            async with hanging(client) as call:
                first.signal(signal.SIGKILL)
                error = await refused(call)
            assert (error.code, error.data["gateway"]["reason"]) == (50300, "tunnel_lost")
            await away(running, 2)
            with pytest.raises(MCPError) as nobody:
                await client.call_tool("pid", {})
            assert nobody.value.error.code == 50300
            assert nobody.value.error.data["gateway"]["reason"] == "no_tunnel"
            async with tunnel(running.entrance, folder=tmp_path):
                await ready(running, 2)
                assert said(await client.call_tool("pid", {})) != before


async def test_a_killed_gateway_is_dialled_until_it_is_back(tmp_path: Path) -> None:
    async with gateway(tmp_path) as running, tunnel(running.entrance, folder=tmp_path) as dialler:
        await ready(running)
        running.process.signal(signal.SIGKILL)
        await running.process.ended()
        await dialler.until("tunnel_retry")
        await running.restart()
        await dialler.until("tunnel_connected", 2)
        await ready(running)
        async with running.client(LATEST) as client:
            assert said(await client.call_tool("pid", {})).isdigit()


async def test_a_tunnel_may_be_there_before_the_gateway(tmp_path: Path) -> None:
    async with gateway(tmp_path) as running:
        running.process.signal(signal.SIGKILL)
        await running.process.ended()
        async with tunnel(running.entrance, folder=tmp_path, wait=False) as dialler:
            await dialler.until("tunnel_retry")
            await running.restart()
            await dialler.until("tunnel_connected")


async def test_ctrl_c_ends_a_tunnel_with_a_word_and_all_it_started(tmp_path: Path) -> None:
    async with (
        gateway(tmp_path) as running,
        tunnel(running.entrance, folder=tmp_path) as dialler,
        running.client(LATEST) as client,
    ):
        await ready(running)
        async with hanging(client) as call:
            family = psutil.Process(dialler.process.pid).children(recursive=True)
            assert family
            dialler.signal(signal.SIGINT)
            error = await refused(call)
            assert error.code in (50300, 50303)
        assert await dialler.ended() == 0
        assert "Traceback" not in dialler.text
        await gone(family)
        await away(running, 2)


async def test_a_gateway_that_is_told_to_end_finishes_calls_and_then_ends_tunnels(tmp_path: Path) -> None:
    async with gateway(tmp_path) as running, tunnel(running.entrance, folder=tmp_path) as dialler:
        await ready(running)
        async with running.client(LATEST) as client, hanging(client) as call:
            running.process.signal(signal.SIGTERM)
            await dialler.when(lambda: bool(dialler.events("tunnel_retry")), "a try to dial anew")
            error = await refused(call)
            assert error.code == 50303
        assert await running.process.ended() == 0
        assert running.process.events("server.connections_cut") == []
        await dialler.until("tunnel_ended", reason="closed_by_peer")


async def test_an_idle_tunnel_holds_up_no_end(tmp_path: Path) -> None:
    async with gateway(tmp_path) as running, tunnel(running.entrance, folder=tmp_path):
        await ready(running)
        running.process.signal(signal.SIGTERM)
        assert await running.process.ended() == 0
        assert running.process.events("server.connections_cut") == []


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_once_means_once(tmp_path: Path, how: signal.Signals) -> None:
    async with gateway(tmp_path) as running:
        offer = ("--stdio", SERVER, "--once")
        async with tunnel(running.entrance, *offer, folder=tmp_path) as dialler:
            await ready(running)
            running.process.signal(how)
            assert await dialler.ended() == (0 if how is signal.SIGTERM else 1)
            assert len(dialler.events("tunnel_connected")) == 1


@pytest.mark.parametrize("stopped", ["tunnel", "gateway"])
async def test_an_end_that_stands_still_is_given_up(tmp_path: Path, stopped: str) -> None:
    far = ("--set", "transports.tunnel_client.ping=0.5", "--set", "transports.tunnel_client.ping_timeout=2")
    near = "ping = 0.5\nping_timeout = 2"
    async with (
        gateway(tmp_path, transport=near) as running,
        tunnel(running.entrance, "--stdio", SERVER, *far, folder=tmp_path) as dialler,
    ):
        await ready(running)
        ends = {"tunnel": dialler, "gateway": running.process}
        (other,) = (end for name, end in ends.items() if name != stopped)
        ends[stopped].signal(signal.SIGSTOP)
        await other.until("tunnel_ended", reason="peer_silent")
        ends[stopped].signal(signal.SIGCONT)
        await dialler.until("tunnel_connected", 2)
        await ready(running, 2)
        async with running.client(LATEST) as client:
            assert said(await client.call_tool("pid", {})).isdigit()


async def test_a_call_takes_no_longer_than_its_upstream_may(tmp_path: Path) -> None:
    async with (
        gateway(tmp_path, upstream="call_timeout = 2") as running,
        tunnel(running.entrance, folder=tmp_path),
        running.client(LATEST) as client,
    ):
        await ready(running)
        error = await refused(asyncio.create_task(client.call_tool("hang", {})))
        assert (error.code, error.data["gateway"]["reason"]) == (50400, "call_timeout")
        assert said(await client.call_tool("cancelled", {})) == "it was cancelled"


async def test_without_tls_another_machine_is_dialled_only_when_that_is_said_to_be_meant(
    tmp_path: Path,
) -> None:
    offer = ("--stdio", SERVER, "--once")
    url = "ws://portico.invalid:9/tunnel/lab"
    async with tunnel(url, *offer, folder=tmp_path, wait=False) as careful:
        assert await careful.ended() == 2
        assert "expected wss://" in careful.text
    async with tunnel(url, *offer, "--insecure", folder=tmp_path, wait=False) as told:
        assert await told.ended() == 1
        assert told.events("tunnel_connecting")


# --- who may --------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["name", "secret", "no tunnel upstream"])
async def test_a_wrong_name_and_a_wrong_secret_are_the_same(tmp_path: Path, what: str) -> None:
    more = '[upstreams.other]\nuse = "mcp"\nurl = "http://127.0.0.1:9/mcp"\nstart_grace = 0'
    async with gateway(tmp_path, more=more) as running:
        url = running.entrance
        if what != "secret":
            url = url.replace("/lab", "/nothing" if what == "name" else "/other")
        secret = WRONG if what == "secret" else SECRET
        async with tunnel(url, *BRIEFLY, folder=tmp_path, secret=secret, wait=False) as dialler:
            assert await dialler.ended() == 1
        assert 0 < len(dialler.events("tunnel_retry")) <= 3
        expected = "gateway: the gateway does not know this name, or not with this secret"
        assert expected in dialler.text
        found = await running.process.until("tunnel_refused")
        assert found["reason"] == "wrong name or secret"
        for text in (dialler.text, running.process.text):
            assert SECRET not in text
            assert WRONG not in text


async def test_nobody_tries_for_ever(tmp_path: Path) -> None:
    async with gateway(tmp_path, transport="wrong_tries = 1") as running:
        async with tunnel(running.entrance, *BRIEFLY, folder=tmp_path, secret=WRONG, wait=False) as wrong:
            assert await wrong.ended() == 1
        async with tunnel(
            running.entrance, "--stdio", SERVER, "--once", folder=tmp_path, wait=False
        ) as right:
            assert await right.ended() == 1
            assert "come later (HTTP 429)" in right.text


async def test_a_name_that_is_only_being_added_is_waited_for(tmp_path: Path) -> None:
    patient = ("--stdio", SERVER, "--set", f"transports.tunnel_client.refused_seconds={PATIENCE}")
    fast = ("--set", "transports.tunnel_client.longest_pause=0.2")
    async with (
        gateway(tmp_path, secrets=[NEXT], transport="wrong_tries = 100") as running,
        tunnel(running.entrance, *patient, *fast, folder=tmp_path, wait=False) as dialler,
    ):
        await dialler.until("tunnel_retry")
        running.configure(secrets=[NEXT, SECRET])
        running.process.signal(signal.SIGHUP)
        await dialler.until("tunnel_connected")


async def test_a_secret_is_changed_without_a_gap(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    async with gateway(tmp_path) as running:
        offer = ("--stdio", SERVER, "--secret-file", "secret")
        async with tunnel(running.entrance, *offer, folder=tmp_path) as dialler:
            await ready(running)
            running.configure(secrets=[NEXT, SECRET])
            running.process.signal(signal.SIGHUP)
            await dialler.until("tunnel_connected", 2)
            secret.write_text(NEXT)
            running.configure(secrets=[NEXT])
            running.process.signal(signal.SIGHUP)
            await dialler.until("tunnel_connected", 3)
            async with tunnel(running.entrance, *BRIEFLY, folder=tmp_path, secret=SECRET, wait=False) as late:
                assert await late.ended() == 1
            assert dialler.process.returncode is None
        for process in (dialler, running.process):
            assert SECRET not in process.text
            assert NEXT not in process.text


async def test_another_process_takes_the_place_and_the_first_stands_by(tmp_path: Path) -> None:
    fast = ("--stdio", SERVER, "--set", "transports.tunnel_client.longest_pause=0.2")
    async with gateway(tmp_path) as running, tunnel(running.entrance, *fast, folder=tmp_path) as first:
        await ready(running)
        async with tunnel(running.entrance, *fast, folder=tmp_path) as second:
            await first.until("tunnel_ended", reason="another process has taken its place")
            await first.until("tunnel_retry", 3, reason="another process has the place")
            assert second.events("tunnel_ended") == []
            async with running.client(LATEST) as client:
                assert said(await client.call_tool("pid", {})).isdigit()
        await first.until("tunnel_connected", 2)


async def test_two_processes_share_the_work_where_two_may(tmp_path: Path) -> None:
    async with (
        gateway(tmp_path, upstream="connections = 2") as running,
        running.client("legacy") as one,
        tunnel(running.entrance, folder=tmp_path) as first,
    ):
        await ready(running)
        async with tunnel(running.entrance, folder=tmp_path) as second:
            assert said(await one.call_tool("pid", {}))
            assert first.events("tunnel_ended") == second.events("tunnel_ended") == []
            first.signal(signal.SIGKILL)
            await running.process.until("tunnel_ended")
            assert said(await one.call_tool("pid", {})).isdigit()
            assert await state_of(running) == {"state": "ready"}


# --- replicas -----------------------------------------------------------------------------------------


async def test_one_process_serves_every_replica_of_a_gateway(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    async with gateway(folders[0]) as one, gateway(folders[1]) as two:
        both = ("--connect", two.entrance, "--stdio", SERVER)
        async with tunnel(one.entrance, *both, folder=tmp_path) as dialler:
            await dialler.until("tunnel_connected", 2)
            for replica in (one, two):
                await ready(replica)
                async with replica.client(LATEST) as client:
                    assert said(await client.call_tool("pid", {})).isdigit()
            one.process.signal(signal.SIGKILL)
            await dialler.until("tunnel_ended")
            async with two.client(LATEST) as client:
                assert said(await client.call_tool("pid", {})).isdigit()
            assert len(dialler.events("tunnel_ended")) == 1
            await one.restart()
            await dialler.until("tunnel_connected", 3)
            await ready(one)


# --- workers --------------------------------------------------------------------------------------


async def test_every_worker_has_a_tunnel_and_another_when_it_is_replaced(tmp_path: Path) -> None:
    async with gateway(tmp_path, workers=2) as running, tunnel(running.entrance, folder=tmp_path) as dialler:
        await dialler.until("tunnel_connected", connections="2/2")
        await ready(running, 2)
        assert len({each["worker"] for each in running.process.events("tunnel_connected")}) == 2
        for _ in range(8):  # on a connection of its own each time
            async with running.client(LATEST) as client:
                assert said(await client.call_tool("pid", {})).isdigit()
        workers = psutil.Process(running.process.process.pid).children()
        workers[0].kill()
        await running.process.until("worker.replaced")
        await dialler.until("tunnel_connected", 2, connections="2/2")
        await ready(running, 3)


async def test_a_reload_takes_the_tunnels_along(tmp_path: Path) -> None:
    async with gateway(tmp_path, workers=2) as running, tunnel(running.entrance, folder=tmp_path) as dialler:
        await dialler.until("tunnel_connected", connections="2/2")
        before = {each["worker"] for each in dialler.events("tunnel_connected")}
        running.process.signal(signal.SIGHUP)
        await running.process.until("reload.done")
        await dialler.when(
            lambda: len({each["worker"] for each in dialler.events("tunnel_connected")} - before) >= 2,
            "a tunnel to each new worker",
        )
        await ready(running, 4)
        async with running.client(LATEST) as client:
            assert said(await client.call_tool("pid", {})).isdigit()


async def test_a_restarted_gateway_that_knows_the_tools_has_calls_wait_for_the_tunnel(tmp_path: Path) -> None:
    kept = 'state = "state"'
    async with gateway(tmp_path, gateway=kept, upstream=f"start_grace = {PATIENCE}") as running:
        async with tunnel(running.entrance, folder=tmp_path):
            await ready(running)
            running.process.signal(signal.SIGTERM)
            assert await running.process.ended() == 0
        await running.restart()
        async with running.client(LATEST) as client:
            call = asyncio.create_task(client.call_tool("pid", {}))
            async with tunnel(running.entrance, folder=tmp_path):
                assert said(await call).isdigit()


async def test_nobody_is_waited_for_longer_than_that(tmp_path: Path) -> None:
    kept = 'state = "state"'
    async with gateway(tmp_path, gateway=kept, upstream="start_grace = 0.2") as running:
        async with tunnel(running.entrance, folder=tmp_path):
            await ready(running)
            running.process.signal(signal.SIGTERM)
            assert await running.process.ended() == 0
        await running.restart()
        async with running.client(LATEST) as client:
            error = await refused(asyncio.create_task(client.call_tool("pid", {})))
            assert (error.code, error.data["gateway"]["reason"]) == (50300, "no_tunnel")


async def test_a_new_worker_lists_what_dialled_in_before_and_calls_wait(tmp_path: Path) -> None:
    away = f"start_grace = {PATIENCE}"
    async with gateway(tmp_path, upstream=away) as running:
        async with tunnel(running.entrance, folder=tmp_path) as first:
            await ready(running)
            first.signal(signal.SIGKILL)
            await first.ended()
        running.configure(upstream=away, secrets=[NEXT, SECRET])  # the way to another secret is no exception
        running.process.signal(signal.SIGHUP)
        await running.process.until("reload.done")
        async with running.client(LATEST) as client:
            assert "pid" in [each.name for each in (await client.list_tools()).tools]
            call = asyncio.create_task(client.call_tool("pid", {}))
            async with tunnel(running.entrance, folder=tmp_path):
                assert said(await call).isdigit()
        running.process.signal(signal.SIGTERM)
        assert await running.process.ended() == 0
        assert not folder_of(str((tmp_path / "gateway.toml").resolve())).exists()


# --- TLS ------------------------------------------------------------------------------------------


async def test_over_tls_it_is_the_same_and_a_stranger_s_certificate_is_not_believed(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    listener = '[listeners.http]\nuse = "hypercorn"\ncertfile = "pem"\nkeyfile = "pem"'
    async with gateway(tmp_path, more=listener) as running:
        url = running.entrance.replace("ws://", "https://")
        offer = ("--stdio", SERVER, "--once")
        async with tunnel(url, *offer, "--ca-file", "ca.pem", folder=tmp_path):
            await ready(running)
        async with tunnel(url, *offer, folder=tmp_path, wait=False) as stranger:
            assert await stranger.ended() == 1
            assert "certificate verify failed" in stranger.text


# --- the command line -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--stdio", "python", "--url", "http://a"), "expected one of --stdio"),
        ((), "expected one of --stdio"),
        (("--stdio", "python", "--server", "y"), "--server goes with --config"),
        (("--stdio", "python", "--header", "A: b"), "--header goes with --url"),
        (("--stdio", "python", "--auth", "b"), "--auth goes with --url"),
        (("--stdio", "python", "--connect", "wss://gateway.example:0/tunnel/lab"), "expected a port"),
        (("--stdio", "http://a/mcp"), "a URL goes to --url"),
        (("--stdio", "python", "--connect", "ws://gateway.example/tunnel/lab"), "expected wss://"),
        (("--stdio", "python", "--connect", "wss://gateway.example/lab"), "expected wss://HOST/tunnel/NAME"),
        (("--stdio", "python", "--connect", "wss://me:pw@gateway.example/tunnel/lab"), "has no credentials"),
        (("--stdio", "python", "--secret-file", "nothing"), "expected one of --secret-env"),
        (("--stdio", "no-such-program-here"), "there is no 'no-such-program-here' in PATH"),
        (("--stdio", "python", "--connect", "https://127.0.0.1:1/tunnel/lab"), "names a gateway twice"),
    ],
)
async def test_a_wrong_command_line_is_said_on_stderr(
    tmp_path: Path, arguments: tuple[str, ...], problem: str
) -> None:
    more = ("--secret-env", "LAB_SECRET") if "--secret-file" in arguments else ()
    url = "wss://127.0.0.1:1/tunnel/lab"
    async with tunnel(url, *(arguments or ("--once",)), *more, folder=tmp_path, wait=False) as process:
        assert await process.ended() == 2
    assert problem in " ".join(str(each.get("line")) for each in process.lines)
    assert "Traceback" not in process.text


async def test_a_secret_that_is_missing_or_short_is_said_and_not_shown(tmp_path: Path) -> None:
    for secret, problem in (("", "24 characters"), ("short-secret", "24 characters")):
        async with tunnel(
            "wss://127.0.0.1:1/tunnel/lab", folder=tmp_path, secret=secret, wait=False
        ) as process:
            assert await process.ended() == 2
        text = " ".join(str(each.get("line")) for each in process.lines)
        assert problem in text
        assert not re.search(r"short-secret", text)


async def test_a_virtual_server_of_a_configuration_is_offered(tmp_path: Path) -> None:
    (tmp_path / "far.toml").write_text(
        f'[upstreams.one]\nuse = "mcp"\ncommand = {SERVER.split()!r}\n'
        f'[upstreams.two]\nuse = "mcp"\ncommand = {[*SERVER.split(), "extra"]!r}\n'
        '[servers.both]\nupstreams = ["one", "two"]\nprefix = "always"\n'
    )
    async with gateway(tmp_path) as running:
        offer = ("--config", "far.toml", "--server", "both")
        async with tunnel(running.entrance, *offer, folder=tmp_path):
            await ready(running)
            async with running.client(LATEST) as client:
                names = [each.name for each in (await client.list_tools()).tools]
                assert "two__extra" in names
                assert said(await client.call_tool("two__extra", {})) == "extra"
        offer = ("--config", "far.toml", "--server", "bot")
        async with tunnel(running.entrance, *offer, folder=tmp_path, wait=False) as wrong:
            assert await wrong.ended() == 2
        assert "there is no virtual server 'bot'" in str(wrong.lines)


async def test_the_example_is_served_as_it_is(tmp_path: Path) -> None:
    port = free_port()
    text = (ROOT / "examples/tunnel.toml").read_text("utf-8").replace(":4444", f":{port}")
    assert text.count(str(port)) == 2
    (tmp_path / "gateway.toml").write_text(text)
    words = ("serve", "--config", "gateway.toml", "--quiet")
    process = await begun(*words, cwd=tmp_path, env={"LAB_SECRET": SECRET})
    running = Gateway(tmp_path, port, process)
    try:
        await process.until("gateway.ready")
        async with tunnel(running.entrance, folder=tmp_path):
            await ready(running)
            async with running.client(LATEST) as client:
                assert said(await client.call_tool("pid", {})).isdigit()
    finally:
        await process.close()
