"""The tasks of 2025-11-25 for clients of that revision: those of the extension, in its words."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Final

from portico._core.contracts.exchange import Era, Exchange
from portico._core.contracts.json import Json
from portico._core.contracts.result import Result
from portico._core.errors import INVALID_PARAMS, METHOD_NOT_FOUND, OVERLOADED, Refused, failure
from portico._core.protocol.eras import RELATED_TASK
from portico._core.requests.tasks import Tasks
from portico._core.requests.tasks_known import OVER

_KEPT: Final = 600.0
"""Seconds a result is kept for a client that asked for a task and did not say how long."""

_LONGEST_KEPT: Final = 3600.0
_GREATEST: Final = 2**53 - 1


class OldTasks:
    """Tasks of one virtual server, for clients of 2025-11-25.

    Args:
        tasks: The same in the words of the extension.
    """

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    def admit(self, exchange: Exchange, supporting: Collection[str]) -> None:
        """Judge a call that asks for a task.

        Raises:
            Refused: -32601: its tool makes none. 50302: the client has too many.
        """
        if exchange.params.get("name") not in supporting:
            raise Refused(METHOD_NOT_FOUND, "The tool does not support task-augmented execution")
        if self._tasks.known.full(exchange.principal):
            raise failure(OVERLOADED, "Too many tasks of yours are not over", reason="task_limit")

    def created(self, sealed: Result) -> Result:
        """A task as the answer to the call that asked for it."""
        meta = sealed.value.get("_meta")
        return Result(
            value={"task": _old(sealed.value), **({"_meta": meta} if isinstance(meta, dict) else {})},
            era=Era.LEGACY,
        )

    def ended(self, exchange: Exchange, upstream: str, result: Result) -> Result:
        """The task that an answer which is there already is wrapped in: its client has asked for one."""
        asked = exchange.params.get("task")
        ttl = asked.get("ttl") if isinstance(asked, dict) else None
        seconds = min(_whole(ttl) or _KEPT * 1000, _LONGEST_KEPT * 1000) / 1000
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        state: Json = {"status": _outcome(result.value), "createdAt": now, "lastUpdatedAt": now}
        state["ttlMs"] = int(seconds * 1000)
        handle = self._tasks.seal(exchange, upstream, "", seconds)
        self._tasks.known.add(exchange.principal, handle, state, Result(raw=result.raw, era=result.era))
        # It begins like every other (2025-11-25, tasks); what has become of it is there to be looked at.
        return self.created(Result(value={**state, "status": "working", "taskId": handle}))

    async def answer(self, exchange: Exchange) -> Result:
        """Carry out `tasks/get`, `tasks/result`, `tasks/list` or `tasks/cancel`.

        Raises:
            Refused: -32602 for an id that is not this principal's, and for cancelling what is over.
        """
        known, method = self._tasks.known, exchange.method
        if method == "tasks/list":
            if exchange.params.get("cursor") is not None:
                raise Refused(INVALID_PARAMS, "Invalid params: the cursor is not valid")
            mine = [{**_old(each.state), "taskId": each.handle} for each in known.of(exchange.principal)]
            return Result(value={"tasks": mine}, era=Era.LEGACY)
        handle = exchange.params.get("taskId")
        target = self._tasks.open(exchange)
        kept = None if target.name else known.kept(exchange.principal, str(handle))
        if not target.name and kept is None:
            raise Refused(INVALID_PARAMS, "Unknown task")
        if method == "tasks/result":
            if kept and kept.kept:
                result = Result(raw=kept.kept.raw, era=kept.kept.era)
            else:
                result = await self._tasks.result_of(exchange, target, str(handle))
            value = result.value
            meta = value.get("_meta") if isinstance(value.get("_meta"), dict) else None
            related = {**(meta or {}), RELATED_TASK: {"taskId": handle}}
            return Result(value={**value, "_meta": related}, era=result.era)
        state = kept.state if kept else (await self._tasks.send("tasks/get", exchange, target)).value
        if method == "tasks/cancel":
            if state.get("status") in OVER:
                raise Refused(INVALID_PARAMS, f"Cannot cancel task: it is {state['status']} already")
            await self._tasks.send("tasks/cancel", exchange, target)
            state = {**state, "status": "cancelled"}
        result_ = state.get("result")
        if state.get("status") == "completed" and isinstance(result_, dict):
            state = {**state, "status": _outcome(result_)}
        known.seen(exchange.principal, str(handle), state)
        return Result(value={**_old(state), "taskId": handle}, era=Era.LEGACY)


def _outcome(result: Json) -> str:
    """What a task has come to whose result this is; a tool's own failure is the task's, too."""
    return "failed" if result.get("isError") is True else "completed"


def _old(state: Json) -> Json:
    """A task in the words of 2025-11-25."""
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    created = state.get("createdAt") or now
    shown: Json = {
        "taskId": state.get("taskId"),
        "status": state.get("status"),
        "createdAt": created,
        "lastUpdatedAt": state.get("lastUpdatedAt") or created,
        "ttl": _whole(state.get("ttlMs")),
    }
    if isinstance(state.get("statusMessage"), str):
        shown["statusMessage"] = state["statusMessage"]
    if (interval := _whole(state.get("pollIntervalMs"))) is not None:
        shown["pollInterval"] = interval
    return shown


def _whole(value: Any) -> int | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(min(max(value, 0), _GREATEST)) if number else None
