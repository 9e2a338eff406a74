"""Tasks (SEP-2663, and those of 2025-11-25): passed on with sealed ids, or waited for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import attrs

from portico._core.catalog.union import has_tasks
from portico._core.catalog.view import View
from portico._core.contracts.exchange import Era, Exchange, Target
from portico._core.contracts.json import Json
from portico._core.contracts.result import Result
from portico._core.contracts.upstreams import Offer, Upstream
from portico._core.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    UPSTREAM_BAD_RESPONSE,
    Refused,
    failure,
)
from portico._core.protocol.eras import RELATED_TASK, TASKS_EXTENSION, TASKS_REVISION
from portico._core.seal import Seal, Unsealable

if TYPE_CHECKING:
    from portico._core.requests.tasks_known import KnownTasks

TASK_METHODS: Final = frozenset(
    {"tasks/get", "tasks/update", "tasks/cancel", "tasks/result", "tasks/list"}  # the last two of 2025-11-25
)
HANDLE_TTL: Final = 30 * 86_400.0
_POLL_MS: Final = 1000
_CANCEL_SECONDS: Final = 5.0
_POLL_RANGE_MS: Final = (50, 30_000)

Given = Literal["result", "task", "old"]
"""What is given for a call that becomes a task: its result in the end, or the task, in new or old words."""


def serves_old(exchange: Exchange, capabilities: Json) -> bool:
    """Whether an exchange's client was told of tasks as 2025-11-25 has them."""
    return exchange.era is Era.LEGACY and exchange.version == TASKS_REVISION and has_tasks(capabilities)


class Forward(Protocol):
    """Sends an exchange with other params to its target."""

    async def __call__(
        self, exchange: Exchange, target: Target, params: Json, *, capabilities: Json | None = None
    ) -> Result: ...


class Tasks:
    """Tasks of one virtual server. The sealed id says which upstream has one.

    Args:
        seal: For ids; they are bound to the principal and the server, and outlive a restart when
            `gateway.secret` is set.
        upstreams: All of the gateway's, by name.
        view: Gives the server's catalog as it is now.
        forward: How to reach upstreams.
        ask: Puts the questions of a result to the client; gives the answers by their keys.
    """

    def __init__(
        self,
        seal: Seal,
        upstreams: Mapping[str, Upstream],
        view: Callable[[], View],
        forward: Forward,
        ask: Callable[[Exchange, Result], Awaitable[Json]],
    ) -> None:
        self._seal = seal
        self._upstreams = upstreams
        self._view = view
        self._forward = forward
        self._ask = ask

    @cached_property
    def known(self) -> KnownTasks:
        """The tasks given out."""
        from portico._core.requests.tasks_known import KnownTasks

        return KnownTasks()

    def terms(self, exchange: Exchange, offer: Offer, wanted: bool) -> tuple[Json | None, Given]:
        """What an upstream with tasks is told that a call's client can do, and what that client is given.

        Args:
            exchange: The call.
            offer: The upstream's.
            wanted: Whether the client asked for a task as 2025-11-25 has it.

        Returns:
            The capabilities, or None for the client's own.
        """
        if wanted:
            return _with_tasks(exchange.capabilities), "old"
        # A legacy client may say what it likes: it is told nothing by which to tell a task from a result.
        if exchange.era is Era.MODERN and has_tasks(exchange.capabilities):
            if not self.known.full(exchange.principal):
                return None, "task"
            # It has as many as it may have: this call is answered when it is done.
            return (_without_tasks(exchange.capabilities) if offer.waits else None), "result"
        return (None if offer.waits else _with_tasks(exchange.capabilities)), "result"

    def seal(self, exchange: Exchange, upstream: str, own: str, seconds: float = HANDLE_TTL) -> str:
        """The id a client shall know a task by.

        Args:
            exchange: The call it came of.
            upstream: Who has it.
            own: What that calls it; "" for one whose result is kept here.
            seconds: How long the id is good.
        """
        payload = [exchange.server, upstream, own, exchange.params.get("name")]
        return self._seal.close("task", exchange.principal, payload, seconds)

    def seal_result(self, exchange: Exchange, target: Target, result: Result) -> Result:
        """A `task` result under the id the client shall know."""
        own = result.value.get("taskId")
        if not isinstance(own, str) or not own:
            raise self._bad(exchange, target, "a task without an id")
        handle = self.seal(exchange, target.upstream, own)
        result.value = {**result.value, "taskId": handle}
        self.known.add(exchange.principal, handle, result.value)
        return result

    def open(self, exchange: Exchange) -> Target:
        """Where the task of a request is; the exchange's target from then on.

        Raises:
            Refused: -32602 for an id that is not this principal's, of another server, or of a tool that this
                one does not show any more; they look the same as unknown ones.
        """
        handle = exchange.params.get("taskId")
        try:
            _, (server, upstream, own, name) = self._seal.open("task", exchange.principal, handle)
        except Unsealable:
            raise Refused(INVALID_PARAMS, "Unknown task") from None
        view = self._view()
        shown = view.tools.get(name) if isinstance(name, str) else None
        # Of an upstream that was never heard of since the gateway began, nothing can be shown yet.
        unheard = shown is None and upstream in self._upstreams and not self._upstreams[upstream].offer.eras
        here = server == exchange.server and upstream in view.upstreams
        if not here or not (unheard or (shown is not None and shown.upstream == upstream)):
            raise Refused(INVALID_PARAMS, "Unknown task")
        target = exchange.target = Target(upstream, own)
        return target

    async def answer(self, exchange: Exchange) -> Result:
        """Carry out `tasks/get`, `tasks/update` or `tasks/cancel`.

        Raises:
            Refused: -32602 for an id that is not this principal's; foreign and unknown ones look the same.
                -32601 for what only 2025-11-25 had.
        """
        if exchange.method in ("tasks/result", "tasks/list"):
            raise Refused(METHOD_NOT_FOUND, "Method not found")
        target, handle = self.open(exchange), exchange.params["taskId"]
        if not target.name:
            raise Refused(INVALID_PARAMS, "Unknown task")
        result = await self._forward(exchange, target, {**exchange.params, "taskId": target.name})
        if "taskId" in result.value:
            result.value = {**result.value, "taskId": handle}
            self.known.seen(exchange.principal, handle, result.value)
        elif exchange.method == "tasks/cancel":  # whose client may never look at it again
            self.known.cancelled(exchange.principal, handle)
        return result

    async def result_of(self, exchange: Exchange, target: Target, handle: str) -> Result:
        """Poll a task to its end for a client that asks for its result; the task outlives the request.

        Raises:
            Refused: What the task ended with.
        """
        return await self.finish(exchange, target, await self.send("tasks/get", exchange, target), handle)

    async def finish(self, exchange: Exchange, target: Target, result: Result, handle: str = "") -> Result:
        """Poll a task to its end on behalf of a client that knows no tasks; cancels it with the exchange.

        Args:
            exchange: Who waits.
            target: Where the task is.
            result: The task so far.
            handle: What the client knows it as; "" for a client that knows nothing of it.
        """
        task = result.value
        own = task.get("taskId")
        if not isinstance(own, str):
            raise self._bad(exchange, target, "a task without an id")
        answered: set[str] = set()
        try:
            while True:
                status = task.get("status")
                if status == "completed":
                    return Result(value=task["result"]) if isinstance(task.get("result"), dict) else result
                if status == "failed":
                    raise _error_of(task.get("error"))
                if status == "cancelled" and handle:
                    raise Refused(INTERNAL_ERROR, "The task was cancelled")
                if status == "cancelled":
                    raise self._bad(exchange, target, "a cancelled task")
                if status != "input_required" or not await self._give_input(
                    exchange, target, own, task, answered, handle
                ):
                    await asyncio.sleep(_interval(task.get("pollIntervalMs")))
                task = (await self._send("tasks/get", exchange, target, own)).value
                if handle:
                    self.known.seen(exchange.principal, handle, task)
        except asyncio.CancelledError:
            if not handle:
                await self._give_up(exchange, target, own)
            raise

    async def send(self, method: str, exchange: Exchange, target: Target) -> Result:
        """Make a request about a task in the words of the extension."""
        return await self._send(method, exchange, target, target.name)

    async def _send(self, method: str, exchange: Exchange, target: Target, own: str, **more: Any) -> Result:
        derived = attrs.evolve(exchange, method=method, progress_token=None)
        return await self._forward(derived, Target(target.upstream, own), {"taskId": own, **more})

    async def _give_up(self, exchange: Exchange, target: Target, own: str) -> None:
        """Cancel the task upstream. Whatever becomes of this, the exchange ends, and soon."""
        with contextlib.suppress(Refused, TimeoutError):
            async with asyncio.timeout(_CANCEL_SECONDS):
                await self._send("tasks/cancel", exchange, target, own)

    async def _give_input(
        self, exchange: Exchange, target: Target, own: str, task: Json, answered: set[str], handle: str
    ) -> bool:
        """Answer what was not answered before; whether there was such a thing.

        An upstream goes on showing a question until it has taken note of the answer; keys are never used for
        another (SEP-2663).
        """
        asked = task.get("inputRequests") or {}
        if isinstance(asked, dict):
            asked = {key: request for key, request in asked.items() if key not in answered}
            if not asked:
                return False
            if handle:
                asked = {key: _about(request, handle) for key, request in asked.items()}
        try:
            answers = await self._ask(exchange, Result(value={"inputRequests": asked}))
        except Refused:
            await self._give_up(exchange, target, own)
            raise
        answered.update(answers)
        await self._send("tasks/update", exchange, target, own, inputResponses=answers)
        return True

    def _bad(self, exchange: Exchange, target: Target, what: str) -> Refused:
        return failure(
            UPSTREAM_BAD_RESPONSE,
            f"The upstream answered with {what}",
            reason="upstream_bad_response",
            upstream=target.upstream,
            request_id=exchange.id,
        )


def _with_tasks(capabilities: Json) -> Json:
    declared = capabilities.get("extensions")
    extensions = {**(declared if isinstance(declared, dict) else {}), TASKS_EXTENSION: {}}
    return {**capabilities, "extensions": extensions}


def _without_tasks(capabilities: Json) -> Json:
    rest = {name: each for name, each in capabilities["extensions"].items() if name != TASKS_EXTENSION}
    return {**capabilities, "extensions": rest}


def _about(request: Any, handle: str) -> Any:
    """A question with the task it belongs to, as 2025-11-25 wants it."""
    params = request.get("params") if isinstance(request, dict) else None
    if not isinstance(request, dict) or not isinstance(params or {}, dict):
        return request  # nonsense is for who asks it to be told
    return {**request, "params": {**(params or {}), "_meta": {RELATED_TASK: {"taskId": handle}}}}


def _interval(said: Any) -> float:
    ms = said if isinstance(said, int | float) and not isinstance(said, bool) else _POLL_MS
    return min(max(ms, _POLL_RANGE_MS[0]), _POLL_RANGE_MS[1]) / 1000


def _error_of(error: Any) -> Refused:
    if isinstance(error, dict) and isinstance(error.get("code"), int):
        return Refused(error["code"], str(error.get("message")), error.get("data"))
    return failure(UPSTREAM_BAD_RESPONSE, "The upstream's task failed", reason="task_failed")
