"""The tasks of 2025-11-25 on a server's side: begun where a tool wants them, told as those of SEP-2663."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, Protocol

from portico.api import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    TASKS_EXTENSION,
    UPSTREAM_BAD_RESPONSE,
    Era,
    Exchange,
    Host,
    Json,
    Refused,
    Result,
    Target,
)
from portico_plugins.failures import bad_response, reason_of

from . import wire
from .call import TASK_OVER, Call, Pausable
from .inputs import Inputs
from .session import SessionExpired

METHODS: Final = frozenset({"tasks/get", "tasks/update", "tasks/cancel"})
_TTL_MS: Final = 86_400_000
"""How long a server is asked to keep a task whose client did not say."""
_POLL_MS: Final = 1000
_POLL_RANGE_MS: Final = (50, 30_000)
_TRIES: Final = 5
"""How often a result is asked for in vain before that is taken for an answer."""
_PATIENCE: Final = 30.0
"""Seconds a server may take to cancel a task that nobody waits for any more."""


class Requests(Protocol):
    """Makes a request on the session; gives the result's bytes."""

    async def __call__(self, method: str, params: Json | None = None, call: Call | None = None) -> bytes:
        """Make it."""
        ...


def known(capabilities: Json) -> bool:
    """Whether a client has said that it knows the extension."""
    extensions = capabilities.get("extensions")
    return isinstance(extensions, dict) and TASKS_EXTENSION in extensions


class OldTasks:
    """Tasks of one session.

    Args:
        request: The session's.
        host: The upstream's host.
        pin: Told +1 and -1, while the session has to stay for a task.
    """

    def __init__(self, request: Requests, host: Host, pin: Any) -> None:
        self._request = request
        self._host = host
        self._inputs = Inputs(self._result_bytes, pin)
        self._loose: set[asyncio.Task[None]] = set()

    def concern(self, exchange: Exchange, target: Target) -> bool:
        """Whether an exchange is about a task, or has to begin one."""
        if exchange.method != "tools/call":
            return exchange.method in METHODS
        return "task" in exchange.params or _support(target) == "required"

    async def send(self, exchange: Exchange, target: Target, limit: Pausable | None) -> Result:
        """Carry out such an exchange.

        Raises:
            Refused: The server's own error, or one of Portico's.
            SessionExpired: The server does not know the session; nothing has been begun.
        """
        if exchange.method == "tools/call":
            return await self._call(exchange, target, limit)
        own = target.name
        if exchange.method == "tasks/get":
            return Result(value=await self._state(exchange, own))
        if exchange.method == "tasks/update":
            answers = exchange.params.get("inputResponses")
            self._inputs.answer(own, answers if isinstance(answers, dict) else {})
        else:
            await self._cancel(own, exchange)
        return Result(value={})

    # --- calls -------------------------------------------------------------------------------------

    async def _call(self, exchange: Exchange, target: Target, limit: Pausable | None) -> Result:
        """Begin a task; a client that knows none waits for its end."""
        asked = exchange.params.get("task")
        call = Call("tools/call", exchange, limit)
        params = wire.legacy_params(exchange, call.id)
        task = {"ttl": _TTL_MS, **(asked if isinstance(asked, dict) else {})}
        try:
            raw = await self._request("tools/call", {**params, "task": task}, call)
        except Refused as refusal:
            if refusal.code != METHOD_NOT_FOUND or _support(target):
                raise
            # Tools as the modern era lists them say nothing of tasks: this one makes none.
            plain = {name: each for name, each in params.items() if name != "task"}
            return Result(raw=await self._request("tools/call", plain, call), era=Era.LEGACY)
        created = self._decoded(raw, exchange)
        made = created.get("task")
        if not isinstance(made, dict):
            if "content" in created:
                return Result(raw=raw, era=Era.LEGACY)  # it was done at once
            raise bad_response(self._host.name, "task_without_id", exchange)
        own = made.get("taskId")
        if not isinstance(own, str) or not own:
            raise bad_response(self._host.name, "task_without_id", exchange)
        if known(exchange.capabilities):
            meta = wire.unrelated(created).get("_meta")
            return Result(
                value={"resultType": "task", **_modern(made, own), **({"_meta": meta} if meta else {})}
            )
        try:
            return Result(value=await self._result(exchange, own, call), era=Era.LEGACY)
        except SessionExpired:
            # The task went with it. To have the call made again would be to have it done twice.
            raise bad_response(self._host.name, "session_expired", exchange) from None
        except asyncio.CancelledError:
            self._background(self._give_up(own))
            raise

    async def _result(self, exchange: Exchange, own: str, first: Call) -> Json:
        """What comes of a task in the end. Its questions and its progress come on the way to that."""
        failed = 0
        while True:
            call = Call("tasks/result", exchange, first.limit)
            call.task, call.token = own, first.id
            try:
                raw = await self._request("tasks/result", {"taskId": own}, call)
            except Refused as refusal:
                task = await self._task(own, exchange)
                failed += 1
                if failed > _TRIES or (task.get("status") in TASK_OVER and not _lost(refusal)):
                    raise wire.again(refusal) from None
                await asyncio.sleep(_interval(task))
            else:
                return await self._finished(raw, own, exchange)

    async def _finished(self, raw: bytes, own: str, exchange: Exchange) -> Json:
        result = self._decoded(raw, exchange)
        if "content" not in result:  # servers have nothing to say of tasks that were cancelled, or broke
            task = await self._task(own, exchange)
            if task.get("status") == "cancelled":
                raise bad_response(self._host.name, "task_cancelled", exchange)
            raise Refused(INTERNAL_ERROR, str(task.get("statusMessage") or "The task has failed")[:2000])
        return wire.unrelated(result)

    async def _give_up(self, own: str) -> None:
        """Have a task cancelled that nobody waits for any more."""
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._request("tasks/cancel", {"taskId": own})
        except (Refused, SessionExpired, TimeoutError) as error:
            self._host.log.debug("upstream_task_cancel_lost", reason=str(error))

    # --- tasks that their clients look after ---------------------------------------------------------

    async def _state(self, exchange: Exchange, own: str) -> Json:
        """A task as it is, with its result, its error or its questions."""
        task = await self._task(own, exchange)
        shown, status = _modern(task, own), task.get("status")
        if status in ("completed", "failed"):
            try:
                raw = await self._result_bytes(own, Call("tasks/result", exchange))
                shown["result"] = await self._finished(raw, own, exchange)
                shown["status"] = "completed"  # what a tool says has gone wrong is a result, too
            except Refused as refusal:
                if _lost(refusal):
                    raise
                shown |= {"status": "failed", "error": refusal.body()}
        elif status == "input_required":
            asked = await self._inputs.asked(own, exchange)
            shown |= {"inputRequests": asked} if asked else {"status": "working"}
        return shown

    async def _cancel(self, own: str, exchange: Exchange) -> None:
        try:
            await self._request("tasks/cancel", {"taskId": own}, Call("tasks/cancel", exchange))
        except Refused as refusal:
            if refusal.code != INVALID_PARAMS:
                raise
            await self._task(own, exchange)  # it is over already, unless there is no such task
        self._inputs.drop(own)

    async def _result_bytes(self, own: str, call: Call) -> bytes:
        call.task = own
        return await self._request("tasks/result", {"taskId": own}, call)

    async def _task(self, own: str, exchange: Exchange) -> Json:
        raw = await self._request("tasks/get", {"taskId": own}, Call("tasks/get", exchange))
        return self._decoded(raw, exchange)

    def _decoded(self, raw: bytes, exchange: Exchange) -> Json:
        try:
            value: Json = wire.decode(raw)
        except (ValueError, RecursionError):
            raise bad_response(self._host.name, "malformed_message", exchange) from None
        return value

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._loose.add(task)
        task.add_done_callback(self._loose.discard)

    async def close(self) -> None:
        """The session ends: so does waiting for its tasks."""
        tasks = {*self._loose, *self._inputs.drop_all()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _support(target: Target) -> str:
    """What a tool says of tasks, "" for nothing."""
    execution = (target.definition or {}).get("execution")
    return str(execution.get("taskSupport") or "") if isinstance(execution, dict) else ""


def _modern(task: Json, own: str) -> Json:
    """A task in the words of the extension."""
    shown: Json = {"taskId": own, "status": task.get("status"), "ttlMs": task.get("ttl")}
    shown |= {key: task[key] for key in ("statusMessage", "createdAt", "lastUpdatedAt") if key in task}
    if "pollInterval" in task:
        shown["pollIntervalMs"] = task["pollInterval"]
    return shown


def _interval(task: Json) -> float:
    said = task.get("pollInterval")
    ms = said if isinstance(said, int | float) and not isinstance(said, bool) else _POLL_MS
    return min(max(ms, _POLL_RANGE_MS[0]), _POLL_RANGE_MS[1]) / 1000


def _lost(refusal: Refused) -> bool:
    """Whether it is the way to the server that has failed, and not the server that says so."""
    return refusal.code == UPSTREAM_BAD_RESPONSE or bool(reason_of(refusal))
