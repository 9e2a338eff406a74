"""The peers' table: for people, and for machines."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import attrs

from bench.load import Round, median
from bench.machine import Cores
from bench.peers.compare import ERAS, Comparison, Side, of_era
from bench.report import FIGURES, machine
from bench.table import number, table

HEAD = ("system", "version", "era", "calls/s", "p50 ms", "p99 ms", "CPU us/call", "x Portico")
MORE = ("RSS MB", "loaded MB", "cold s", "errors")


@attrs.frozen
class PeersReport:
    """Everything a run over the peers found.

    Attributes:
        comparisons: One per peer.
        cores: Where the parts ran.
        connections: Keep-alive connections, each with one call in flight.
        rounds: Rounds per peer.
        seconds: Measured seconds of a round.
        load_average: The machine's, over the minute before the run.
        others: Share (0 to 1) of the cores used that went to other processes during the run.
    """

    comparisons: Sequence[Comparison]
    cores: Cores
    connections: int
    rounds: int
    seconds: float
    load_average: float
    others: float

    @property
    def errors(self) -> int:
        """Wrong or missing answers of Portico and of the stub; a peer's own are its row's."""
        rounds = [one for each in self.comparisons for era in ERAS for one in each.direct.get(era, ())]
        rounds += [
            one for each in self.comparisons for era in ERAS for one in each.portico.rounds.get(era, ())
        ]
        return sum(one.errors for one in rounds)

    def as_json(self) -> dict[str, Any]:
        """The report with every round's figures and their medians."""
        return {
            "machine": machine(),
            "cores": str(self.cores),
            "connections": self.connections,
            "rounds": self.rounds,
            "seconds": self.seconds,
            "load_average": round(self.load_average, 2),
            "others": round(self.others, 3),
            "peers": [
                {
                    **_side(each.peer),
                    "beside": {
                        "direct": {era: _rounds(rounds) for era, rounds in each.direct.items()},
                        "portico": _side(each.portico),
                    },
                }
                for each in self.comparisons
            ],
        }

    def as_text(self) -> str:
        """The report as a page of text."""
        how = f"medians of {self.rounds} rounds of {self.seconds:g} s, each with fresh processes"
        lines = [
            f"{machine()}; {self.cores}",
            f"tools/call over {self.connections} connections; {how}: direct, Portico and the peer in turn",
            f"load average before {self.load_average:.2f}; others had {self.others:.0%} of the cores",
            "",
            *table(self._rows(), left=3),
            "",
        ]
        sides = [each.peer for each in self.comparisons]
        silent = {era: [side.peer.title for side in sides if era in side.unspoken] for era in ERAS}
        lines += [f"does not speak {era}: {'; '.join(titles)}" for era, titles in silent.items() if titles]
        lines += [f"{side.peer.title}: {side.peer.note}" for side in sides]
        portico = next((each.portico for each in self.comparisons if each.portico.problem), None)
        lines += [
            f"{side.peer.title} NOT MEASURED{' TO THE END' if side.colds else ''}: {side.problem}"
            for side in (portico, *sides)
            if side and side.problem
        ]
        return "\n".join(lines)

    def _rows(self) -> list[list[str]]:
        rows = [[*HEAD, *MORE]]
        portico = _together([each.portico for each in self.comparisons])
        for era in ERAS:
            if direct := of_era([each.direct for each in self.comparisons], era):
                row = _row(("direct", "", era), direct, None, None)
                rows.append([*row, str(sum(one.errors for one in direct))])
        if portico:
            rows += _side_rows(portico, None)
        for each in self.comparisons:
            rows += _side_rows(each.peer, each.portico)
        return rows


def _together(sides: Sequence[Side]) -> Side | None:
    if not sides:
        return None
    rounds = {era: found for era in ERAS if (found := of_era([side.rounds for side in sides], era))}
    return Side(
        peer=sides[0].peer,
        rounds=rounds,
        colds=[one for side in sides for one in side.colds],
        idle=[one for side in sides for one in side.idle],
        loaded=[one for side in sides for one in side.loaded],
    )


def _side_rows(side: Side, portico: Side | None) -> list[list[str]]:
    rows = []
    for era, rounds in side.rounds.items():
        if rounds:
            beside = portico.rounds.get(era, []) if portico else None
            row = _row((side.peer.title, side.peer.version, era), rounds, beside, side)
            rows.append([*row, str(sum(one.errors for one in rounds))])
    if not rows:
        blank = [""] * (len(HEAD) + len(MORE) - 3)
        rows.append([side.peer.title, side.peer.version, "not measured", *blank])
    return rows


def _row(
    names: Sequence[str], rounds: Sequence[Round], beside: Sequence[Round] | None, side: Side | None
) -> list[str]:
    cpu, theirs = median(rounds, "cpu_us"), median(beside or (), "cpu_us")
    rate = median(rounds, "calls_per_second")
    return [
        *names,
        number(rate, 0 if rate and rate >= 100 else 1),
        number(median(rounds, "p50_ms"), 2),
        number(median(rounds, "p99_ms"), 2),
        number(cpu, 0 if cpu and cpu >= 1000 else 1),
        number(cpu / theirs if cpu and theirs else None, 1),
        number(_middle(side.idle, 1e6) if side else None, 0),
        number(_middle(side.loaded, 1e6) if side else None, 0),
        number(_middle(side.colds, 1) if side else None, 2),
    ]


def _middle(values: Sequence[float], unit: float) -> float | None:
    return statistics.median(values) / unit if values else None


def _rounds(rounds: Sequence[Round]) -> dict[str, Any]:
    medians = {figure: median(rounds, figure) for figure in FIGURES}
    return {"median": medians, "rounds": [attrs.asdict(one) for one in rounds]}


def _side(side: Side) -> dict[str, Any]:
    return {
        "name": side.peer.name,
        "title": side.peer.title,
        "version": side.peer.version,
        "note": side.peer.note,
        "problem": side.problem,
        "tool": side.tool,
        "does_not_speak": side.unspoken,
        "eras": {era: _rounds(rounds) for era, rounds in side.rounds.items() if rounds},
        "idle_bytes": side.idle,
        "loaded_bytes": side.loaded,
        "cold_start_seconds": side.colds,
    }
