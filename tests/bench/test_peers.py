"""The bench over other gateways: what it finds out of them, and that none of them can stop it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the bench needs Linux", allow_module_level=True)

from bench.load import Endpoint
from bench.machine import Cores, rss_bytes
from bench.measure import Plan
from bench.native import CannotBuild, Tools, build, find_compiler
from bench.peers import compare as comparing
from bench.peers import driver
from bench.peers.client import WrongAnswer, first_call
from bench.peers.compare import Comparison, compare
from bench.peers.install import CannotInstall, programs
from bench.peers.peer import Launch, Peer, Site
from bench.peers.report import PeersReport
from tests.bench.servers import answering, echoed, progress, sized, streamed


@pytest.fixture(scope="module")
def tools() -> Tools:
    try:
        find_compiler()
    except CannotBuild as error:
        pytest.skip(str(error))
    return build()


@pytest.fixture
def plan(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setattr(comparing, "settled_rss", rss_bytes)
    return Plan(tools, Cores(), "", rounds=1, seconds=0.1, warmup=0.0)


def peer(name: str, launch: Callable[[Site], Launch], requirement: str = "") -> Peer:
    return Peer(name, name.capitalize(), "1.2", requirement, f"how {name} runs", launch)


@pytest.fixture
def stub(tools: Tools) -> Peer:
    return peer("stub", lambda site: Launch((str(tools.stub), "--port", str(site.port))))


def report(found: Comparison) -> str:
    return PeersReport([found], Cores(), 4, 1, 0.1, 0.0, 0.0).as_text()


def test_a_peer_is_measured_in_each_era_it_speaks_beside_portico_and_direct(plan: Plan, stub: Peer) -> None:
    found = compare(stub, stub, plan, 4)
    assert found.peer.problem == found.portico.problem == ""
    assert found.peer.tool == "echo"
    for side in (found.peer.rounds, found.portico.rounds, found.direct):
        assert list(side) == ["legacy", "modern"]
        for (one,) in side.values():
            assert one.errors == 0
            assert one.calls > 10
    assert len(found.peer.colds) == len(found.peer.idle) == len(found.peer.loaded) == 1
    text = report(found)
    assert text.count("Stub") == 5
    assert "NOT MEASURED" not in text


def test_a_peer_that_ends_at_once_is_told_with_its_last_words(plan: Plan, stub: Peer) -> None:
    words = (sys.executable, "-S", "-c", "import sys; sys.exit('no such setting')")
    found = compare(peer("broken", lambda site: Launch(words)), stub, plan, 4)
    assert "status 1" in found.peer.problem
    assert "no such setting" in found.peer.problem
    assert "Broken NOT MEASURED: " in report(found)


def test_a_peer_that_cannot_be_installed_is_told(
    plan: Plan, stub: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(wanted: Peer) -> Path:
        raise CannotInstall(f"no wheel of {wanted.requirement}")

    monkeypatch.setattr(comparing, "programs", refuse)
    found = compare(peer("absent", lambda site: Launch(()), "absent==1"), stub, plan, 4)
    assert found.peer.problem == "no wheel of absent==1"


def test_without_portico_the_peers_are_still_measured(plan: Plan, stub: Peer) -> None:
    found = compare(stub, peer("portico", lambda site: Launch(("/nowhere/gateway",))), plan, 4)
    assert found.peer.problem == ""
    assert found.peer.rounds["modern"][0].calls > 10
    assert "Portico NOT MEASURED: cannot start /nowhere/gateway" in report(found)


def test_an_environment_that_is_there_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(words: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(words, 1, "", "trying\nno network\n")

    monkeypatch.setenv("PORTICO_BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(subprocess, "run", offline)
    home = tmp_path / "peers" / "one"
    home.mkdir(parents=True)
    version = f"Python {sys.version_info[0]}.{sys.version_info[1]}"
    (home / "installed").write_text(f"one==1\n{version}\n")
    assert programs(peer("one", lambda site: Launch(()), "one==1")) == home / "bin"
    with pytest.raises(CannotInstall, match="no network"):
        programs(peer("one", lambda site: Launch(()), "one==2"))


def test_the_peers_have_names_of_their_own_and_pinned_requirements() -> None:
    names = [one.name for one in driver.PEERS]
    assert len(set(names)) == len(names)
    for one in driver.PEERS:
        assert one.requirement.endswith(f"=={one.version}")


@pytest.mark.parametrize("one", driver.PEERS, ids=lambda one: one.name)
def test_a_peers_start_names_its_port_and_nothing_of_a_shell(
    one: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.peers.contextforge._token", lambda site: "t.o.k")
    launch = one.launch(Site(Path("/venv/bin"), tmp_path, 4711, 4712, "5" * 48))
    assert launch.words[0].startswith("/venv/bin/")
    assert "4711" in launch.words
    said = json.dumps([launch.words, *(path.read_text() for path in tmp_path.iterdir())])
    # ContextForge is told of its upstream when it runs.
    assert "127.0.0.1:4712/mcp" in said or one.home == "contextforge"


def test_an_unknown_peer_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        driver.main(["--only", "mcp-proxy,nobody"])
    assert "unknown: nobody; choose from fastmcp" in capsys.readouterr().err


def respond(request: dict[str, object]) -> bytes:
    match request.get("method"):
        case "tools/list":
            result: object = {"tools": [{"name": "stub-hecho"}, {"name": "stub-echo"}, {"name": "echo_001"}]}
            return sized({"jsonrpc": "2.0", "id": request["id"], "result": result})
        case "tools/call":
            return streamed([progress(1, 1), echoed(request)])
        case _:
            return sized({"jsonrpc": "2.0", "id": request.get("id"), "error": {"code": -32601}})


def test_a_prefixed_tool_is_found_and_called_by_its_name() -> None:
    with answering(respond) as port:
        assert first_call(port, Endpoint(), "modern") == "stub-echo"


def test_a_server_without_the_era_is_quoted() -> None:
    with answering(respond) as port, pytest.raises(WrongAnswer, match=r"initialize: 200 .*-32601"):
        first_call(port, Endpoint(), "legacy")
