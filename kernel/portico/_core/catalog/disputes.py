"""Names that several upstreams have, or that look as if they had: told once, holding nothing up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from portico._core.catalog.shadows import conflicts, searched
from portico._core.catalog.view import ServerSpec, View
from portico._core.contracts.definitions import Conflict
from portico._core.contracts.log import Log
from portico._core.steps import Steps, finished, slice_of

REPORT_SECONDS: Final = 1.0
AT_ONCE: Final = 20
"""More are only counted."""


class Disputes:
    """Finds and reports them.

    Args:
        views: Gives the virtual servers and what they show.
        log: The kernel's.
    """

    def __init__(self, views: Callable[[], Iterable[tuple[ServerSpec, View]]], log: Log) -> None:
        self._views = views
        self._log = log
        self._reported: set[Conflict] = set()
        self._judged: dict[str, tuple[object, ...]] = {}
        self._due: asyncio.TimerHandle | None = None

    def all(self) -> list[Conflict]:
        """Names of upstreams that others have, too, or that look like them, in the servers that show both."""
        return [each for spec, view in self._views() for each in conflicts(spec.name, view, spec.separator)]

    def report(self) -> None:
        """Log those that are new; of many, the first."""
        finished(self._report())

    def report_soon(self) -> None:
        """Report what the next moments bring, all at once."""
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(REPORT_SECONDS, self._begin)

    def _begin(self) -> None:
        self._due = None
        self._go_on(self._report())

    def _go_on(self, report: Steps[None]) -> None:
        if slice_of(report):
            asyncio.get_running_loop().call_soon(self._go_on, report)

    def _report(self) -> Steps[None]:
        new: list[Conflict] = []
        for spec, view in self._views():
            shown = (view.tools, view.prompts, view.resources, view.conflicts, view.upstreams)
            if self._judged.get(spec.name) == shown:
                continue
            yield
            for each in searched(spec.name, view, spec.separator):
                if each is not None and each not in self._reported:
                    self._reported.add(each)
                    new.append(each)
                yield
            self._judged[spec.name] = shown
        for each in new[:AT_ONCE]:
            self._log.warning(
                "catalog.conflict",
                server=each.server,
                kind=each.kind,
                name=each.name,
                upstream=each.upstream,
                other=each.other,
                why=each.why,
            )
        if len(new) > AT_ONCE:
            self._log.warning("catalog.conflicts", more=len(new) - AT_ONCE)
