"""`python -m bench peers`: other MCP proxies and gateways through the same bench, Portico beside each."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence

from bench.conclusion import conclude
from bench.machine import busy_seconds, choose_cores, cpu_seconds
from bench.measure import Plan
from bench.native import CannotBuild, build
from bench.peers import contextforge, fastmcp, litellm, mcp_proxy
from bench.peers.compare import compare
from bench.peers.install import CannotInstall, programs
from bench.peers.peer import Peer
from bench.peers.portico import portico
from bench.peers.report import PeersReport
from bench.processes import default_command

PEERS: tuple[Peer, ...] = (*fastmcp.PEERS, *mcp_proxy.PEERS, *litellm.PEERS, *contextforge.PEERS)


def _names(text: str) -> list[str]:
    known = [peer.name for peer in PEERS]
    names = text.split(",")
    if unknown := sorted(set(names) - set(known)):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; choose from {', '.join(known)}")
    return names


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench peers", description=__doc__)
    names = ", ".join(peer.name for peer in PEERS)
    parser.add_argument("--only", type=_names, metavar="NAMES", help=f"these, comma-separated: {names}")
    parser.add_argument("--rounds", type=int, default=3, help="rounds per peer (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=4.0, help="measured seconds of a round (%(default)s)"
    )
    parser.add_argument("--connections", type=int, default=16, help="keep-alive connections (%(default)s)")
    parser.add_argument("--install", action="store_true", help="make the environments and stop")
    parser.add_argument("--json", action="store_true", help="print JSON, every round in it")
    parser.add_argument(
        "--command",
        default=default_command(),
        help="what to run as Portico; {config}, {port} and {upstream} are filled in (%(default)s)",
    )
    options = parser.parse_args(arguments)
    if min(options.rounds, options.connections, options.seconds * 100) < 1:
        parser.error("--rounds and --connections count from 1, --seconds from 0.01")
    return options


def install(peers: Sequence[Peer]) -> int:
    """Make the environments; 0 when all of them are there, 1 otherwise."""
    failed = 0
    for peer in peers:
        try:
            print(f"{peer.title} {peer.version}: {programs(peer)}")
        except CannotInstall as error:
            failed += 1
            print(f"{peer.title} {peer.version}: not installed: {error}")
    return 1 if failed else 0


def run(options: argparse.Namespace, peers: Sequence[Peer]) -> PeersReport:
    """Measure these peers, one after the other.

    Raises:
        CannotBuild: The C tools cannot be had.
    """
    # A second of warm-up at least: the slowest peers answer a sixteenfold burst in about as much.
    plan = Plan(
        build(), choose_cores(), options.command, options.rounds, options.seconds, min(1.0, options.seconds)
    )
    load_average, used = os.getloadavg()[0], plan.cores.used
    began, busy, own = time.perf_counter(), busy_seconds(used), cpu_seconds(os.getpid())
    found = [compare(peer, portico(options.command), plan, options.connections) for peer in peers]
    others = busy_seconds(used) - busy - (cpu_seconds(os.getpid()) - own)
    return PeersReport(
        comparisons=found,
        cores=plan.cores,
        connections=options.connections,
        rounds=options.rounds,
        seconds=options.seconds,
        load_average=load_average,
        others=max(0.0, others / ((time.perf_counter() - began) * len(used))),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the peers.

    Args:
        arguments: The command line after `peers`; None for the process's own.

    Returns:
        0, also when a peer could not be measured; 1 when an answer of Portico or the stub was wrong or
        missing; 2 when the bench could not run.
    """
    options = _options(arguments)
    # So that what was started is ended then, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    peers = [peer for peer in PEERS if options.only is None or peer.name in options.only]
    try:
        if options.install:
            return install(peers)
        report = run(options, peers)
    except CannotBuild as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return conclude(report, as_json=options.json)
