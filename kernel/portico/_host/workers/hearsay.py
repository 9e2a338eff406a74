"""What workers tell each other of the upstreams, by way of the supervisor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from portico._core.contracts.json import Json
from portico._host.workers.base import Worker


class Hearsay:
    """Passes on what workers find, and tells each who the others are.

    Args:
        workers: All there are.
    """

    def __init__(self, workers: Callable[[], Sequence[Worker]]) -> None:
        self._workers = workers
        self._findings: dict[str, Json] = {}

    def gather(self) -> None:
        """Workers have come or gone: each is told who is there, to know what is its own to look after."""
        there = [(each, each.place.slot.number) for each in self._workers() if each.place is not None]
        slots = [slot for worker, slot in there if worker.state == "ready"]
        heard = list(self._findings.values())
        for worker, slot in there:
            worker.heard = partial(self._heard, worker)
            if worker.state != "starting" and slots:
                worker.tell({"crew": {"slots": slots, "mine": slot, "heard": heard}})

    def _heard(self, worker: Worker, finding: Json) -> None:
        if "name" in finding:
            self._findings[finding["name"]] = finding
        for other in self._workers():
            if other is not worker and other.state != "starting":
                other.tell({"finding": finding})
