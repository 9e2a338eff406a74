"""Pages of tasks (A2A 3.1.4): those that changed last come first."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Final

import attrs
import msgspec
from a2a.types import ListTasksRequest, ListTasksResponse, Task, TaskState
from a2a.utils.errors import InvalidParamsError

from portico_plugins.transports.a2a.work import Work, shown_of

_USUAL: Final = 50
_MOST: Final = 100

_Place = tuple[int, str]


@attrs.frozen
class Page:
    """What is wanted of a list of tasks.

    Attributes:
        request: The filters.
        size: How many tasks are wanted.
        after: The place of the last task that was shown; None at the beginning.
        history: How much of the history each is shown with; None for all.
    """

    request: ListTasksRequest
    size: int
    after: _Place | None
    history: int | None

    def of(self, works: Iterable[Work]) -> ListTasksResponse:
        """The page of some tasks."""
        fitting = sorted((work.task for work in works if self._fits(work)), key=_place_of, reverse=True)
        rest = [task for task in fitting if self.after is None or _place_of(task) < self.after]
        shown = [self._shown(task) for task in rest[: self.size]]
        return self._response(shown, more=len(rest) > len(shown), total=len(fitting))

    def joined(self, pages: Iterable[ListTasksResponse]) -> ListTasksResponse:
        """One page of the same page of several workers."""
        tasks: list[Task] = []
        more, total = False, 0
        for page in pages:
            tasks.extend(page.tasks)
            more = more or bool(page.next_page_token)
            total += page.total_size
        tasks.sort(key=_place_of, reverse=True)
        return self._response(tasks[: self.size], more=more or len(tasks) > self.size, total=total)

    def _response(self, shown: list[Task], *, more: bool, total: int) -> ListTasksResponse:
        token = _token_of(shown[-1]) if more and shown else ""
        return ListTasksResponse(tasks=shown, next_page_token=token, page_size=self.size, total_size=total)

    def _fits(self, work: Work) -> bool:
        request = self.request
        if request.context_id and work.task.context_id != request.context_id:
            return False
        if request.status != TaskState.TASK_STATE_UNSPECIFIED and work.state != request.status:
            return False
        if not request.HasField("status_timestamp_after"):
            return True
        changed: int = work.task.status.timestamp.ToNanoseconds()
        after: int = request.status_timestamp_after.ToNanoseconds()
        return changed >= after

    def _shown(self, task: Task) -> Task:
        return shown_of(task, self.history, artifacts=self.request.include_artifacts)


def page_wanted(request: ListTasksRequest, history: int | None) -> Page:
    """What a request wants.

    Raises:
        InvalidParamsError: A page of less than one task or more than 100, or a token that is none.
    """
    size = request.page_size if request.HasField("page_size") else _USUAL
    if not 1 <= size <= _MOST:
        raise InvalidParamsError(f"pageSize is not from 1 to {_MOST}")
    return Page(request, size, _read(request.page_token) if request.page_token else None, history)


def _place_of(task: Task) -> _Place:
    changed: int = task.status.timestamp.ToMilliseconds()
    return changed, task.id


def _token_of(task: Task) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(_place_of(task))).decode().rstrip("=")


_place = msgspec.json.Decoder(_Place).decode


def _read(token: str) -> _Place:
    try:
        place: _Place = _place(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise InvalidParamsError("The page token is none of this agent's") from None
    return place
