"""One peer against Portico and the bare stub: started anew each round, called in turn."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs

from bench.load import Endpoint, Round, Shape, load
from bench.machine import rss_bytes
from bench.measure import Plan, progress, settled_rss
from bench.peers.client import WrongAnswer, first_call
from bench.peers.install import CannotInstall, programs
from bench.peers.peer import Launch, Peer, Site
from bench.processes import CannotRun, Running, started, stub_upstream
from tests.ports import free_port

ERAS = ("legacy", "modern")
START_SECONDS = 180.0
KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "TZ", "SSL_CERT_FILE")


@attrs.define
class Side:
    """What was measured of one system.

    Attributes:
        peer: Which.
        rounds: By era.
        colds: Seconds from spawn to the first right `tools/call` answer, on the gateway's core.
        idle: RSS after that answer, in bytes, children included.
        loaded: RSS after the load, in bytes.
        unspoken: By era that it does not speak: what it said instead.
        tool: What it calls the stub's `echo`.
        problem: Why it was not measured, or not to the end; "" when it was.
    """

    peer: Peer
    rounds: dict[str, list[Round]] = attrs.field(factory=dict)
    colds: list[float] = attrs.field(factory=list)
    idle: list[int] = attrs.field(factory=list)
    loaded: list[int] = attrs.field(factory=list)
    unspoken: dict[str, str] = attrs.field(factory=dict)
    tool: str = ""
    problem: str = ""


@attrs.define
class Comparison:
    """A peer's rounds, and those of Portico and the stub between them.

    Attributes:
        peer: The peer.
        portico: Portico, in the same minutes.
        direct: The stub without anything in front, in the same minutes; by era.
    """

    peer: Side
    portico: Side
    direct: dict[str, list[Round]] = attrs.field(factory=dict)


def compare(peer: Peer, portico: Peer, plan: Plan, connections: int) -> Comparison:
    """Install a peer if need be and measure it; what goes wrong with it is part of the result.

    Args:
        peer: Which.
        portico: What is measured beside it.
        plan: Rounds, seconds, cores; its command is not used.
        connections: Keep-alive connections, each with one call in flight.
    """
    found = Comparison(Side(peer), Side(portico))
    try:
        with ExitStack() as stack:
            stub = stack.enter_context(stub_upstream(plan.tools, plan.cores.stub))
            own = stack.enter_context(_site(peer, stub.port))
            launch = _prepare(found.peer, own, plan)
            beside = stack.enter_context(_site(portico, stub.port))
            for number in range(plan.rounds):
                _round(found, stub.port, (own, launch), beside, plan, connections)
                done = [
                    f"{era} {rounds[-1].calls_per_second:,.1f}/s" for era, rounds in found.peer.rounds.items()
                ]
                progress(f"{peer.title} round {number + 1}/{plan.rounds}: {', '.join(done)}")
    except (CannotInstall, CannotRun, WrongAnswer, OSError) as error:
        found.peer.problem = str(error) or type(error).__name__
        progress(f"{peer.title}: {found.peer.problem}")
    return found


@contextmanager
def _site(peer: Peer, upstream: int) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix=f"bench-{peer.name}-", ignore_cleanup_errors=True) as folder:
        yield Site(programs(peer), Path(folder), free_port(), upstream, secrets.token_hex(24))


@contextmanager
def _running(site: Site, launch: Launch, plan: Plan) -> Iterator[Running]:
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment = {**kept, "HOME": str(site.folder), **launch.environment}
    with started(launch.words, site.port, site.folder, environment, plan.cores.gateway) as running:
        yield running


def _prepare(side: Side, site: Site, plan: Plan) -> Launch:
    """The first start, not counted: it warms the caches, registers the upstream, finds out the eras."""
    launch = side.peer.launch(site)
    with _running(site, launch, plan) as running:
        _register(side.peer, site, launch, running)
        _, side.tool = _first_answer(running, launch.endpoint)
        for era in ERAS:
            try:
                first_call(site.port, launch.endpoint, era)
                side.rounds[era] = []
            except (WrongAnswer, OSError) as error:
                side.unspoken[era] = str(error) or type(error).__name__
    return attrs.evolve(launch, endpoint=attrs.evolve(launch.endpoint, tool=side.tool))


def _register(peer: Peer, site: Site, launch: Launch, running: Running) -> None:
    while True:
        running.check()
        try:
            peer.register(site, launch)
        except OSError as error:
            if time.perf_counter() - running.started > START_SECONDS:
                raise CannotRun(f"it did not take its upstream: {error}{running.last_words()}") from None
            time.sleep(0.1)
        else:
            return


def _first_answer(running: Running, endpoint: Endpoint) -> tuple[float, str]:
    """Seconds from the start to the first right answer to a call in either era, and the tool's name."""
    last = "nothing listens"
    while time.perf_counter() - running.started < START_SECONDS:
        for era in ERAS:
            running.check()
            try:
                tool = first_call(running.port, endpoint, era)
            except WrongAnswer as error:
                last = str(error)
            except OSError as error:
                last = str(error) or type(error).__name__
                break
            else:
                return time.perf_counter() - running.started, tool
        time.sleep(0.02)
    raise CannotRun(f"no right answer in {START_SECONDS:.0f} s: {last}{running.last_words()}")


def _round(
    found: Comparison, stub: int, own: tuple[Site, Launch], beside: Site, plan: Plan, connections: int
) -> None:
    site, launch = own
    with ExitStack() as stack:
        portico: Running | None = None
        if not found.portico.problem:
            try:
                start = found.portico.peer.launch(beside)
                portico = stack.enter_context(_running(beside, start, plan))
                _started(found.portico, portico, start.endpoint)
            except CannotRun as error:
                found.portico.problem = str(error)
                portico = None
                progress(f"Portico: {error}")
        peer = stack.enter_context(_running(site, launch, plan))
        _started(found.peer, peer, launch.endpoint)
        for era in found.peer.rounds:
            shape = Shape(era, "tools/call", connections)
            found.direct.setdefault(era, []).append(_load(plan, stub, shape))
            if portico is not None:
                found.portico.rounds.setdefault(era, []).append(_load(plan, portico.port, shape, portico))
            found.peer.rounds[era].append(_load(plan, site.port, shape, peer, launch.endpoint))
            peer.check()
        found.peer.loaded.append(rss_bytes(peer.pid))
        if portico is not None:
            found.portico.loaded.append(rss_bytes(portico.pid))


def _started(side: Side, running: Running, endpoint: Endpoint) -> None:
    took, _ = _first_answer(running, endpoint)
    side.colds.append(took)
    side.idle.append(settled_rss(running.pid))


def _load(
    plan: Plan, port: int, shape: Shape, watched: Running | None = None, endpoint: Endpoint | None = None
) -> Round:
    pid = watched.pid if watched else None
    done = load(plan.tools, port, shape, plan.seconds, plan.warmup, plan.cores.load, pid, endpoint)
    if done.errors:
        progress(f"  {shape}: {done.errors} errors, the first: {done.first_error}")
    return done


def of_era(sides: Sequence[dict[str, list[Round]]], era: str) -> list[Round]:
    """All rounds of an era."""
    return [one for side in sides for one in side.get(era, ())]
