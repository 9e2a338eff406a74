"""`python -m bench profile`: where the CPU time of a call goes, function by function.

py-spy (https://github.com/benfred/py-spy) samples the gateway under load from outside, C frames included;
what C code costs is charged to the Python function that called it, and to the event loop where none did.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from bench.load import Shape, load
from bench.machine import choose_cores
from bench.measure import Plan, progress, served
from bench.native import CannotBuild, build
from bench.processes import CannotRun, default_command
from bench.table import table

_PYTHON = re.compile(r"(?P<function>.+?) \((?P<file>[^()]*?\.pyx?|<attrs generated methods [^>]*>):\d+\)$")
_LOOP = "the event loop, and what none of ours called"
_STARTED = re.compile(r"asyncio/|uvloop/|click/|portico/cli/|<module>")


@attrs.frozen
class Step:
    """One function's own share.

    Attributes:
        name: The function, and the file it is in.
        us: CPU microseconds a call, C code it calls included.
    """

    name: str
    us: float


def owner(stack: Sequence[str]) -> str:
    """The innermost Python function of a stack that is not the loop's or the command's.

    Args:
        stack: Its frames, the outermost first.
    """
    for frame in reversed(stack):
        match = _PYTHON.match(frame)
        if match is not None and not _STARTED.search(frame):
            file = match["file"].removeprefix("<attrs generated methods ").rstrip(">")
            return f"{match['function']} ({file})"
    return _LOOP


def shares(lines: Iterable[str], cpu_us: float) -> list[Step]:
    """The steps of py-spy's raw output, the dearest first.

    Args:
        lines: `frame;frame;... count`.
        cpu_us: What a call costs in all.
    """
    counts: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        counts[owner(stack.split(";"))] += int(count)
    total = sum(counts.values())
    return [Step(name, cpu_us * count / total) for name, count in counts.most_common()]


def sample(plan: Plan, shape: Shape) -> tuple[float, list[Step]]:
    """Load the gateway and watch it: microseconds a call, and its steps.

    Raises:
        CannotRun: py-spy is missing or may not watch, or a part did not start.
    """
    beside = Path(sys.executable).with_name("py-spy")
    spy = str(beside) if beside.exists() else shutil.which("py-spy")
    if spy is None:
        raise CannotRun("py-spy is not installed: pip install py-spy")
    with served(plan) as (_, running), tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw"
        quiet = load(plan.tools, running.port, shape, plan.seconds, plan.warmup, plan.cores.load, running.pid)
        command = [spy, "record", "--pid", str(running.pid), "--native", "--rate", "400", "--format", "raw"]
        command += ["--duration", str(max(1, round(plan.seconds))), "--output", str(raw)]
        watching = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        load(plan.tools, running.port, shape, plan.seconds + 1, plan.warmup, plan.cores.load, running.pid)
        said = watching.communicate()[0]
        if not raw.exists() or quiet.cpu_us is None:
            raise CannotRun(f"py-spy gave no samples: {said.strip()[-300:]}")
        return quiet.cpu_us, shares(raw.read_text().splitlines(), quiet.cpu_us)


def main(arguments: Sequence[str]) -> int:
    """Print the profile: 0, or 2 when it could not be made."""
    parser = argparse.ArgumentParser("python -m bench profile", description=__doc__)
    parser.add_argument(
        "--era", choices=("legacy", "modern"), action="append", help="one era; repeatable (both)"
    )
    parser.add_argument("--method", default="tools/call", help="tools/call or tools/list (%(default)s)")
    parser.add_argument("--connections", type=int, default=16, help="connections (%(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to watch (%(default)s)")
    parser.add_argument("--over", type=float, default=1.0, help="steps from so many us on (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON, every step in it")
    parser.add_argument("--command", default=default_command(), help="what to run as the gateway")
    options = parser.parse_args(arguments)
    found: dict[str, tuple[float, list[Step]]] = {}
    try:
        plan = Plan(build(), choose_cores(), options.command, 1, options.seconds, 0.5)
        for era in options.era or ("legacy", "modern"):
            progress(f"profile: {era}, {options.seconds:.0f} s twice")
            found[era] = sample(plan, Shape(era, options.method, options.connections))
    except (CannotBuild, CannotRun) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    if options.json:
        said = {
            era: {"cpu_us": us, "steps": [attrs.asdict(s) for s in steps]}
            for era, (us, steps) in found.items()
        }
        print(json.dumps(said, indent=2))
        return 0
    for era, (us, steps) in found.items():
        dear = [step for step in steps if step.us >= options.over]
        rest = [step for step in steps if step.us < options.over]
        rows = [["step", "us a call"], *([step.name, f"{step.us:.1f}"] for step in dear)]
        rows.append([f"{len(rest)} others, each below {options.over:g}", f"{sum(s.us for s in rest):.1f}"])
        rows.append(["all", f"{us:.1f}"])
        print(f"{era} {options.method}, {options.connections} connections", *table(rows, 1), "", sep="\n")
    return 0
