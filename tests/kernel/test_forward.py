"""From one worker to another: the way there and back, with an application that does what a test says."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from portico._core.requests.owners import FORWARDED, Owners
from portico._core.seal import Seal
from portico._host.forwarding.forward import Forwarder, socket_path
from portico._host.forwarding.frames import DATA, Framed
from portico._host.forwarding.peers import Peers
from portico.api import Event, Json
from portico.testing import RecordingLog
from tests.kernel.doubles import ALICE, BOB, KEY, LoopClock

PATIENCE = 20.0
Headers = Sequence[tuple[bytes, bytes]]


class Back:
    """A client's end of an answer."""

    def __init__(self) -> None:
        self.on_gone: Callable[[], object] | None = None
        self.status = 0
        self.headers: Headers = ()
        self.data = b""
        self.lost: bool | None = None
        self.over = asyncio.Event()
        self.free = asyncio.Event()
        self.free.set()
        self.news = asyncio.Event()

    def send(self, status: int, headers: Headers, *body: bytes) -> None:
        self.start(status, headers)
        self.data = b"".join(body)
        self.end()

    def start(self, status: int, headers: Headers) -> None:
        assert not self.status
        self.status, self.headers = status, headers
        self.news.set()

    def write(self, data: bytes) -> None:
        assert not self.over.is_set()
        self.data += data
        self.news.set()

    def end(self) -> None:
        assert not self.over.is_set()
        self.over.set()

    def cut(self) -> None:
        self.over.set()

    @property
    def full(self) -> bool:
        return not self.free.is_set()

    async def room(self) -> None:
        await self.free.wait()

    def is_lost(self, begun: bool) -> None:
        self.lost = begun
        self.over.set()

    async def ended(self) -> Back:
        async with asyncio.timeout(PATIENCE):
            await self.over.wait()
        return self


class App:
    """What a worker answers with: `act` is called with scope, body and reply."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []
        self.act: Callable[[Any, bytes, Any], object] = self.echo
        self.replies: list[Any] = []
        self.begun = asyncio.Event()
        self.left = asyncio.Event()

    def __call__(self, scope: Any, body: bytes, reply: Any) -> None:
        self.scopes.append(scope)
        self.replies.append(reply)
        reply.on_gone = self.left.set
        self.act(scope, body, reply)
        self.begun.set()

    def echo(self, scope: Any, body: bytes, reply: Any) -> None:
        reply.send(200, [(b"x-one", b"1")], body)

    def nothing(self, scope: Any, body: bytes, reply: Any) -> None:
        """Leave it to the test."""


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


class Way:
    """A worker `aa`, and the way to it."""

    def __init__(self, folder: Path) -> None:
        self.log = RecordingLog()
        self.app = App()
        self.peers = Peers(folder, "aa", {"/mcp": self.app}, self.log)
        self.forwarder = Forwarder(folder, self.log)

    def ask(self, body: bytes = b"", node: str = "aa", path: str = "/mcp", **more: Any) -> Back:
        back = Back()
        self.forwarder(node, request(path, **more), body, back, back.is_lost)
        return back

    async def begun(self) -> Any:
        async with asyncio.timeout(PATIENCE):
            await self.app.begun.wait()
        return self.app.replies[-1]


def request(path: str = "/mcp", **more: Any) -> Json:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"a=b",
        "headers": [(b"host", b"localhost"), (b"x-many", b"1"), (b"x-many", b"\xff")],
        "client": ("192.0.2.7", 1234),
        **more,
    }


@pytest.fixture
async def way(folder: Path) -> AsyncIterator[Way]:
    made = Way(folder)
    await made.peers.open()
    yield made
    made.forwarder.close()
    made.peers.abort()


async def test_the_request_comes_as_it_was_and_marked(way: Way) -> None:
    back = await way.ask(b"\x00body").ended()
    assert (back.status, back.headers, back.data) == (200, [(b"x-one", b"1")], b"\x00body")
    (scope,) = way.app.scopes
    assert {key: scope[key] for key in request()} == request()
    assert scope[FORWARDED] is True
    assert way.forwarder.count == 1


async def test_a_unix_client_has_no_address(way: Way) -> None:
    await way.ask(client=None).ended()
    assert way.app.scopes[0]["client"] is None


async def test_large_bodies_pass_both_ways(way: Way) -> None:
    body = bytes(range(256)) * 20_000
    assert (await way.ask(body).ended()).data == body


async def test_a_connection_is_used_again_and_not_by_two_at_once(way: Way) -> None:
    for _ in range(3):
        backs = [way.ask(b"%d" % n) for n in range(30)]
        assert [(await back.ended()).data for back in backs] == [b"%d" % n for n in range(30)]
    assert len(way.forwarder._idle["aa"]) == 16


async def test_an_answer_is_streamed(way: Way) -> None:
    way.app.act = way.app.nothing
    back = way.ask()
    reply = await way.begun()
    reply.start(202, [(b"a", b"b")])
    for piece in (b"one", b"two"):
        back.news.clear()
        reply.write(piece)
        async with asyncio.timeout(PATIENCE):
            while not back.data.endswith(piece):
                await back.news.wait()
                back.news.clear()
    reply.end()
    await back.ended()
    assert (back.status, back.data, back.lost) == (202, b"onetwo", None)
    reply.write(b"late")
    way.app.act = way.app.echo
    assert (await way.ask(b"next").ended()).data == b"next"


async def test_a_client_that_leaves_is_told_to_who_answers(way: Way) -> None:
    way.app.act = way.app.nothing
    back = way.ask()
    reply = await way.begun()
    reply.start(200, [])
    assert back.on_gone is not None
    back.on_gone()
    async with asyncio.timeout(PATIENCE):
        await way.app.left.wait()
    reply.write(b"nobody reads it")
    assert back.lost is None


async def test_a_client_that_leaves_before_there_is_a_connection_is_not_asked_for(way: Way) -> None:
    back = way.ask()
    assert back.on_gone is not None
    back.on_gone()
    assert (await way.ask(b"2").ended()).data == b"2"
    assert len(way.app.scopes) == 1
    assert back.lost is None


async def test_a_slow_client_holds_the_answer_back(way: Way) -> None:
    way.app.act = way.app.nothing
    back = way.ask()
    reply = await way.begun()
    reply.start(200, [])
    back.free.clear()
    written = 0
    while not reply.full:
        reply.write(b"x" * 65536)
        written += 65536
        await asyncio.sleep(0)
        assert written < 64 * 1024 * 1024
    waiting = asyncio.create_task(reply.room())
    back.free.set()
    async with asyncio.timeout(PATIENCE):
        await waiting
    reply.end()
    assert len((await back.ended()).data) == written


async def test_a_worker_that_is_not_there_is_lost_at_once(way: Way) -> None:
    assert (await way.ask(node="cc").ended()).lost is False
    assert "forward.owner_gone" in way.log.events


async def test_a_worker_that_was_killed_leaves_a_socket_nobody_answers(way: Way, folder: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(socket_path(folder, "dd")))
    assert (await way.ask(node="dd").ended()).lost is False


@pytest.mark.parametrize("begun", [False, True])
async def test_a_worker_that_dies_on_the_way_is_lost(way: Way, begun: bool) -> None:
    way.app.act = way.app.nothing
    back = way.ask()
    reply = await way.begun()
    if begun:
        reply.start(200, [])
        async with asyncio.timeout(PATIENCE):
            await back.news.wait()
    way.peers.abort()
    assert (await back.ended()).lost is begun


async def test_a_closed_worker_ends_its_answers_and_takes_no_more(way: Way, folder: Path) -> None:
    await way.ask().ended()  # a connection that is idle then
    way.app.act = way.app.nothing
    way.app.begun.clear()
    back = way.ask()
    reply = await way.begun()
    way.peers.close()
    assert not socket_path(folder, "aa").exists()
    assert (await way.ask().ended()).lost is False
    reply.send(200, [], b"done")
    assert (await back.ended()).data == b"done"


async def test_a_fault_ends_the_connection_and_is_logged(way: Way) -> None:
    def act(scope: Any, body: bytes, reply: Any) -> None:
        raise RuntimeError("boom")

    way.app.act = act
    assert (await way.ask().ended()).lost is False
    assert "http.fault" in way.log.events


async def test_a_path_nobody_answers_is_not_found(way: Way) -> None:
    assert (await way.ask(path="/nowhere").ended()).status == 404


def test_frames_are_the_same_however_they_are_cut() -> None:
    class Taken(Framed):
        def __init__(self) -> None:
            super().__init__()
            self.frames: list[tuple[int, bytes]] = []

        def frame(self, kind: int, payload: bytes) -> None:
            self.frames.append((kind, payload))

    wanted = [(DATA, b""), (DATA, b"x" * 300), (0, b"\x00\x01")]
    stream = b"".join(bytes([kind]) + len(payload).to_bytes(4, "big") + payload for kind, payload in wanted)
    for size in (1, 2, 3, 5, 7, 64, len(stream)):
        taken = Taken()
        for at in range(0, len(stream), size):
            taken.data_received(stream[at : at + size])
        assert taken.frames == wanted


# --- whose handle it is --------------------------------------------------------------------------------


class Sent:
    """A `Forward` that only notes where it was to send to."""

    def __init__(self) -> None:
        self.nodes: list[str] = []

    def __call__(self, node: str, scope: Any, body: bytes, reply: Any, lost: Any) -> None:
        self.nodes.append(node)


async def test_the_other_workers_can_be_asked_whatever_the_request_names() -> None:
    clock = LoopClock()
    sent, back = Sent(), Back()
    nodes = ["aa", "bb", "cc"]
    owners = Owners("default", Seal(KEY, "aa", clock), sent, None, RecordingLog(), lambda: nodes)
    assert owners.others() == ["bb", "cc"]
    owners.ask("cc", request(), b"", back, back.is_lost)
    assert sent.nodes == ["cc"]


async def test_workers_are_those_with_a_socket_in_the_folder(tmp_path: Path) -> None:
    for name in ("aa.sock", "bb.sock", "control.sock", "supervisor.pid"):
        (tmp_path / name).touch()
    assert sorted(Forwarder(tmp_path, RecordingLog()).nodes()) == ["aa", "bb"]


async def test_only_another_workers_handle_of_the_same_principal_is_sent_on() -> None:
    clock = LoopClock()
    mine, theirs, strange = Seal(KEY, "aa", clock), Seal(KEY, "bb", clock), Seal(bytes(32), "bb", clock)
    sent, events, back = Sent(), list[Event](), Back()
    owners = Owners("default", mine, sent, events.append, RecordingLog())

    def elsewhere(handle: Any, principal: Any = ALICE, kind: Any = "session", **more: Any) -> bool:
        return owners.elsewhere(kind, handle, principal, request(**more), b"", back, back.is_lost)

    handle = theirs.close("session", ALICE, "x", 60)
    assert elsewhere(handle)
    assert sent.nodes == ["bb"]
    assert [(event.name, event.facts["node"]) for event in events] == [("session.forwarded", "bb")]
    assert not elsewhere(handle, BOB)
    assert not elsewhere(handle, kind="parked")
    assert not elsewhere(handle, **{FORWARDED: True})
    assert not elsewhere(mine.close("session", ALICE, "x", 60))
    assert not elsewhere(strange.close("session", ALICE, "x", 60))
    assert not elsewhere(theirs.close("session", ALICE, "x", -1))
    for nonsense in (None, 7, "", "x", ["x"]):
        assert not elsewhere(nonsense)
    assert sent.nodes == ["bb"]
