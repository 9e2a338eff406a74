"""`python -m bench`: what a call costs direct, and what it costs through the gateway.

`python -m bench peers` has other gateways beside it; `python -m bench profile` tells where the time goes;
`python -m bench workers` has two workers beside one; `python -m bench registry` has 1,000 upstreams in a
registry; `python -m bench upstreams` tells what each kind of upstream costs; `python -m bench survival` is
about what becomes of clients when upstreams and workers die.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from bench.conclusion import carry_out
from bench.duties import duties
from bench.listing import lists_less_the_write
from bench.machine import busy_seconds, choose_cores, cpu_seconds
from bench.measure import Plan, cold_start, memory, shapes, throughput
from bench.native import build
from bench.peers.driver import main as peers
from bench.processes import default_command
from bench.profile import main as profile
from bench.registry.driver import main as registry
from bench.report import Report
from bench.scale import catalogs, endurance, framed_calls, long_lists, streams
from bench.telling import told
from bench.workers import main as workers

ERAS = ("legacy", "modern")
METHODS = {"call": "tools/call", "list": "tools/list"}
PARTS = ("catalog", "duties", "frames", "memory", "streams", "told", "cold")
ONLY = (*ERAS, *METHODS, *PARTS, "direct")


def _numbers(text: str) -> list[int]:
    numbers = [int(word) for word in text.split(",")]
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError("connections are counted from 1")
    return numbers


def _words(text: str) -> set[str]:
    words = set(text.split(","))
    if unknown := sorted(words - set(ONLY)):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; choose from {', '.join(ONLY)}")
    return words


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, help="rounds per row and side (3)")
    parser.add_argument("--seconds", type=float, help="measured seconds of a round (3)")
    parser.add_argument("--connections", type=_numbers, help="connections, comma-separated (1,16,64)")
    parser.add_argument("--sessions", type=int, help="idle sessions for the memory figure (10000)")
    parser.add_argument("--streams", type=int, help="open event streams for theirs (1000)")
    parser.add_argument(
        "--million",
        type=int,
        nargs="?",
        const=1_000_000,
        default=0,
        metavar="N",
        help="also compare memory before and after that many calls (1000000)",
    )
    parser.add_argument(
        "--only",
        type=_words,
        default=set(),
        metavar="WORDS",
        help=f"run only these, comma-separated: {', '.join(ONLY)}; direct leaves the gateway out",
    )
    parser.add_argument("--quick", action="store_true", help="a look: 1 round of 0.5 s, less of everything")
    parser.add_argument("--json", action="store_true", help="print JSON, every round in it")
    parser.add_argument(
        "--command",
        default=default_command(),
        help="what to run as the gateway; {config}, {port} and {upstream} are filled in (%(default)s)",
    )
    options = parser.parse_args(arguments)
    quick = options.quick
    defaults = {
        "rounds": 1 if quick else 3,
        "seconds": 0.5 if quick else 3.0,
        "connections": [16] if quick else [1, 16, 64],
        "sessions": 1000 if quick else 10_000,
        "streams": 100 if quick else 1000,
    }
    for name, value in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if min(options.rounds, options.sessions, options.streams, options.seconds * 100) < 1:
        parser.error("--rounds, --sessions and --streams count from 1, --seconds from 0.01")
    return options


def run(options: argparse.Namespace) -> Report:
    """Do what the options ask for.

    Raises:
        CannotBuild: The C tools cannot be had.
        CannotRun: The stub or the gateway did not start, or ended early.
    """
    only: set[str] = options.only
    through = "direct" not in only
    eras = [era for era in ERAS if era in only] or list(ERAS)
    methods = [METHODS[word] for word in METHODS if word in only] or list(METHODS.values())
    # "memory" alone asks for no load; "modern,memory" asks for both.
    loads = not (only & set(PARTS)) or bool(only - set(PARTS))
    wanted = {part for part in PARTS if part in only or not only}
    warmup = min(0.5, options.seconds / 2)
    plan = Plan(build(), choose_cores(), options.command, options.rounds, options.seconds, warmup)
    load_average = os.getloadavg()[0]
    used = plan.cores.used
    began, busy, own = time.perf_counter(), busy_seconds(used), cpu_seconds(os.getpid())
    cells = throughput(plan, shapes(eras, methods, options.connections), through) if loads else []
    lists = long_lists(plan, eras, through) if "catalog" in wanted else []
    listed = lists_less_the_write(plan, eras) if "catalog" in wanted and through else []
    pairs = catalogs(plan, eras) if "catalog" in wanted and through else []
    framed = framed_calls(plan, eras, through) if "frames" in wanted else []
    busied = duties(plan, eras) if "duties" in wanted and through else []
    passed = (time.perf_counter() - began) * len(used)
    others = busy_seconds(used) - busy - (cpu_seconds(os.getpid()) - own)
    return Report(
        cells=cells,
        memory=memory(plan, options.sessions) if "memory" in wanted and through else None,
        cold_starts=cold_start(plan) if "cold" in wanted and through else [],
        cores=plan.cores,
        rounds=options.rounds,
        seconds=options.seconds,
        load_average=load_average,
        others=max(0.0, others / passed) if cells or lists or framed or busied else 0.0,
        lists=lists,
        listed=listed,
        pairs=pairs,
        framed=framed,
        duties=busied,
        streams=[streams(plan, era, options.streams) for era in eras]
        if "streams" in wanted and through
        else [],
        told=[told(plan, era, options.streams) for era in eras] if "told" in wanted and through else [],
        endurance=endurance(plan, eras, options.million) if options.million and through else None,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench.

    Args:
        arguments: The command line without the program's name; None for the process's own. With `peers`,
            `profile`, `workers`, `registry`,
            `upstreams` or `survival` first, the rest is for the driver of that.

    Returns:
        0; 1 when an answer was wrong or missing; 2 when the bench could not run.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["peers"]:
        return peers(words[1:])
    if words[:1] == ["profile"]:
        return profile(words[1:])
    if words[:1] == ["workers"]:
        return workers(words[1:])
    if words[:1] == ["registry"]:
        return registry(words[1:])
    if words[:1] == ["upstreams"]:
        from bench.upstreams.driver import main as upstreams

        return upstreams(words[1:])
    if words[:1] == ["survival"]:
        from bench.survival.driver import main as survival  # needs what tests need

        return survival(words[1:])
    options = _options(words)
    return carry_out(lambda: run(options), as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
