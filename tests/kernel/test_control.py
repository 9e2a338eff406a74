"""The control socket, the private folder, the word to the service manager, and what workers are handed."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portico._config.orders import Orders
from portico._config.settings import Document
from portico._config.sources import parse_value
from portico._config.wording import Text
from portico._host import control, notify, rundir
from portico._host.listening import Listening
from portico._host.premises import prepare
from portico._host.workers import link
from portico.api import Json
from portico.testing import RecordingLog
from tests.kernel.doubles import composed

# --- the private folder --------------------------------------------------------------------------------


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        monkeypatch.setenv("XDG_RUNTIME_DIR", name)
        yield Path(name)


def test_the_folder_is_private_and_found_again(short: Path) -> None:
    folder = rundir.make(rundir.folder_of("/etc/gateway.toml"))
    assert folder.parent == short / "portico"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert rundir.make(rundir.folder_of("/etc/gateway.toml")) == folder
    assert rundir.folder_of("127.0.0.1:4444") != folder


def test_without_a_runtime_directory_it_is_below_the_temporary_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "/nowhere/at/all"):
        monkeypatch.setenv("XDG_RUNTIME_DIR", value)
        assert rundir.root() == Path(tempfile.gettempdir()) / f"portico-{os.geteuid()}"


def test_a_folder_others_may_look_into_is_refused(short: Path) -> None:
    (short / "portico").mkdir(mode=0o755)
    (short / "portico").chmod(0o755)
    with pytest.raises(rundir.Unusable, match="open to other users"):
        rundir.make(rundir.folder_of("x"))


def test_a_link_or_file_in_its_place_is_refused(short: Path) -> None:
    (short / "elsewhere").mkdir(mode=0o700)
    (short / "portico").symlink_to(short / "elsewhere")
    with pytest.raises(rundir.Unusable, match="not a folder"):
        rundir.make(rundir.folder_of("x"))
    (short / "portico").unlink()
    (short / "portico").touch()
    with pytest.raises(rundir.Unusable, match="cannot be made"):
        rundir.make(rundir.folder_of("x"))


def test_somebody_elses_folder_is_refused(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = rundir.make(rundir.folder_of("x"))
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(rundir.Unusable, match="another user"):
        rundir.check_folder(folder)


def test_a_path_too_long_for_sockets_is_refused(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = short / ("x" * 90)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    with pytest.raises(rundir.Unusable, match="too long"):
        rundir.make(rundir.folder_of("x"))


# --- the control socket --------------------------------------------------------------------------------


async def echo(request: Json) -> Json:
    return {"ok": True, "got": request}


async def test_sockets_that_a_killed_gateway_has_left_are_taken_away(short: Path) -> None:
    config = short / "gateway.toml"
    folder = rundir.make(rundir.folder_of(rundir.identity_of(config, "")))
    (folder / "0a1b2c3d4e5f.sock").touch()
    for _ in range(2):  # nor does another that starts beside it take away what is in use
        found, served = await prepare(composed({}), config, Listening(), echo, RecordingLog())
        assert found == folder
        assert served is not None
        try:
            assert [path.name for path in folder.iterdir()] == [control.FILE]
            (folder / "live.sock").touch()
            _, second = await prepare(composed({}), config, Listening(), echo, RecordingLog())
            assert second is None
            assert (folder / "live.sock").exists()
        finally:
            await served.close()


async def test_it_answers_line_by_line_and_is_for_its_user_only(short: Path) -> None:
    path = short / "c.sock"
    served = control.Control(path, echo)
    await served.open()
    assert path.stat().st_mode & 0o777 == 0o600
    reader, writer = await asyncio.open_unix_connection(str(path))
    for line, wanted in (
        (b'{"do":"a"}', b'{"ok":true,"got":{"do":"a"}}'),
        (b"nonsense", None),
        (b"[]", None),
        (b'{"do":"b"}', b'{"ok":true,"got":{"do":"b"}}'),
    ):
        writer.write(line + b"\n")
        answer = (await reader.readline()).strip()
        assert answer == wanted if wanted else b'"ok":false' in answer
    writer.write(b"x" * 100_000 + b"\n")
    assert await reader.readline() == b""
    writer.close()
    assert (await asyncio.to_thread(control.ask, path, {"do": "x"}, 5.0))["got"] == {"do": "x"}
    await served.close()
    assert not path.exists()


async def test_it_is_not_taken_from_a_gateway_that_answers(short: Path) -> None:
    path = short / "c.sock"
    first, second = control.Control(path, echo), control.Control(path, echo)
    await first.open()
    with pytest.raises(control.Taken):
        await second.open()
    await second.close()
    assert path.exists()
    await first.close()


async def test_what_a_dead_gateway_left_is_replaced_and_a_file_is_not(short: Path) -> None:
    path = short / "c.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    path.chmod(0o600)
    served = control.Control(path, echo)
    await served.open()
    await served.close()
    path.write_text("precious")
    with pytest.raises(rundir.Unusable, match="not a socket"):
        await control.Control(path, echo).open()
    assert path.read_text() == "precious"


def test_a_socket_others_may_open_is_not_trusted(short: Path) -> None:
    path = short / "c.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        path.chmod(0o666)
        sock.listen()
        with pytest.raises(rundir.Unusable, match="open to other users"):
            control.ask(path, {"do": "status"}, 1.0)


async def test_a_gateway_that_ends_in_mid_answer_is_an_error(short: Path) -> None:
    path = short / "c.sock"

    async def never(request: Json) -> Json:
        asking.set()
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    asking = asyncio.Event()
    served = control.Control(path, never)
    await served.open()
    asked = asyncio.create_task(asyncio.to_thread(control.ask, path, {"do": "x"}, 10.0))
    await asking.wait()
    await served.close()
    with pytest.raises(ConnectionResetError, match="went away"):
        await asked


# --- the service manager -------------------------------------------------------------------------------


@pytest.mark.parametrize("abstract", [False, True])
def test_a_state_is_sent_to_the_socket_the_environment_names(
    short: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool
) -> None:
    name = f"@portico-test-{os.getpid()}" if abstract else str(short / "n")
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if abstract else name)
        manager.settimeout(5)
        notify.notify("READY=1", "STATUS=x")
        assert manager.recv(100) == b"READY=1\nSTATUS=x"


@pytest.mark.parametrize("name", ["", "relative", "/nowhere/at/all"])
def test_nobody_to_tell_is_no_error(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    notify.notify("READY=1")


# --- what workers are handed ---------------------------------------------------------------------------


def test_orders_are_the_same_on_the_other_side(tmp_path: Path) -> None:
    tables: Json = {"gateway": {"call_timeout": math.inf, "depth_limit": 2**40, "x": [1.5, "ü", True]}}
    overrides: tuple[tuple[tuple[str, ...], Any], ...] = (
        (("gateway", "workers"), parse_value("3", "--workers")),
        (("gateway", "listen"), ["127.0.0.1:0"]),
    )
    orders = Orders((Document(tables, "a.toml", tmp_path),), overrides, "no:x")
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.create_server(("127.0.0.1", 0)) as listening:
        ours.sendall(link.packed({"orders": orders.pack()}))
        link.send_sockets(ours, [listening])
        message, none = link.receive_now(theirs)
        assert none == []
        got = Orders.unpack(message["orders"])
        assert got == orders
        number = got.overrides[0][1]
        assert isinstance(number, Text)
        assert number.origin == "--workers"
        message, (same,) = link.receive_now(theirs)
        with same:
            assert same.getsockname() == listening.getsockname()
        ours.close()
        with pytest.raises(EOFError):
            link.receive_now(theirs)
