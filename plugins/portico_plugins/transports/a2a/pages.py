"""Pages of tasks (A2A 3.1.4): those that changed last come first."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Final

import msgspec
from a2a.types import ListTasksRequest, ListTasksResponse, TaskState
from a2a.utils.errors import InvalidParamsError

from portico_plugins.transports.a2a.work import Work

_USUAL: Final = 50
_MOST: Final = 100

_Place = tuple[float, str]


def page_of(works: Iterable[Work], request: ListTasksRequest, history: int | None) -> ListTasksResponse:
    """A page of somebody's tasks.

    Args:
        works: All of theirs.
        request: Which of them are wanted.
        history: How much of the history each is shown with; None for all.

    Raises:
        InvalidParamsError: A page of less than one task or more than 100, or a token that is none.
    """
    size = request.page_size if request.HasField("page_size") else _USUAL
    if not 1 <= size <= _MOST:
        raise InvalidParamsError(f"pageSize is not from 1 to {_MOST}")
    fitting = sorted((work for work in works if _fits(work, request)), key=_place_of, reverse=True)
    after = _read(request.page_token) if request.page_token else None
    rest = [work for work in fitting if after is None or _place_of(work) < after]
    shown = rest[:size]
    return ListTasksResponse(
        tasks=[work.snapshot(history, artifacts=request.include_artifacts) for work in shown],
        next_page_token=_token_of(shown[-1]) if len(rest) > len(shown) else "",
        page_size=size,
        total_size=len(fitting),
    )


def _fits(work: Work, request: ListTasksRequest) -> bool:
    if request.context_id and work.task.context_id != request.context_id:
        return False
    if request.status != TaskState.TASK_STATE_UNSPECIFIED and work.state != request.status:
        return False
    if not request.HasField("status_timestamp_after"):
        return True
    changed: int = work.task.status.timestamp.ToNanoseconds()
    after: int = request.status_timestamp_after.ToNanoseconds()
    return changed >= after


def _place_of(work: Work) -> _Place:
    return work.changed, work.task.id


def _token_of(work: Work) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(_place_of(work))).decode().rstrip("=")


_place = msgspec.json.Decoder(_Place).decode


def _read(token: str) -> _Place:
    try:
        place: _Place = _place(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise InvalidParamsError("The page token is none of this agent's") from None
    return place
